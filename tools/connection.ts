/**
 * A WebSocket connection that tells what comes at once, and can stop reading
 * and break off: what `Client` of `ws_client.ts` and crowds of clients are made of.
 */
import { eventTimeoutMs } from "./eventually.ts";
import {
  closePayload,
  frameBytes,
  type FrameListener,
  FrameReader,
  opcodes,
  readClose,
  type Told,
} from "./frames.ts";
import {
  handshakeBytes,
  type HandshakeOptions,
  isUpgrade,
  type ResponseHead,
} from "./handshake.ts";
import { hangUp, RawClient, type Target } from "./raw_client.ts";

type MessageKind = "text" | "binary";

/** How a connection ended: who began, and how the frame said. 1006 stands for no close frame. */
export interface Ending {
  readonly by: "client" | "server" | "nobody";
  readonly code: number;
  readonly reason: string;
}

/** What a connection tells. */
export interface Listener {
  /** A message came. `payload` is valid during the call. */
  message(kind: MessageKind, payload: Uint8Array<ArrayBuffer>): void;
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
export interface DialOptions extends HandshakeOptions {
  readonly timeoutMs?: number;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

const readBytes = 64 * 1024;
/** For how long an answer to a close frame is waited for, in milliseconds. */
const leaveTimeoutMs = 30_000;
/** For how long the answer to a close frame may take to be written, in milliseconds. */
const answerTimeoutMs = 2000;

/** An open connection. */
export class Connection implements FrameListener {
  /** The headers of the 101. */
  readonly headers: Headers;
  readonly #socket: Deno.Conn;
  readonly #reader = new FrameReader(this);
  /** What came together with the 101. */
  readonly #first: Uint8Array<ArrayBuffer>;
  #listener: Listener | undefined;
  #queuedBytes = 0;
  /** Resolves when nothing waits to be written. */
  #written = Promise.resolve();
  #resumed: PromiseWithResolvers<void> | undefined;
  /** The code that it left with, if it did. */
  #leftWith: number | undefined;
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  private constructor(client: RawClient, { headers }: ResponseHead) {
    const { socket, unread } = client.handOver();
    this.#socket = socket;
    this.#first = unread;
    this.headers = headers;
  }

  /** Connects and joins a channel. Nothing is read of it before {@linkcode listen}. */
  static async dial(
    target: Target,
    { timeoutMs = eventTimeoutMs, signal, ...request }: DialOptions,
  ): Promise<Connection | Refused> {
    let client: RawClient | undefined;
    let givenUp: string | undefined;
    const giveUp = (why: string): void => {
      givenUp = why;
      client?.close();
    };
    const timer = setTimeout(() => giveUp("no answer in time"), timeoutMs);
    const abort = (): void => giveUp("given up");
    signal?.addEventListener("abort", abort);
    try {
      client = await RawClient.connect(target);
      if (givenUp !== undefined) throw new Error(givenUp);
      await client.write(handshakeBytes(request));
      const response = await client.readResponse();
      if (isUpgrade(response)) return new Connection(client, response);
      client.close();
      const { status, body } = response;
      if (status === 101) throw new Error("a 101 with the wrong accept");
      return { status, reason: body.split("\n")[0]!.slice(0, 100).trim() };
    } catch (error) {
      client?.close();
      return { status: 0, reason: givenUp ?? (error as Error).message };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
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

  /** Whether it has neither ended nor begun to leave. */
  get isOpen(): boolean {
    return !this.#ended && this.#leftWith === undefined;
  }

  /** Sends a message behind what waits. */
  send(kind: MessageKind, payload: string | Uint8Array): void {
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
  leave(code = 1005, reason = ""): void {
    if (!this.isOpen) return;
    this.#leftWith = code;
    const payload = code === 1005 ? "" : closePayload(code, reason);
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

  /** @ignore Its {@linkcode FrameReader} tells of a frame. */
  onFrame(
    data: Uint8Array<ArrayBuffer>,
    { opcode, start, end }: Told,
  ): void {
    if (this.#ended) return;
    const payload = data.subarray(start, end);
    switch (opcode) {
      case opcodes.text:
        return this.#listener!.message("text", payload);
      case opcodes.binary:
        return this.#listener!.message("binary", payload);
      case opcodes.ping:
        return this.#write(frameBytes(opcodes.pong, payload));
      case opcodes.close:
        return this.#takeClose(payload);
    }
  }

  #takeClose(payload: Uint8Array): void {
    const { code, reason } = readClose(payload);
    if (this.#leftWith === code) {
      return this.#finish({ by: "client", code, reason });
    }
    // The answer goes behind what waits. The connection has ended all the same.
    this.#write(frameBytes(opcodes.close, payload.subarray(0, 2)));
    this.#ended = true;
    clearTimeout(this.#leaveTimer);
    const timer = setTimeout(() => hangUp(this.#socket), answerTimeoutMs);
    void this.#written.then(() => {
      clearTimeout(timer);
      hangUp(this.#socket);
    });
    this.#listener?.closed({ by: "server", code, reason });
  }

  #finish(ending: Ending): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#leaveTimer);
    hangUp(this.#socket);
    this.resume();
    this.#listener?.closed(ending);
  }

  /** Writes behind what waits. */
  #write(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#queuedBytes += bytes.length;
    this.#written = this.#written.then(() => this.#writeNow(bytes));
  }

  async #writeNow(bytes: Uint8Array): Promise<void> {
    try {
      for (let sent = 0; sent < bytes.length;) {
        sent += await this.#socket.write(bytes.subarray(sent));
      }
    } catch {
      // What came before the break is still to be read; the reader ends it.
      this.resume();
    }
    this.#queuedBytes -= bytes.length;
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(readBytes);
    try {
      this.#reader.read(this.#first, this.#first.length);
      while (!this.#ended) {
        if (this.#resumed !== undefined) await this.#resumed.promise;
        const got = await this.#socket.read(buffer);
        if (got === null) break;
        this.#reader.read(buffer, got);
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
}
