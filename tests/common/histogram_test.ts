import assert from "node:assert/strict";
import { Histogram, PowersHistogram } from "../../src/common/histogram.ts";
import { fc } from "../helpers/property.ts";

Deno.test("Histogram.observe() counts a value in the first bucket that holds it", () => {
  const histogram = new Histogram([1, 2.5]);
  for (const value of [0, 1, 1.1, 2.5, 2.6, 100]) histogram.observe(value);
  assert.deepEqual(histogram.counts, [2, 2, 2]);
  assert.equal(histogram.sum, 107.2);
});

Deno.test("PowersHistogram.observe() finds the same bucket without a search", () => {
  const check = (value: number): void => {
    const powers = new PowersHistogram();
    const searched = new Histogram(powers.bounds);
    powers.observe(value);
    searched.observe(value);
    assert.deepEqual(powers.counts, searched.counts, String(value));
    assert.equal(powers.sum, searched.sum);
  };
  fc.assert(fc.property(fc.nat({ max: 1_000_000 }), check));
  for (const value of [0, 1, 2, 3, 4, 5, 32_768, 32_769]) check(value);
});
