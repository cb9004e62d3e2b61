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
  const { read, write } = bits;
  // The owner has none of the rights that all others have (path_resolution(7)).
  assert.ok(!may(alice, { uid: 1000, gid: 33, mode: 0o077 }, read));
  assert.ok(may(alice, { uid: 1, gid: 33, mode: 0o077 }, read));
  assert.ok(!may(alice, { uid: 1, gid: 33, mode: 0o606 }, write));
  assert.ok(may(alice, { uid: 1, gid: 1, mode: 0o602 }, write));
  assert.ok(!may(alice, { uid: 1, gid: 33, mode: 0o640 }, read + write));
  assert.ok(may(root, { uid: 1, gid: 1, mode: 0 }, write));
});

Deno.test("barrier() finds the first folder that can't be passed through", async () => {
  await using folder = await TempFolder.make();
  const { path } = folder;
  await Deno.mkdir(`${path}/a/b`, { recursive: true });
  await Deno.chmod(`${path}/a`, 0o700);
  assert.equal(barrier(alice, `${path}/a/b/s`), `${path}/a`);
  assert.equal(barrier(root, `${path}/a/b/s`), undefined);
  assert.equal(barrier(alice, `${path}/s`), undefined);
  assert.equal(barrier(root, `${path}/c/s`), `${path}/c`);
});

Deno.test("modeText() writes modes in octal", () => {
  const modes = [0o660, 0, 0o140777].map(modeText);
  assert.deepEqual(modes, ["0660", "0000", "0777"]);
});
