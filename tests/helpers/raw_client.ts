/**
 * A WebSocket client that does only what it is told, right or wrong, for tests
 * of what goes over the wire. It reads only when asked.
 */
import { setImmediate } from "node:timers";
import { within } from "./eventually.ts";

/** Where to connect to. */
export type Target = { readonly socket: string } | { readonly port: number };

/** RFC 6455 section 11.8. */
export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** How to write a frame; the defaults make a correct one (RFC 6455 section 5.2). */
export interface FrameOptions {
  /** The last frame of its message. Default true. */
  readonly fin?: boolean;
  /** The reserved bits, 0 to 7. Default 0. */
  readonly rsv?: number;
  /** Masked with this key; `false` leaves the frame unmasked. Default a fixed key. */
  readonly mask?: readonly [number, number, number, number] | false;
  /** How many bytes the extended length takes: 0, 2 or 8. Default the fewest. */
  readonly lengthBytes?: 0 | 2 | 8;
  /** The length to declare, if it isn't that of the payload. */
  readonly declaredLength?: bigint;
}

/** A frame as it came from the server. */
export interface Frame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly masked: boolean;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** An HTTP response. */
export interface Response {
  readonly status: number;
  readonly headers: Headers;
  /** Status line and headers as they came. */
  readonly head: string;
  readonly body: string;
}

/** How to ask for an upgrade; the defaults make a correct request (RFC 6455 section 4.1). */
export interface HandshakeOptions {
  readonly method?: string;
  readonly path?: string;
  readonly version?: string;
  /** Headers by name; `undefined` removes a default one, an array repeats it. */
  readonly headers?: Record<string, string | readonly string[] | undefined>;
}

/** The key of RFC 6455 section 1.3, and what it must be answered with. */
export const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==";
/** The answer to {@linkcode sampleKey}. */
export const sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** See {@linkcode RawClient.writeSlowly}. */
const slowBytes = 2048;

const encoder = new TextEncoder();

/** Gets the bytes of a frame. Text becomes UTF-8. */
export function frameBytes(
  opcode: number,
  payload: string | Uint8Array = "",
  options: FrameOptions = {},
): Uint8Array<ArrayBuffer> {
  const { fin = true, rsv = 0, mask = [0x37, 0xfa, 0x21, 0x3d] as const } =
    options;
  const data = typeof payload === "string" ? encoder.encode(payload) : payload;
  const length = options.declaredLength ?? BigInt(data.length);
  const lengthBytes = options.lengthBytes ??
    (length < 126n ? 0 : length < 65536n ? 2 : 8);
  const headBytes = 2 + lengthBytes + (mask ? 4 : 0);
  const bytes = new Uint8Array(headBytes + data.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = (fin ? 0x80 : 0) | rsv << 4 | opcode;
  bytes[1] = (mask ? 0x80 : 0) |
    (lengthBytes === 0 ? Number(length) : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) view.setUint16(2, Number(length));
  if (lengthBytes === 8) view.setBigUint64(2, length);
  bytes.set(data, headBytes);
  if (mask) {
    bytes.set(mask, 2 + lengthBytes);
    for (let i = 0; i < data.length; i++) bytes[headBytes + i]! ^= mask[i % 4]!;
  }
  return bytes;
}

/** Gets the payload of a close frame (RFC 6455 section 5.5.1). */
export function closePayload(
  code: number,
  reason: string | Uint8Array = "",
): Uint8Array<ArrayBuffer> {
  const text = typeof reason === "string" ? encoder.encode(reason) : reason;
  return concat([Uint8Array.of(code >> 8, code & 0xff), text]);
}

/** Gets the code and reason in a close frame's payload; 1005 if it has none (RFC 6455 section 7.1.5). */
export function readClose(
  payload: Uint8Array,
): { code: number; reason: string } {
  if (payload.length === 0) return { code: 1005, reason: "" };
  return {
    code: payload[0]! << 8 | payload[1]!,
    reason: new TextDecoder().decode(payload.subarray(2)),
  };
}

/** Gets the bytes of a request for an upgrade. */
export function handshakeBytes(
  options: HandshakeOptions = {},
): Uint8Array<ArrayBuffer> {
  const { method = "GET", path = "/", version = "HTTP/1.1" } = options;
  const headers: NonNullable<HandshakeOptions["headers"]> = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": sampleKey,
    ...options.headers,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}: ${one}`)
  );
  return encoder.encode(
    [`${method} ${path} ${version}`, ...lines, "", ""].join("\r\n"),
  );
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

  /** Connects, and sends nothing yet. */
  static async connect(target: Target): Promise<RawClient> {
    if ("socket" in target) {
      return new RawClient(
        await Deno.connect({ transport: "unix", path: target.socket }),
      );
    }
    const connection = await Deno.connect({
      hostname: "127.0.0.1",
      port: target.port,
    });
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
    if (
      response.status !== 101 ||
      response.headers.get("sec-websocket-accept") !== sampleAccept
    ) {
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
    while (true) {
      const frame = await this.readFrame();
      if (frame === undefined) return frames;
      frames.push(frame);
    }
  }

  /** Reads all that comes and forgets it. Resolves at the end of the connection, with the number of bytes. */
  async readAway(): Promise<number> {
    const chunk = new Uint8Array(256 * 1024);
    let bytes = this.#unread.length;
    this.#unread = new Uint8Array(0);
    while (true) {
      let got: number | null;
      try {
        got = await this.#read(chunk);
      } catch (error) {
        // Closed on this side.
        if (
          !(error instanceof Deno.errors.BadResource ||
            error instanceof Deno.errors.Interrupted)
        ) throw error;
        got = null;
      }
      if (got === null) return bytes;
      bytes += got;
    }
  }

  /**
   * Reads an HTTP response; one to a HEAD has no body, whatever its headers say.
   *
   * @throws {Error} If the connection ends before.
   */
  async readResponse({ toHead = false } = {}): Promise<Response> {
    let end: number;
    let wanted = 1;
    while ((end = indexOfHeadEnd(this.#unread)) < 0) {
      wanted = this.#unread.length + 1;
      if (!await this.#fill(wanted)) {
        throw new Error(
          `Expected an HTTP response, got the end after "${
            decode(this.#unread)
          }"`,
        );
      }
    }
    const head = decode(this.#take(end + 4)).trimEnd();
    const [statusLine, ...lines] = head.split("\r\n");
    const headers = new Headers(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }));
    const status = Number(/^HTTP\/1\.[01] (\d{3})( |$)/.exec(statusLine!)?.[1]);
    return {
      status,
      headers,
      head,
      body: status === 101 || toHead ? "" : await this.#readBody(headers),
    };
  }

  /** Reads `count` bytes; fewer at the end of the connection. */
  async readBytes(count: number): Promise<Uint8Array<ArrayBuffer>> {
    await this.#fill(count);
    return this.#take(Math.min(count, this.#unread.length));
  }

  /** Reads `count` bytes as text; fewer at the end of the connection. */
  async readText(count: number): Promise<string> {
    await this.#fill(count);
    return decode(this.#take(Math.min(count, this.#unread.length)));
  }

  async #readBody(headers: Headers): Promise<string> {
    if (headers.get("transfer-encoding") === "chunked") {
      while (!decode(this.#unread).endsWith("0\r\n\r\n")) {
        if (!await this.#fill(this.#unread.length + 1)) break;
      }
      return decode(this.#take(this.#unread.length));
    }
    const length = Number(headers.get("content-length") ?? 0);
    await this.#fill(length);
    return decode(this.#take(Math.min(length, this.#unread.length)));
  }

  /** Tells the server that nothing more comes; what it sends can still be read. */
  async closeWrite(): Promise<void> {
    await this.#connection.closeWrite();
  }

  /** Ends the connection without a close frame. Safe to call twice. */
  close(): void {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
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

/** Gets the parts as one array. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function indexOfHeadEnd(bytes: Uint8Array): number {
  for (let i = 0; i + 3 < bytes.length; i++) {
    if (
      bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 &&
      bytes[i + 3] === 10
    ) return i;
  }
  return -1;
}
