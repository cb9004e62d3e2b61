import assert from "node:assert/strict";
import { findInstances, instanceConfig } from "../../src/commands/instance.ts";
import { UsageError } from "../../src/common/errors.ts";
import { TempFolder } from "../../tools/folder.ts";
import { repository } from "../../tools/process.ts";

Deno.test("instanceConfig() gets the files of the instance, in the folder that its unit makes", async () => {
  const unit = await Deno.readTextFile(`${repository}/staps@.service`);
  const [, folder] = /^RuntimeDirectory=(\S+)$/m.exec(unit)!;
  const path = `/run/${folder!.replace("%i", "a-1")}`;
  const expected = {
    configFile: "/etc/staps/staps.conf",
    instanceFile: "/etc/staps/a-1.conf",
    socket: `${path}/staps.sock`,
    adminSocket: `${path}/admin.sock`,
  };
  assert.deepEqual(instanceConfig("staps@a-1"), expected);
  assert.deepEqual(instanceConfig("staps@a-1.service", "/x"), {
    ...expected,
    configFile: "/x",
  });
  for (const unit of ["1", "staps", "staps@", "other@1", "staps@../x", "@1"]) {
    assert.throws(() => instanceConfig(unit), UsageError, unit);
  }
});

Deno.test("findInstances() gets those that have a folder, in the order of their numbers", async () => {
  await using folder = await TempFolder.make();
  for (const name of ["staps", "staps-10", "staps-2", "staps-", "other-1"]) {
    await Deno.mkdir(`${folder.path}/${name}`);
  }
  await Deno.writeTextFile(`${folder.path}/staps-3`, "");
  assert.deepEqual(findInstances(folder.path), ["staps@2", "staps@10"]);
  assert.deepEqual(findInstances(`${folder.path}/none`), []);
});
