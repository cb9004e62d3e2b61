import assert from "node:assert/strict";
import {
  barrier,
  bits,
  may,
  modeText,
} from "../../../src/commands/check/access.ts";
import { TempFolder } from "../../helpers/folder.ts";

const alice = { name: "alice", uid: 1000, gids: [1000, 33] };
const root = { name: "root", uid: 0, gids: [0] };

Deno.test("may() lets the first class that fits decide", () => {
  const owned = { uid: 1000, gid: 33, mode: 0o077 };
  // The owner has none of the rights that all others have (path_resolution(7)).
  assert.equal(may(alice, owned, bits.read), false);
  assert.equal(may(alice, { ...owned, uid: 1 }, bits.read), true);
  assert.equal(may(alice, { uid: 1, gid: 33, mode: 0o606 }, bits.write), false);
  assert.equal(may(alice, { uid: 1, gid: 1, mode: 0o602 }, bits.write), true);
  assert.equal(
    may(alice, { uid: 1, gid: 33, mode: 0o640 }, bits.read + bits.write),
    false,
  );
  assert.equal(may(root, { uid: 1, gid: 1, mode: 0 }, bits.write), true);
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
  assert.deepEqual([0o660, 0, 0o140777].map(modeText), [
    "0660",
    "0000",
    "0777",
  ]);
});
