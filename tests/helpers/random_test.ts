import assert from "node:assert/strict";
import { Random } from "./random.ts";

Deno.test("Random repeats itself with the same seed, and with no other", () => {
  const numbers = (seed: number): number[] => {
    const random = new Random(seed);
    return Array.from({ length: 5 }, () => random.next());
  };
  assert.deepEqual(numbers(7), numbers(7));
  assert.notDeepEqual(numbers(7), numbers(8));
});

Deno.test("Random.integer() gets every number of its range, and no other", () => {
  const random = new Random(1);
  const seen = new Set(Array.from({ length: 200 }, () => random.integer(2, 5)));
  assert.deepEqual([...seen].sort(), [2, 3, 4, 5]);
});

Deno.test("Random.uuid() gets a UUID of version 4", () => {
  assert.match(
    new Random(3).uuid(),
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});
