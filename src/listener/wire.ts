/** A connection that can be watched for its end while nobody wants to read. */

/** What is used of a connection. */
export type Connection = Pick<
  Deno.Conn,
  "read" | "write" | "closeWrite" | "close"
>;

/**
 * How much is read ahead at most while a connection is watched, in bytes. More
 * than this waits in the kernel, and then the end isn't noticed.
 */
const maxAheadBytes = 256;

const nothing = new Uint8Array(0);

/** A connection, and what was read of it ahead. */
export class Wire implements Connection {
  readonly #conn: Deno.Conn;
  #ahead: Uint8Array = nothing;
  /** The read of {@linkcode watch} that is under way. */
  #watching: Promise<void> | undefined;
  #state: "open" | "ended" | "closed" = "open";

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Whether the peer has ended its side, as far as was read. */
  get hasEnded(): boolean {
    return this.#state !== "open";
  }

  /** Whether something was read that nobody has taken. */
  get hasAhead(): boolean {
    return this.#ahead.length > 0;
  }

  /** Reads like `Deno.Conn`: first what was read ahead. */
  read(into: Uint8Array): Promise<number | null> {
    return this.#state === "open" && this.#ahead.length === 0 &&
        this.#watching === undefined
      ? this.#conn.read(into)
      : this.#readAhead(into);
  }

  async #readAhead(into: Uint8Array): Promise<number | null> {
    await this.#watching;
    if (this.#ahead.length > 0) {
      const part = this.#ahead.subarray(0, into.length);
      this.#ahead = this.#ahead.length === part.length
        ? nothing
        : this.#ahead.subarray(part.length);
      into.set(part);
      return part.length;
    }
    return this.#state === "ended" ? null : await this.#conn.read(into);
  }

  /** Gives back bytes that were read last, for the next {@linkcode read}. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#ahead = bytes.slice();
  }

  /**
   * Notices from here on if the peer ends its side or the connection breaks,
   * which closes it: {@linkcode hasEnded}. Does nothing while it is under way,
   * or once there is more than may be read ahead.
   */
  watch(): void {
    if (
      this.#watching !== undefined || this.#state !== "open" ||
      this.#ahead.length >= maxAheadBytes
    ) return;
    this.#watching = this.#watch();
  }

  async #watch(): Promise<void> {
    const buffer = new Uint8Array(maxAheadBytes);
    buffer.set(this.#ahead);
    const had = this.#ahead.length;
    try {
      const count = await this.#conn.read(buffer.subarray(had));
      if (count === null) this.#state = "ended";
      else this.#ahead = buffer.subarray(0, had + count);
    } catch {
      this.close();
    }
    this.#watching = undefined;
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#conn.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  /** Closes it at once. Reads and writes under way reject. Does nothing the second time. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#conn.close();
  }
}
