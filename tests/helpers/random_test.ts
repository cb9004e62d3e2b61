import assert from "node:assert/strict";
import { Random } from "./random.ts";

Deno.test("Random repeats itself with the same seed, and with no other", () => {
  const uuidOf = (seed: number): string => new Random(seed).fork().uuid();
  assert.equal(uuidOf(7), uuidOf(7));
  assert.notEqual(uuidOf(7), uuidOf(8));
  assert.match(
    uuidOf(7),
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});

Deno.test("Random.integer() gets every number of its range, and no other", () => {
  const random = new Random(1);
  const seen = new Set(Array.from({ length: 200 }, () => random.integer(2, 5)));
  assert.deepEqual([...seen].sort(), [2, 3, 4, 5]);
});
