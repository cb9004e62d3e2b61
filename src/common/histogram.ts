/** How values are spread: plain numbers, so that observing one costs next to nothing. */

/** Bounds for short durations, in seconds: 1, 2.5 and 5 of each power of ten. */
export const durationBounds: readonly number[] = [
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
];

/** Counts of values by size, as Prometheus wants them. */
export class Histogram {
  /** The upper bounds of the buckets, ascending; values above the last one are in none. */
  readonly bounds: readonly number[];
  /** How many values lie in each bucket and in no smaller one; the last count is of those above all. */
  readonly counts: number[];
  /** The sum of all values. */
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array(bounds.length + 1).fill(0);
  }

  /** Counts `value`. */
  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > this.bounds[bucket]!) {
      bucket++;
    }
    this.counts[bucket]!++;
    this.sum += value;
  }
}

/** Counts of whole numbers in buckets up to 1, 2, 4, 8 … 32768: one computed step instead of a search. */
export class PowersHistogram extends Histogram {
  constructor() {
    super(Array.from({ length: 16 }, (_, power) => 2 ** power));
  }

  /** Counts `value`, a whole number from 0 on. */
  override observe(value: number): void {
    // The number of bits of value - 1 is the power of the bucket's bound.
    const power = value < 2 ? 0 : 32 - Math.clz32(value - 1);
    this.counts[power < 16 ? power : 16]!++;
    this.sum += value;
  }
}
