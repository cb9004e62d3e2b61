/**
 * Whether a node's queue may have been full on the broker, from what came out
 * of it.
 *
 * A queue is first in, first out: what was in it at some moment comes out
 * before anything that went in later. The node's probes go in at known moments.
 * So what came out between the sending of one probe and the return of the next
 * is at least what was in the queue at any moment between the two sendings.
 */

/** What a message takes of a queue's limit beside its body, see `node_queue.ts`. */
export const messageCost = 64;

/** What came out of a node's queue, and what that says of how full it was. */
export class QueueWatch {
  /** With less than this in it, it isn't full for a message that is smaller than this. */
  readonly #halfBytes: number;
  #received = 0;
  /** What had been received when the last probe that came back was sent. */
  #probeReceived = 0;
  /** The queue may have been full until then. */
  #suspectUntilMs = -Infinity;

  /** Watches a queue that takes `limitBytes`. */
  constructor(limitBytes: number) {
    this.#halfBytes = limitBytes / 2;
  }

  /** Takes note that another queue takes the place of this one. */
  reset(): void {
    this.#received = this.#probeReceived = 0;
    this.#suspectUntilMs = -Infinity;
  }

  /** What came out so far, to be given to {@linkcode probed}. */
  get received(): number {
    return this.#received;
  }

  /** Takes note of a message that came out, `bytes` long. */
  receive(bytes: number): void {
    this.#received += bytes + messageCost;
  }

  /** Takes note that a probe came back, which was sent at `sentMs` when `received` bytes had come out. */
  probed(sent: { sentMs: number; received: number }): void {
    if (this.#received - this.#probeReceived >= this.#halfBytes) {
      this.#suspectUntilMs = sent.sentMs;
    }
    this.#probeReceived = sent.received;
  }

  /** Tells whether the queue may have had no room after `sinceMs` for a message of `bytes`. */
  mayHaveBeenFull(sinceMs: number, bytes: number): boolean {
    return bytes >= this.#halfBytes || this.#suspectUntilMs >= sinceMs ||
      this.#received - this.#probeReceived >= this.#halfBytes;
  }
}
