/** How long a client has been silent, in ticks. */

/** How often `tick()` of a connection is to be called, in milliseconds. */
export const tickMs = 250;
/** The same as a rate. */
export const ticksPerS = 1000 / tickMs;

/** What is known of a queue; see `WriteQueue`. */
export interface Progress {
  /** All that was ever queued, in bytes. */
  readonly pushedBytes: number;
  /** What the peer has taken of that. */
  readonly takenBytes: number;
}

/**
 * Counts the ticks since a client was heard of. What counts is how many there
 * were, not the time: after the process stood still, what has arrived is read
 * before anybody is judged by it.
 *
 * A client that reads slowly gets a ping only behind what was queued before.
 * Until then, it is enough that it takes some of the queue between two ticks.
 */
export class Silence {
  #ticks = 0;
  /** When it was asked, in ticks like the above; `undefined`: not yet. */
  #askedAt: number | undefined;
  /** The question goes out with the queue's next byte after these. */
  #askedBehindBytes = 0;
  #takenBytes = 0;

  /** Something came, whatever it was. */
  heard(): void {
    this.#ticks = 0;
    this.#askedAt = undefined;
  }

  /** Gets what to do about a client: after half of `timeoutS` without a byte it is asked once, after all of it given up. */
  tick(
    timeoutS: number,
    { pushedBytes, takenBytes }: Progress,
  ): "wait" | "ask" | "give up" {
    const tookSome = takenBytes > this.#takenBytes;
    this.#takenBytes = takenBytes;
    if (this.#askedAt === undefined) this.#askedBehindBytes = pushedBytes;
    else if (tookSome && takenBytes <= this.#askedBehindBytes) {
      this.#ticks = this.#askedAt;
    }
    const ticks = ++this.#ticks;
    const limit = timeoutS * ticksPerS;
    // One more than the limit: between two ticks, what has arrived is read.
    if (ticks > limit) return "give up";
    if (this.#askedAt !== undefined || ticks * 2 < limit) return "wait";
    this.#askedAt = ticks;
    return "ask";
  }
}
