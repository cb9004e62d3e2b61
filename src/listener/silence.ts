/** How long a client has been silent, in ticks. */

/** How often `tick()` of a connection is to be called, in milliseconds. */
export const tickMs = 250;
/** The same as a rate. */
export const ticksPerS = 1000 / tickMs;

/**
 * Counts the ticks since a client was heard of. What counts is how many there
 * were, not the time: after the process stood still, what has arrived is read
 * before anybody is judged by it.
 */
export class Silence {
  #ticks = 0;
  #isAsked = false;

  /** Something came, whatever it was. */
  heard(): void {
    this.#ticks = 0;
    this.#isAsked = false;
  }

  /** Gets what to do about a client: after half of `timeoutS` without a byte it is asked once, after all of it given up. */
  tick(timeoutS: number): "wait" | "ask" | "give up" {
    const ticks = ++this.#ticks;
    const limit = timeoutS * ticksPerS;
    // One more than the limit: between two ticks, what has arrived is read.
    if (ticks > limit) return "give up";
    if (this.#isAsked || ticks * 2 < limit) return "wait";
    this.#isAsked = true;
    return "ask";
  }
}
