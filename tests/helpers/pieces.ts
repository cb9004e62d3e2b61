/** Bytes in whatever pieces they may come. */
import assert from "node:assert/strict";

/** How often {@linkcode readInAllWays} cuts at most. */
const maxCuts = 500;

/** Gets `whole` in pieces of these sizes, used in turn; none: in one. */
export function* cut(
  whole: Uint8Array<ArrayBuffer>,
  sizes: readonly number[],
): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0, turn = 0; at < whole.length; turn++) {
    const size = sizes[turn % sizes.length] ?? Infinity;
    yield whole.subarray(at, at + size);
    at += size;
  }
}

/** Gets what `read` makes of `whole`, which has to be the same cut in two anywhere and byte by byte. */
export function readInAllWays<T>(
  whole: Uint8Array<ArrayBuffer>,
  read: (pieces: Uint8Array<ArrayBuffer>[]) => T,
): T {
  const expected = read([whole]);
  const step = Math.ceil(whole.length / maxCuts) || 1;
  for (let at = 0; at <= whole.length; at += step) {
    const halves = [whole.subarray(0, at), whole.subarray(at)];
    assert.deepEqual(read(halves), expected, `cut at ${at}`);
  }
  assert.deepEqual(read([...cut(whole, [1])]), expected, "byte by byte");
  return expected;
}
