import assert from "node:assert/strict";
import {
  barrier,
  bits,
  may,
  modeText,
} from "../../../src/commands/check/access.ts";
import { TempFolder } from "../../../tools/folder.ts";

const alice = { name: "alice", uid: 1000, gids: [1000, 33] };
const root = { name: "root", uid: 0, gids: [0] };

Deno.test("may() lets the first class that fits decide", () => {
  const readWrite = bits.read + bits.write;
  const cases = [
    // The owner has none of the rights that all others have (path_resolution(7)).
    { uid: 1000, gid: 33, mode: 0o077, wanted: bits.read, expected: false },
    { gid: 33, mode: 0o077, wanted: bits.read, expected: true },
    { gid: 33, mode: 0o606, wanted: bits.write, expected: false },
    { mode: 0o602, wanted: bits.write, expected: true },
    { gid: 33, mode: 0o640, wanted: readWrite, expected: false },
    { mode: 0, wanted: bits.write, who: root, expected: true },
  ];
  for (
    const { uid = 1, gid = 1, mode, wanted, who = alice, expected } of cases
  ) assert.equal(may(who, { uid, gid, mode }, wanted), expected);
});

Deno.test("barrier() finds the first folder that can't be passed through", async () => {
  await using folder = await TempFolder.make();
  await Deno.mkdir(`${folder.path}/a/b`, { recursive: true });
  await Deno.chmod(`${folder.path}/a`, 0o700);
  assert.equal(barrier(alice, `${folder.path}/a/b/s`), `${folder.path}/a`);
  assert.equal(barrier(root, `${folder.path}/a/b/s`), undefined);
  assert.equal(barrier(alice, `${folder.path}/s`), undefined);
  assert.equal(barrier(root, `${folder.path}/c/s`), `${folder.path}/c`);
});

Deno.test("modeText() writes modes in octal", () => {
  const modes = [0o660, 0, 0o140777].map(modeText);
  assert.deepEqual(modes, ["0660", "0000", "0777"]);
});
