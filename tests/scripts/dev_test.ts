/** `deno task dev`, as the task runs it; tests/e2e/quickstart_test.ts tries the rest. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { TempFolder } from "../../tools/folder.ts";
import { denoDir, Process, repository } from "../../tools/process.ts";

Deno.test("deno task dev says goodbye on Ctrl-C", async () => {
  const [, ...args] = denoJson.tasks.dev.command.split(" ");
  const script = args.pop();
  await using folder = await TempFolder.make();
  await using dev = new Process(Deno.execPath(), [
    ...args,
    `--config=${repository}/deno.json`,
    `${repository}/${script}`,
  ], {
    cwd: folder.path,
    // The variable is what `deno task` sets.
    env: { INIT_CWD: folder.path, DENO_DIR: denoDir(), NO_COLOR: "1" },
    detached: true,
  });
  await dev.printed(/listening on ws:/);
  const { code } = await dev.stop("SIGINT");
  assert.match(dev.stdout, /^staps has stopped, .*Goodbye!$/m);
  assert.doesNotMatch(dev.stderr, / (error|warn) /);
  assert.equal(code, 0);
});
