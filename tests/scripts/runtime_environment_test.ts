import assert from "node:assert/strict";
import {
  runtimeEnvironment,
  shellEnvironment,
} from "../../scripts/runtime_environment.ts";

const top = new URL("../../", import.meta.url);

Deno.test("the task start sets runtimeEnvironment", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", top)),
  );
  assert.ok(
    tasks.start.command.startsWith(`${shellEnvironment} deno run `),
    tasks.start.command,
  );
});

Deno.test("the launchers of the executable and the Debian package set runtimeEnvironment", async () => {
  for (const file of ["scripts/launcher.sh", "packaging/launcher.sh"]) {
    const launcher = await Deno.readTextFile(new URL(file, top));
    assert.match(launcher, /^export @ENVIRONMENT@$/m, file);
  }
});

Deno.test("the systemd units set runtimeEnvironment", async () => {
  for (const file of ["staps.service", "staps@.service"]) {
    const unit = await Deno.readTextFile(new URL(file, top));
    const set = Array.from(
      unit.matchAll(/^Environment=(.*)$/gm),
      ([, line]) =>
        line!.split(" ").map((word) => /^(\w+)=(.*)$/.exec(word)!.slice(1)),
    ).flat();
    assert.deepEqual(Object.fromEntries(set), runtimeEnvironment, file);
  }
});
