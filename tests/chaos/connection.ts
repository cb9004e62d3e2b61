/**
 * A WebSocket connection as the crowd needs it: fast, and able to stop reading
 * and to break off, which the runtime's own client isn't.
 */
import {
  closePayload,
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
  readClose,
  sampleAccept,
  type Target,
} from "../helpers/raw_client.ts";
import type { MessageKind } from "./history.ts";

/** How a connection ended: who began, and how the frame said. 1006 stands for no close frame. */
export interface Ending {
  readonly by: "client" | "server" | "nobody";
  readonly code: number;
  readonly reason: string;
}

/** What a connection tells. */
export interface Listener {
  /** A message came. `payload` is valid during the call. */
  message(kind: MessageKind, payload: Uint8Array): void;
  /** The connection has ended. Called once. */
  closed(ending: Ending): void;
}

/** Why there is no connection. */
export interface Refused {
  /** The HTTP status; 0 if no answer came. */
  readonly status: number;
  readonly reason: string;
}

/** Settings of {@linkcode Connection.dial}. */
export interface DialOptions {
  readonly path: string;
  readonly timeoutMs: number;
  /** Gives up. */
  readonly signal: AbortSignal;
}

const readBytes = 64 * 1024;
/** A buffer that grew larger than this for a large message is given up after it. */
const keptBytes = 4 * readBytes;
const maxHeadBytes = 16 * 1024;
/** For how long an answer to a close frame is waited for, in milliseconds. */
const leaveTimeoutMs = 30_000;
/** For how long the answer to a close frame may take to be written, in milliseconds. */
const answerTimeoutMs = 2000;

/** An open connection. */
export class Connection {
  /** The headers of the 101. */
  readonly headers: Headers;
  readonly #socket: Deno.Conn;
  #listener: Listener | undefined;
  #buffer: Uint8Array<ArrayBuffer>;
  /** Where what has been read and not been taken begins and ends in the buffer. */
  #start: number;
  #end: number;
  #fragments: Uint8Array<ArrayBuffer>[] = [];
  #fragmentsKind: MessageKind | undefined;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing = false;
  #resumed: PromiseWithResolvers<void> | undefined;
  /** The code that it left with, if it did. */
  #leftWith: number | undefined;
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  private constructor(
    socket: Deno.Conn,
    { headers, buffer, start, end }: {
      headers: Headers;
      buffer: Uint8Array<ArrayBuffer>;
      start: number;
      end: number;
    },
  ) {
    this.#socket = socket;
    this.headers = headers;
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  /** Connects and joins a channel. Nothing is read of it before {@linkcode listen}. */
  static async dial(
    target: Target,
    { path, timeoutMs, signal }: DialOptions,
  ): Promise<Connection | Refused> {
    let socket: Deno.Conn | undefined;
    let givenUp: string | undefined;
    const giveUp = (why: string): void => {
      givenUp = why;
      if (socket !== undefined) close(socket);
    };
    const timer = setTimeout(() => giveUp("no answer in time"), timeoutMs);
    const abort = (): void => giveUp("given up");
    signal.addEventListener("abort", abort);
    try {
      socket = await connect(target);
      if (givenUp !== undefined) throw new Error(givenUp);
      return await Connection.#shakeHands(socket, path);
    } catch (error) {
      if (socket !== undefined) close(socket);
      return { status: 0, reason: givenUp ?? (error as Error).message };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  static async #shakeHands(
    socket: Deno.Conn,
    path: string,
  ): Promise<Connection | Refused> {
    await writeAll(socket, handshakeBytes({ path }));
    const buffer = new Uint8Array(readBytes);
    let end = 0;
    let headEnd;
    while ((headEnd = endOfHead(buffer.subarray(0, end))) < 0) {
      const got = await socket.read(buffer.subarray(end));
      if (got === null) throw new Error("ended before an answer");
      end += got;
      if (end > maxHeadBytes && endOfHead(buffer.subarray(0, end)) < 0) {
        throw new Error("an answer without an end");
      }
    }
    const [statusLine, ...lines] = new TextDecoder()
      .decode(buffer.subarray(0, headEnd - 4)).split("\r\n");
    const headers = new Headers(lines.map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at), line.slice(at + 1).trim()];
    }));
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine!)?.[1] ?? 0);
    if (status !== 101) {
      close(socket);
      const body = new TextDecoder().decode(buffer.subarray(headEnd, end));
      return { status, reason: body.split("\n")[0]!.slice(0, 100).trim() };
    }
    if (headers.get("sec-websocket-accept") !== sampleAccept) {
      throw new Error("a 101 without the right Sec-WebSocket-Accept");
    }
    return new Connection(socket, { headers, buffer, start: headEnd, end });
  }

  /**
   * Sends a handshake and messages behind it in one go, and breaks off with the
   * answer unread. Whatever hinders it ends it.
   */
  static async rush(
    target: Target,
    { path, messages }: {
      path: string;
      messages: readonly { kind: MessageKind; payload: Uint8Array }[];
    },
  ): Promise<void> {
    try {
      using socket = await connect(target);
      const frames = messages.map(({ kind, payload }) =>
        frameBytes(opcodes[kind], payload)
      );
      await writeAll(socket, concat([handshakeBytes({ path }), ...frames]));
    } catch {
      // Nobody is told.
    }
  }

  /** Begins to read, with what came together with the 101. */
  listen(listener: Listener): void {
    this.#listener = listener;
    this.#read();
  }

  /** What waits to be written, in bytes. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether it doesn't read at the moment. */
  get isStalled(): boolean {
    return this.#resumed !== undefined;
  }

  /** Sends a message behind what waits. */
  send(kind: MessageKind, payload: Uint8Array): void {
    this.#write(frameBytes(opcodes[kind], payload));
  }

  /** Stops reading, after what is being read right now. */
  stall(): void {
    this.#resumed ??= Promise.withResolvers();
  }

  /** Reads again. */
  resume(): void {
    this.#resumed?.resolve();
    this.#resumed = undefined;
  }

  /** Leaves behind what waits, with a close frame of `code`, or an empty one (1005). */
  leave(code: number): void {
    if (this.#ended || this.#leftWith !== undefined) return;
    this.#leftWith = code;
    const payload = code === 1005 ? "" : closePayload(code);
    this.#write(frameBytes(opcodes.close, payload));
    this.#leaveTimer = setTimeout(
      () => this.#finish({ by: "nobody", code: 1006, reason: "" }),
      leaveTimeoutMs,
    );
  }

  /** Breaks off: with a reset if something hasn't been read, which a stall before sees to. */
  reset(): void {
    this.#finish({ by: "client", code: 1006, reason: "" });
  }

  #finish(ending: Ending): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#leaveTimer);
    close(this.#socket);
    this.resume();
    this.#listener?.closed(ending);
  }

  #write(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (!this.#writing) this.#writeQueue();
  }

  async #writeQueue(): Promise<void> {
    this.#writing = true;
    try {
      for (let bytes; (bytes = this.#queue[0]) !== undefined;) {
        await writeAll(this.#socket, bytes);
        this.#queue.shift();
        this.#queuedBytes -= bytes.length;
      }
    } catch {
      // What came before the break is still to be read; the reader ends it.
      this.#queue.length = 0;
      this.resume();
    }
    this.#writing = false;
    if (this.#ended) {
      clearTimeout(this.#leaveTimer);
      close(this.#socket);
    }
  }

  async #read(): Promise<void> {
    try {
      while (!this.#ended) {
        this.#takeFrames();
        if (this.#ended) return;
        if (this.#resumed !== undefined) await this.#resumed.promise;
        this.#makeRoom();
        const got = await this.#socket.read(this.#buffer.subarray(this.#end));
        if (got === null) break;
        this.#end += got;
      }
    } catch (error) {
      if (error instanceof SyntaxError) {
        // Nothing excuses this code.
        const reason = error.message;
        return this.#finish({ by: "nobody", code: 1002, reason });
      }
      if (error instanceof TypeError || error instanceof RangeError) {
        throw error;
      }
    }
    this.#finish({ by: "nobody", code: 1006, reason: "" });
  }

  /** Sees that there is room to read into. */
  #makeRoom(): void {
    const waiting = this.#end - this.#start;
    if (waiting === 0) {
      this.#start = this.#end = 0;
      if (this.#buffer.length > keptBytes) {
        this.#buffer = new Uint8Array(readBytes);
      }
    }
    if (this.#buffer.length - this.#end >= readBytes / 4) return;
    const size = waiting > this.#buffer.length / 2
      ? this.#buffer.length * 2
      : this.#buffer.length;
    const buffer = new Uint8Array(size);
    buffer.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = waiting;
  }

  /** Takes each whole frame that is there (RFC 6455 section 5.2). */
  #takeFrames(): void {
    const buffer = this.#buffer;
    while (!this.#ended) {
      const have = this.#end - this.#start;
      if (have < 2) return;
      const first = buffer[this.#start]!;
      const second = buffer[this.#start + 1]!;
      if ((first & 0x70) !== 0 || (second & 0x80) !== 0) {
        throw new SyntaxError("a frame with a mask or reserved bits");
      }
      let length = second & 0x7f;
      let headBytes = 2;
      if (length >= 126) {
        headBytes = length === 126 ? 4 : 10;
        if (have < headBytes) return;
        const view = new DataView(buffer.buffer, this.#start + 2);
        length = length === 126
          ? view.getUint16(0)
          : Number(view.getBigUint64(0));
      }
      if (have < headBytes + length) return;
      const from = this.#start + headBytes;
      this.#start = from + length;
      this.#takeFrame(first, buffer.subarray(from, from + length));
    }
  }

  #takeFrame(first: number, payload: Uint8Array<ArrayBuffer>): void {
    const fin = (first & 0x80) !== 0;
    switch (first & 15) {
      case opcodes.text:
      case opcodes.binary:
      case opcodes.continuation:
        return this.#takeData(first & 15, { fin, payload });
      case opcodes.ping:
        return this.#write(frameBytes(opcodes.pong, payload));
      case opcodes.pong:
        return;
      case opcodes.close:
        return this.#takeClose(payload);
      default:
        throw new SyntaxError(`a frame with opcode ${first & 15}`);
    }
  }

  #takeData(
    opcode: number,
    { fin, payload }: { fin: boolean; payload: Uint8Array<ArrayBuffer> },
  ): void {
    if ((opcode === opcodes.continuation) === !this.#fragmentsKind) {
      throw new SyntaxError("a fragment out of turn");
    }
    const kind = this.#fragmentsKind ??
      (opcode === opcodes.text ? "text" : "binary");
    let whole = payload;
    if (!fin || this.#fragmentsKind !== undefined) {
      this.#fragments.push(payload.slice());
      this.#fragmentsKind = kind;
      if (!fin) return;
      whole = concat(this.#fragments);
      this.#fragments = [];
      this.#fragmentsKind = undefined;
    }
    this.#listener!.message(kind, whole);
  }

  #takeClose(payload: Uint8Array<ArrayBuffer>): void {
    const { code, reason } = readClose(payload);
    if (this.#leftWith === code) {
      return this.#finish({ by: "client", code, reason });
    }
    // The answer goes behind what waits. The connection has ended all the same.
    this.#write(frameBytes(opcodes.close, payload.subarray(0, 2)));
    this.#ended = true;
    clearTimeout(this.#leaveTimer);
    if (this.#writing) {
      this.#leaveTimer = setTimeout(() => close(this.#socket), answerTimeoutMs);
    } else close(this.#socket);
    this.#listener?.closed({ by: "server", code, reason });
  }
}

async function connect(target: Target): Promise<Deno.Conn> {
  if ("socket" in target) {
    return await Deno.connect({ transport: "unix", path: target.socket });
  }
  const { port } = target;
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  socket.setNoDelay(true);
  return socket;
}

async function writeAll(socket: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) {
    sent += await socket.write(bytes.subarray(sent));
  }
}

function close(socket: Deno.Conn): void {
  try {
    socket.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** Gets where the head of an HTTP response ends, or -1. */
function endOfHead(bytes: Uint8Array): number {
  for (let i = 0; i + 3 < bytes.length; i++) {
    if (
      bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 &&
      bytes[i + 3] === 10
    ) return i + 4;
  }
  return -1;
}
