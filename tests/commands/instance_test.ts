import assert from "node:assert/strict";
import {
  findInstances,
  instanceAdminSocket,
} from "../../src/commands/instance.ts";
import { UsageError } from "../../src/common/errors.ts";
import { TempFolder } from "../helpers/folder.ts";
import { repository } from "../helpers/process.ts";

Deno.test("instanceAdminSocket() gets the socket that the unit names", async () => {
  const unit = await Deno.readTextFile(`${repository}/staps@.service`);
  const [, socket] = /--admin-socket (\S+)/.exec(unit)!;
  const expected = socket!.replace("%t", "/run").replace("%i", "a-1");
  assert.equal(instanceAdminSocket("staps@a-1"), expected);
  assert.equal(instanceAdminSocket("staps@a-1.service"), expected);
  for (const unit of ["1", "staps", "staps@", "other@1", "staps@../x", "@1"]) {
    assert.throws(() => instanceAdminSocket(unit), UsageError, unit);
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
