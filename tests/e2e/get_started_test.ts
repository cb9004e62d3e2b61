/** docs/get-started.md, done as it says; tests/e2e/quickstart_test.ts does the README with the real npx. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import {
  denoDir,
  Process,
  repository,
  runProgram,
} from "../../tools/process.ts";

const page = "docs/get-started.md";

Deno.test("docs/get-started.md leads to two people who talk, and to a server on a socket", async () => {
  await using folder = await TempFolder.make();
  const clone = `${folder.path}/staps`;
  await Deno.mkdir(`${folder.path}/bin`);
  await Deno.mkdir(clone);
  await runProgram("cp", [
    "-r",
    ...["main.ts", "src", "scripts", "deno.json", "deno.lock"].map((name) =>
      `${repository}/${name}`
    ),
    clone,
  ]);
  // What npx would download is running this test.
  await Deno.writeTextFile(
    `${folder.path}/bin/npx`,
    `#!/bin/sh\n[ "$1 $2" = "--yes deno@${Deno.version.deno}" ] || exit 9\nshift 2\nexec '${Deno.execPath()}' "$@"\n`,
    { mode: 0o755 },
  );
  await using stack = new AsyncDisposableStack();
  /** Runs the block `name` as if pasted into a terminal, with what differs here replaced. */
  const paste = async (
    name: string,
    replace: readonly (readonly [from: string, to: string])[] = [],
  ): Promise<Process> => {
    let code = await block(page, name);
    for (const [from, to] of replace) {
      assert.ok(code.includes(from), `${from} in ${code}`);
      code = code.replace(from, to);
    }
    const terminal = new Process("sh", ["-ec", code], {
      cwd: clone,
      env: {
        HOME: folder.path,
        DENO_DIR: denoDir(),
        NO_COLOR: "1",
        PATH: `${folder.path}/bin:${Deno.env.get("PATH")}`,
      },
      stdin: "piped",
      detached: true,
    });
    stack.defer(async () => {
      try {
        Deno.kill(-terminal.pid, "SIGKILL");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
      await terminal[Symbol.asyncDispose]();
    });
    return terminal;
  };
  const talk = async (
    one: Process,
    other: Process,
    server: Process,
  ): Promise<void> => {
    await eventually(
      () => server.output.split("client connected").length > 2,
      () => `two clients:\n${server.output}${one.output}${other.output}`,
    );
    for (const [from, to] of [[one, other], [other, one]] as const) {
      const line = crypto.randomUUID();
      await from.write(`${line}\n`);
      await to.printed(new RegExp(`^${line}$`, "m"));
    }
  };

  const dev = await paste("run");
  const [url] = await dev.printed(/ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]{36}/);
  const example = "ws://127.0.0.1:7800/THE-UUID-IT-PRINTED";
  const people = [
    await paste("talk", [[example, url]]),
    await paste("talk", [[example, url]]),
  ] as const;
  await talk(...people, dev);
  const fresh = await paste("url");
  await fresh.printed(/^ws:\/\/127\.0\.0\.1:7800\/[0-9a-f]{8}-[0-9a-f]{4}-4/m);

  const socket = `${folder.path}/staps.sock`;
  const here = [["/tmp/staps.sock", socket]] as const;
  const config = await block(page, "config");
  await Deno.writeTextFile(`${clone}/staps.conf`, config.replace(...here[0]));
  const start = await paste("start");
  await start.printed(new RegExp(`listening on ${socket}$`, "m"));
  const others = [
    await paste("join-socket", here),
    await paste("join-socket", here),
  ] as const;
  await talk(...others, start);
  // Ctrl-C goes to everything that runs in a terminal.
  Deno.kill(-start.pid, "SIGINT");
  await within(start.status, "the end of the server");
  await others[0].printed(/1001 service restart/);
  await assert.rejects(Deno.stat(socket), Deno.errors.NotFound);
});
