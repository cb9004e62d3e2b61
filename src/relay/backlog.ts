/**
 * How much waits for one client to read it.
 *
 * The runtime tells only how many bytes of payload it still has to write
 * (`bufferedAmount`), and that isn't what they take: a queued message needs
 * memory of its own, and an empty one shows up in no byte count at all. So this
 * counts what is handed over, and now and then asks how much of it is written:
 * an upper bound.
 *
 * What a channel sends goes to all of its members, so it is counted once for
 * all of them, and each keeps only what of it was not for it. A delivery costs
 * nothing here: with many members, looking at an object of each would.
 */

/**
 * What a waiting message counts beyond its payload, in bytes. The runtime needs
 * about 860 (measured, Deno 2.8.2); counting less favours bursts of small
 * messages to readers that are about to read.
 */
export const messageOverheadBytes = 256;

/** The runtime is asked each time that this share of the limit was sent. */
const checksPerLimit = 16;

/** What was sent in one channel since it began. */
export class Traffic {
  /** Payload bytes. */
  bytes = 0;
  /** The same with the overhead of each message. */
  counted = 0;
  /** When `counted` makes checks due. */
  #checkAt = 0;

  /**
   * Counts a message of `bytes` payload. Gets whether it makes a
   * {@linkcode Backlog.check} of every member due, before anybody gets it.
   *
   * @param limitBytes What may wait for a client.
   */
  add(bytes: number, limitBytes: number): boolean {
    this.bytes += bytes;
    this.counted += bytes + messageOverheadBytes;
    if (this.counted < this.#checkAt) return false;
    this.#checkAt = this.counted + limitBytes / checksPerLimit;
    return true;
  }
}

/** A message in the stream of those handed over. */
interface Mark {
  /** Payload bytes up to and with it. */
  readonly bytes: number;
  /** What {@linkcode Backlog} counted up to and with it. */
  readonly counted: number;
}

/** An upper bound of what waits for one client. */
export class Backlog {
  readonly #traffic: Traffic;
  /** What of `#traffic` was not for this client: it came before, or from it. */
  #foreignBytes: number;
  #foreignCounted: number;
  /** What of {@linkcode #counted} is known to be written. */
  #written = 0;
  /** Messages not known to be written yet, oldest first, a part of a check's share apart. */
  #marks: Mark[] = [];
  /** When `#written` last grew, in milliseconds; 0 for not yet. */
  #progressAtMs = 0;

  /** Counts what is sent from now on. */
  constructor(traffic: Traffic) {
    this.#traffic = traffic;
    this.#foreignBytes = traffic.bytes;
    this.#foreignCounted = traffic.counted;
  }

  /** Leaves out a message of `bytes` payload that the client published itself. */
  skip(bytes: number): void {
    this.#foreignBytes += bytes;
    this.#foreignCounted += bytes + messageOverheadBytes;
  }

  /** Payload bytes handed over. */
  get #bytes(): number {
    return this.#traffic.bytes - this.#foreignBytes;
  }

  /** The same with the overhead of each message. */
  get #counted(): number {
    return this.#traffic.counted - this.#foreignCounted;
  }

  /** Gets how much payload is written while the runtime still holds `bufferedBytes` of it. */
  writtenBytes(bufferedBytes: number): number {
    return this.#bytes - bufferedBytes;
  }

  /**
   * Gets an upper bound of what waits, in counted bytes, without the message
   * just sent: one message may always be handed over.
   *
   * @param added The payload of the message just sent, if this client is to get it.
   * @param now What the runtime says.
   * @param now.bufferedBytes The payload that it holds, without that message.
   * @param now.limitBytes What may wait.
   * @param now.timeMs The time in milliseconds, from any origin but 0.
   * @param now.emptyRunMs The time after which a run of empty messages, of
   * which the runtime tells nothing, counts as written: a client that doesn't
   * read answers no ping, and is closed before.
   */
  check(
    added: number | undefined,
    now: {
      bufferedBytes: number;
      limitBytes: number;
      timeMs: number;
      emptyRunMs: number;
    },
  ): number {
    const addedBytes = added ?? 0;
    const addedCounted = added === undefined ? 0 : added + messageOverheadBytes;
    const counted = this.#counted;
    // Messages are written in order, so a mark is passed when as many bytes
    // as lead up to it are written.
    const writtenBytes = this.writtenBytes(addedBytes + now.bufferedBytes);
    let passed = 0;
    for (const mark of this.#marks) {
      if (mark.bytes > writtenBytes) break;
      this.#written = mark.counted;
      passed++;
    }
    if (passed > 0 || this.#progressAtMs === 0) {
      this.#marks.splice(0, passed);
      this.#progressAtMs = now.timeMs;
    } else if (
      now.bufferedBytes === 0 &&
      now.timeMs - this.#progressAtMs > now.emptyRunMs
    ) {
      this.#written = counted - addedCounted;
      this.#marks = [];
      this.#progressAtMs = now.timeMs;
    }
    const share = now.limitBytes / checksPerLimit;
    const markedTo = this.#marks.at(-1)?.counted ?? -Infinity;
    if (counted >= markedTo + share / 2) {
      // An empty message proves nothing: the next one with a payload will.
      const bytes = this.#bytes + (addedBytes > 0 ? 0 : 1);
      this.#marks.push({ bytes, counted });
    }
    return counted - this.#written - addedCounted;
  }
}
