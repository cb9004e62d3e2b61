/** What a node had sent at moments of the past; see `late_asks.ts`. */

/** Moments are at least so far apart, in milliseconds. */
const stepMs = 100;

/** So many moments are kept: of the older half, every second one goes when there are more. */
const maxMoments = 1_000;

/** A moment, and the number up to which everything had been sent by then. */
interface Moment {
  readonly ms: number;
  readonly number: number;
}

/** The numbers of what was sent, by time: the older, the coarser. */
export class SentLog {
  /** The oldest first. */
  #moments: Moment[] = [];
  #latestMs = -Infinity;
  #latest = 0;

  /** How many moments are kept. */
  get size(): number {
    return this.#moments.length;
  }

  /** Takes note that the message `number` was sent at `ms`. One that is sent again counts from its first time on. */
  add(number: number, ms: number): void {
    const keptMs = this.#moments.at(-1)?.ms ?? -Infinity;
    if (ms - keptMs >= stepMs) this.#keep();
    this.#latestMs = ms;
    if (number > this.#latest) this.#latest = number;
  }

  /** Gets a number up to which everything had been sent at `ms`: the right one, or one that is a little too low. */
  sentBefore(ms: number): number {
    if (this.#latestMs <= ms) return this.#latest;
    return this.#moments.findLast((moment) => moment.ms <= ms)?.number ?? 0;
  }

  #keep(): void {
    if (this.#latest === 0) return;
    this.#moments.push({ ms: this.#latestMs, number: this.#latest });
    if (this.#moments.length <= maxMoments) return;
    this.#moments = this.#moments.filter((_, index) =>
      index > maxMoments / 2 || index % 2 === 0
    );
  }
}
