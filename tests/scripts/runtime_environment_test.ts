import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import {
  runtimeEnvironment,
  shellEnvironment,
} from "../../scripts/runtime_environment.ts";
import { repository } from "../../tools/process.ts";

Deno.test("runtimeEnvironment is set by the task start, both launchers and the systemd units", async () => {
  const { command } = denoJson.tasks.start;
  assert.ok(command.startsWith(`${shellEnvironment} deno run `), command);
  for (const file of ["scripts/launcher.sh", "packaging/launcher.sh"]) {
    const launcher = await Deno.readTextFile(`${repository}/${file}`);
    assert.match(launcher, /^export @ENVIRONMENT@$/m, file);
  }
  for (const file of ["staps.service", "staps@.service"]) {
    const unit = await Deno.readTextFile(`${repository}/${file}`);
    const set = Array.from(
      unit.matchAll(/^Environment=(.*)$/gm),
      ([, words]) => words!.split(" "),
    ).flat();
    const expected = Object.entries(runtimeEnvironment)
      .map(([name, value]) => `${name}=${value}`);
    assert.deepEqual(set.sort(), expected.sort(), file);
  }
});
