/**
 * How much waits for one client to read it.
 *
 * The runtime tells only how many bytes of payload it still has to write
 * (`bufferedAmount`), and that isn't what they take: a queued message needs
 * memory of its own, and an empty one shows up in no byte count at all. So this
 * counts what is handed over, and now and then asks how much of it is written:
 * an upper bound, for an addition per message.
 */

/**
 * What a waiting message counts beyond its payload, in bytes. The runtime needs
 * about 860 (measured, Deno 2.8.2); counting less favours bursts of small
 * messages to readers that are about to read.
 */
export const messageOverheadBytes = 256;

/** The runtime is asked each time that this share of the limit was handed over. */
const checksPerLimit = 16;

/** A message in the stream of those handed over. */
interface Mark {
  /** Payload bytes up to and with it. */
  readonly bytes: number;
  /** What {@linkcode Backlog} counted up to and with it. */
  readonly counted: number;
}

/** An upper bound of what waits for one client. */
export class Backlog {
  /** Payload bytes handed over. */
  #bytes = 0;
  /** The same with the overhead of each message. */
  #counted = 0;
  /** What of `#counted` is known to be written. */
  #written = 0;
  /** When `#counted` makes a check due. */
  #checkAt = 0;
  /** Messages not known to be written yet, oldest first; at most one per check. */
  #marks: Mark[] = [];
  /** When `#written` last grew, in milliseconds; 0 for not yet. */
  #progressAtMs = 0;

  /** Counts a message of `bytes` payload. Gets whether a {@linkcode check} is due before it is handed over. */
  add(bytes: number): boolean {
    this.#bytes += bytes;
    this.#counted += bytes + messageOverheadBytes;
    return this.#counted >= this.#checkAt;
  }

  /** Gets how much payload is written while the runtime still holds `bufferedBytes` of it. */
  writtenBytes(bufferedBytes: number): number {
    return this.#bytes - bufferedBytes;
  }

  /**
   * Gets an upper bound of what waits, in counted bytes, without the message
   * just added: one message may always be handed over.
   *
   * @param bytes The payload of the message just added.
   * @param now What the runtime says.
   * @param now.bufferedBytes The payload that it holds, without that message.
   * @param now.limitBytes What may wait.
   * @param now.timeMs The time in milliseconds, from any origin but 0.
   * @param now.emptyRunMs The time after which a run of empty messages, of
   * which the runtime tells nothing, counts as written: a client that doesn't
   * read answers no ping, and is closed before.
   */
  check(
    bytes: number,
    now: {
      bufferedBytes: number;
      limitBytes: number;
      timeMs: number;
      emptyRunMs: number;
    },
  ): number {
    // Messages are written in order, so a mark is passed when as many bytes
    // as lead up to it are written.
    const writtenBytes = this.writtenBytes(bytes + now.bufferedBytes);
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
      this.#written = this.#counted - bytes - messageOverheadBytes;
      this.#marks = [];
      this.#progressAtMs = now.timeMs;
    }
    // An empty message proves nothing: the next one with a payload will.
    if (bytes > 0) {
      this.#marks.push({ bytes: this.#bytes, counted: this.#counted });
      this.#checkAt = this.#counted + now.limitBytes / checksPerLimit;
    }
    return this.#counted - this.#written - bytes - messageOverheadBytes;
  }
}
