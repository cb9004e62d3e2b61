/** A token bucket: a rate, and bursts of as many as come in a second. */
export class Tokens {
  /** How many there were at `#atMs`. */
  #count = 0;
  #atMs = -Infinity;

  /** Takes one of the tokens, of which there come `rate` per second, and are kept no more; any number if that is 0. */
  take(rate: number): boolean {
    if (rate === 0) return true;
    const nowMs = performance.now();
    const earned = (nowMs - this.#atMs) / 1000 * rate;
    this.#atMs = nowMs;
    this.#count = Math.min(rate, this.#count + earned);
    if (this.#count < 1) return false;
    this.#count--;
    return true;
  }
}
