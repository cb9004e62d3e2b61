import assert from "node:assert/strict";
import { copyTogether } from "../../src/listener/shared_copy.ts";

const piece = (...bytes: number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(bytes);

Deno.test("copyTogether() gets one copy for all who have the same pieces", () => {
  const [a, b, c] = [piece(1, 2), piece(3), piece(3)];
  const copy = copyTogether([a, b]);
  assert.deepEqual(copy, piece(1, 2, 3));
  assert.equal(copyTogether([a, b]), copy);
  // The same bytes, and yet another piece: that is enough to make another one.
  assert.notEqual(copyTogether([a, c]), copy);
  assert.deepEqual(copyTogether([b, a]), piece(3, 1, 2));
  assert.deepEqual(copyTogether([a, b, c]), piece(1, 2, 3, 3));
});

Deno.test("copyTogether() keeps nothing beyond the turn of the event loop", async () => {
  const pieces = [piece(1), piece(2)];
  const copy = copyTogether(pieces);
  await new Promise((resolve) => setImmediate(resolve));
  assert.notEqual(copyTogether(pieces), copy);
});
