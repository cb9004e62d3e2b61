/**
 * A WebSocket client that does only what it is told, right or wrong, for tests
 * of what goes over the wire. It reads only when asked.
 */
import { setImmediate } from "node:timers";
import { within } from "./eventually.ts";
import { concat, frameBytes, type FrameOptions } from "./frames.ts";
import {
  handshakeBytes,
  isUpgrade,
  readHead,
  type ResponseHead,
} from "./handshake.ts";

export * from "./frames.ts";
export * from "./handshake.ts";

/** A server: its unix socket, or its address; `tls` says which certificates to trust beside the usual ones, as PEM. */
export type Target =
  | { readonly socket: string }
  | {
    readonly port: number;
    /** Default 127.0.0.1. */
    readonly hostname?: string;
    readonly tls?: { readonly caCerts: string[] };
  };

/** A frame as it came from the server. */
export interface Frame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly masked: boolean;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** An HTTP response. */
export interface Response extends ResponseHead {
  readonly body: string;
}

/** See {@linkcode RawClient.writeSlowly}. */
const slowBytes = 2048;

/** Ends a connection, perhaps once more. */
export function hangUp(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** A connection to the server, closed on disposal. */
export class RawClient implements Disposable {
  #connection: Deno.Conn;
  /** What has been read and not yet been taken. */
  #unread = new Uint8Array(0);
  #ended = false;

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Connects, on TCP without Nagle's delay, and sends nothing yet. */
  static async connect(target: Target): Promise<RawClient> {
    if ("socket" in target) {
      const { socket: path } = target;
      return new RawClient(await Deno.connect({ transport: "unix", path }));
    }
    const { port, hostname = "127.0.0.1", tls } = target;
    if (tls !== undefined) {
      // As a client of HTTP/1.1 alone asks for it.
      const options = { hostname, port, alpnProtocols: ["http/1.1"], ...tls };
      return new RawClient(await Deno.connectTls(options));
    }
    const connection = await Deno.connect({ hostname, port });
    connection.setNoDelay(true);
    return new RawClient(connection);
  }

  /** Connects and upgrades to a WebSocket on `path`. */
  static async join(target: Target, path: string): Promise<RawClient> {
    const client = await RawClient.connect(target);
    try {
      await client.write(handshakeBytes({ path }));
      await client.upgraded();
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /**
   * Reads the answer to a handshake.
   *
   * @throws {Error} If that isn't a correct 101.
   */
  async upgraded(): Promise<Response> {
    const response = await this.readResponse();
    if (!isUpgrade(response)) {
      throw new Error(
        `Expected a correct 101, got:\n${response.head}\n\n${response.body}`,
      );
    }
    return response;
  }

  /** Writes `bytes` in one go. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      sent += await within(
        this.#connection.write(bytes.subarray(sent)),
        "a write to go through",
      );
    }
  }

  /**
   * Writes `bytes` one by one, each on its own way before the next is written;
   * of many, {@linkcode slowBytes} at the start and at the end.
   */
  async writeSlowly(bytes: Uint8Array): Promise<void> {
    const end = Math.max(bytes.length - slowBytes, slowBytes);
    for (const byte of bytes.subarray(0, slowBytes)) await this.#writeOne(byte);
    await this.write(bytes.subarray(slowBytes, end));
    for (const byte of bytes.subarray(end)) await this.#writeOne(byte);
  }

  async #writeOne(byte: number): Promise<void> {
    await this.write(Uint8Array.of(byte));
    // A timer would take a millisecond.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Writes a frame; see {@linkcode frameBytes}. */
  send(
    opcode: number,
    payload: string | Uint8Array = "",
    options: FrameOptions = {},
  ): Promise<void> {
    return this.write(frameBytes(opcode, payload, options));
  }

  /** Reads the next frame, or `undefined` at the end of the connection. */
  async readFrame(): Promise<Frame | undefined> {
    if (!await this.#fill(2)) return undefined;
    const [first, second] = this.#take(2) as unknown as [number, number];
    let length = second & 0x7f;
    if (length >= 126) {
      const bytes = length === 126 ? 2 : 8;
      if (!await this.#fill(bytes)) return undefined;
      const view = new DataView(this.#take(bytes).buffer);
      length = bytes === 2 ? view.getUint16(0) : Number(view.getBigUint64(0));
    }
    const masked = (second & 0x80) !== 0;
    if (!await this.#fill(length)) return undefined;
    const payload = this.#take(length);
    return {
      fin: (first & 0x80) !== 0,
      rsv: first >> 4 & 7,
      opcode: first & 15,
      masked,
      payload,
    };
  }

  /** Reads until the server ends the connection, and gets the frames that came. */
  async readToEnd(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let frame; (frame = await this.readFrame());) frames.push(frame);
    return frames;
  }

  /** Reads all that comes and forgets it. Resolves at the end of the connection, with the number of bytes. */
  async readAway(): Promise<number> {
    const chunk = new Uint8Array(256 * 1024);
    let bytes = this.#unread.length;
    this.#unread = new Uint8Array(0);
    try {
      for (let got; (got = await this.#read(chunk)) !== null;) bytes += got;
    } catch (error) {
      // Closed on this side.
      if (
        !(error instanceof Deno.errors.BadResource ||
          error instanceof Deno.errors.Interrupted)
      ) throw error;
    }
    return bytes;
  }

  /**
   * Reads an HTTP response; one to a HEAD has no body, whatever its headers say.
   *
   * @throws {Error} If the connection ends before.
   */
  async readResponse({ toHead = false } = {}): Promise<Response> {
    let head: ResponseHead | undefined;
    while ((head = readHead(this.#unread)) === undefined) {
      if (!await this.#fill(this.#unread.length + 1)) {
        throw new Error(
          `Expected an HTTP response, got the end after "${
            decode(this.#unread)
          }"`,
        );
      }
    }
    this.#take(head.length);
    const hasBody = head.status !== 101 && !toHead;
    return { ...head, body: hasBody ? await this.#readBody(head.headers) : "" };
  }

  /** Reads `count` bytes; fewer at the end of the connection. */
  async readBytes(count: number): Promise<Uint8Array<ArrayBuffer>> {
    await this.#fill(count);
    return this.#take(Math.min(count, this.#unread.length));
  }

  /** Reads `count` bytes as text; fewer at the end of the connection. */
  async readText(count: number): Promise<string> {
    return decode(await this.readBytes(count));
  }

  async #readBody(headers: Headers): Promise<string> {
    if (headers.get("transfer-encoding") === "chunked") {
      while (!decode(this.#unread).endsWith("0\r\n\r\n")) {
        if (!await this.#fill(this.#unread.length + 1)) break;
      }
      return decode(this.#take(this.#unread.length));
    }
    return await this.readText(Number(headers.get("content-length") ?? 0));
  }

  /** Gets the connection, with what came and wasn't taken, for somebody else to read. */
  handOver(): { socket: Deno.Conn; unread: Uint8Array<ArrayBuffer> } {
    return { socket: this.#connection, unread: this.#unread };
  }

  /** Tells the server that nothing more comes; what it sends can still be read. */
  async closeWrite(): Promise<void> {
    await this.#connection.closeWrite();
  }

  /** Ends the connection without a close frame. Safe to call twice. */
  close(): void {
    hangUp(this.#connection);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads until `count` bytes are there, or returns false at the end. */
  async #fill(count: number): Promise<boolean> {
    if (this.#unread.length >= count) return true;
    const parts = [this.#unread];
    let have = this.#unread.length;
    while (have < count && !this.#ended) {
      const chunk = new Uint8Array(64 * 1024);
      const got = await within(this.#read(chunk), `${count - have} more bytes`);
      if (got === null) this.#ended = true;
      else {
        parts.push(chunk.subarray(0, got));
        have += got;
      }
    }
    this.#unread = concat(parts);
    return have >= count;
  }

  /** A reset is an end, too: how the server ends a connection depends on what it has not read. */
  async #read(chunk: Uint8Array): Promise<number | null> {
    try {
      return await this.#connection.read(chunk);
    } catch (error) {
      if (
        error instanceof Deno.errors.ConnectionReset ||
        error instanceof Deno.errors.BrokenPipe
      ) return null;
      throw error;
    }
  }

  #take(count: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#unread.slice(0, count);
    this.#unread = this.#unread.subarray(count);
    return bytes;
  }
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
