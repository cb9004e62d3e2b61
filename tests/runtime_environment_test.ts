import assert from "node:assert/strict";
import { shellEnvironment } from "../scripts/runtime_environment.ts";

const top = new URL("../", import.meta.url);

Deno.test("the task start sets runtimeEnvironment", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", top)),
  );
  assert.ok(
    tasks.start.command.startsWith(`${shellEnvironment} deno run `),
    tasks.start.command,
  );
});

Deno.test("the launcher of the executable sets runtimeEnvironment", async () => {
  const launcher = await Deno.readTextFile(
    new URL("scripts/launcher.sh", top),
  );
  assert.match(launcher, /^export .*@ENVIRONMENT@$/m);
});
