/** Memory of large messages. */
import assert from "node:assert/strict";
import {
  largeBytes,
  own,
  release,
  retain,
} from "../../src/common/large_memory.ts";

Deno.test("large memory goes with the last who needs it, whichever part of it they have", () => {
  const frame = new Uint8Array(largeBytes);
  own(frame);
  retain(frame.subarray(1));
  retain(frame);
  release(frame);
  release(frame.subarray(2));
  assert.equal(frame.length, largeBytes);
  release(frame);
  assert.equal(frame.length, 0);
});

Deno.test("memory that nobody owns stays, and so does little memory", () => {
  const shared = new Uint8Array(largeBytes);
  retain(shared);
  release(shared);
  release(shared);
  assert.equal(shared.length, largeBytes);
  const little = new Uint8Array(largeBytes - 1);
  own(little);
  release(little);
  assert.equal(little.length, largeBytes - 1);
});
