import assert from "node:assert/strict";
import { folderOfUnit } from "../../../src/commands/check/unit.ts";
import { TempFolder } from "../../../tools/folder.ts";
import { repository } from "../../../tools/process.ts";

Deno.test("folderOfUnit() knows the folders that our units make, where systemd runs", async () => {
  await using empty = await TempFolder.make();
  const system = { folders: [empty.path, repository], booted: empty.path };
  const cases = [
    ["/run/staps", { unit: "staps.service", mode: 0o750 }],
    ["/run/staps-a-1", { unit: "staps@a-1.service", mode: 0o750 }],
    ["/run/other", undefined],
    ["/run/staps/deeper", undefined],
    ["/var/run/staps", undefined],
  ] as const;
  for (const [folder, expected] of cases) {
    assert.deepEqual(folderOfUnit(folder, system), expected, folder);
  }
  const without = { ...system, booted: `${empty.path}/none` };
  assert.equal(folderOfUnit("/run/staps", without), undefined);
  // An administrator's unit comes first.
  await Deno.writeTextFile(`${empty.path}/staps.service`, "[Service]\n");
  assert.equal(folderOfUnit("/run/staps", system), undefined);
});
