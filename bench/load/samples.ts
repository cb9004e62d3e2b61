/** Times of many messages, and their percentiles. */

/** What {@linkcode Samples.percentiles} gets, in milliseconds. */
export interface Percentiles {
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

/** Every sample, so that percentiles are exact: a run has some millions at most. */
export class Samples {
  #values = new Float32Array(65536);
  #count = 0;

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** Adds one, in milliseconds. */
  add(ms: number): void {
    if (this.#count === this.#values.length) {
      const values = new Float32Array(this.#count * 2);
      values.set(this.#values);
      this.#values = values;
    }
    this.#values[this.#count++] = ms;
  }

  /** Forgets all but the first `count`. */
  truncate(count: number): void {
    this.#count = count;
  }

  /** Gets the percentiles of all samples from the one at `from` on; 0 if there are none. */
  percentiles(from = 0): Percentiles {
    const sorted = this.#values.slice(from, this.#count).sort();
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ??
        0;
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
  }
}
