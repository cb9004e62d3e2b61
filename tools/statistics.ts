/** Medians, their spread, and percentiles. */

/** A median with the smallest and largest value. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** Gets the median and spread of `values`; NaN if there are none. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return {
    median: median ?? NaN,
    min: sorted[0] ?? NaN,
    max: sorted.at(-1) ?? NaN,
  };
}

/**
 * Gets how `a` relates to `b`, round by round: what slows a round down slows
 * both, so the ratio is steadier than its parts.
 */
export function ratio(a: readonly number[], b: readonly number[]): Spread {
  return spread(a.slice(0, b.length).map((value, i) => value / b[i]!));
}

/** Percentiles of many times, in milliseconds. */
export interface Percentiles {
  p50: number;
  p99: number;
  p999: number;
}

/** Gets the percentiles of `values`; 0 if there are none. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    sorted[Math.floor(sorted.length * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}
