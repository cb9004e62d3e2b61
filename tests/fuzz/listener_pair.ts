/** Both listeners, each on a unix socket in this process, with the same handler that keeps what it is told. */
import * as own from "../../src/listener/serve.ts";
import * as runtime from "../../src/listener/runtime.ts";
import type { HttpServer, Listener } from "../../src/listener/http.ts";
import type { Message, SocketHandler } from "../../src/listener/socket.ts";
import { readHandshake } from "../../src/relay/handshake.ts";
import { within } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import { concat, opcodes } from "../helpers/raw_client.ts";

/** The largest message. */
export const maxBytes = 4096;

/** What became of some bytes. */
export interface Outcome {
  /** Messages that the handler got: `text 6162`. */
  readonly messages: readonly string[];
  /** What came back: `pong 6162`, `close 1000`. */
  readonly frames: readonly string[];
  /** What the handler was told at the end; "open" if it wasn't. */
  readonly closed: number | undefined | "open";
}

/** How bytes are sent. */
export interface Sending {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** After how many bytes the next write begins. */
  readonly cuts: readonly number[];
  /**
   * What comes behind them: more, for they end behind a frame, and nothing is
   * wrong with them; the end of the client's side; or nothing, for the listener
   * has to end it.
   */
  readonly then: "more" | "end" | "nothing";
}

/** Keeps what a socket's handler is told. */
class Recorder implements SocketHandler {
  readonly messages: string[] = [];
  readonly ended = Promise.withResolvers<number | undefined>();

  opened(): void {}

  message({ isText, payload }: Message): boolean {
    this.messages.push(`${isText ? "text" : "binary"} ${payload.toHex()}`);
    return true;
  }

  caughtUp(): void {}

  saidGoodbye(): void {}

  faulted(): void {}

  closed(code: number | undefined): void {
    this.ended.resolve(code);
  }
}

/** One of the listeners. */
export class RecordingServer implements AsyncDisposable {
  readonly #path: string;
  readonly #server: HttpServer;
  readonly #recorders = new Map<string, Recorder>();
  #count = 0;

  constructor(listener: Listener, path: string) {
    this.#path = path;
    this.#server = listener.serve({
      address: { path },
      handshakeTimeoutS: () => 60,
      bodyBytes: () => 0,
      maxConnections: () => 1000,
      maxOverloaded: 0,
      overloaded: () => new Response(null, { status: 503 }),
      onError: (error) => {
        throw error;
      },
    }, (request) => {
      const handshake = readHandshake(request);
      if ("status" in handshake) return new Response(null, handshake);
      const handler = new Recorder();
      this.#recorders.set(handshake.path, handler);
      const limits = {
        messageBytes: maxBytes,
        idleTimeoutS: 600,
        closeTimeoutS: 5,
      };
      return listener.upgradeWebSocket(request, { limits, handler }).response;
    });
  }

  /** Sends a handshake; gets the connection, or with which status it was refused. */
  async join(
    handshake: (path: string) => Uint8Array,
  ): Promise<RecordedConnection | number> {
    const path = `/${++this.#count}`;
    const connection = await Deno.connect({
      transport: "unix",
      path: this.#path,
    });
    await connection.write(handshake(path));
    const reader = new FrameCollector(connection);
    const status = await within(
      reader.readStatus(),
      "the answer to a handshake",
    );
    const recorder = this.#recorders.get(path);
    this.#recorders.delete(path);
    if (status === 101) {
      return new RecordedConnection(connection, {
        reader,
        recorder: recorder!,
      });
    }
    connection.close();
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** A WebSocket at one of the listeners. */
export class RecordedConnection {
  readonly #connection: Deno.Conn;
  readonly #reader: FrameCollector;
  readonly #recorder: Recorder;
  #fences = 0;

  constructor(
    connection: Deno.Conn,
    { reader, recorder }: { reader: FrameCollector; recorder: Recorder },
  ) {
    this.#connection = connection;
    this.#reader = reader;
    this.#recorder = recorder;
  }

  /** Sends bytes, and gets what becomes of them. */
  async send({ bytes, cuts, then }: Sending): Promise<Outcome> {
    const { messages, ended } = this.#recorder;
    let from = 0;
    for (const end of [...cuts, bytes.length]) {
      await this.#write(bytes.subarray(from, end));
      from = end;
      // So that the next piece is read apart.
      if (end < bytes.length) await new Promise((next) => setTimeout(next, 0));
    }
    if (then === "end") await this.#connection.closeWrite().catch(() => {});
    if (then !== "more") {
      const frames = await within(this.#reader.readUntil(), "the end");
      const closed = await within(ended.promise, "the handler's end");
      this.close();
      return { messages, frames, closed };
    }
    const fence = new TextEncoder().encode(`fence ${++this.#fences}`);
    await this.#write(pingOf(fence));
    const last = `pong ${fence.toHex()}`;
    const frames = await within(this.#reader.readUntil(last), "a pong");
    return { messages: messages.splice(0), frames, closed: "open" };
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // It was closed before.
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      try {
        sent += await this.#connection.write(bytes.subarray(sent));
      } catch {
        // The listener has ended it: what it said can be read.
        return;
      }
    }
  }
}

function pingOf(payload: Uint8Array): Uint8Array {
  return concat([
    Uint8Array.of(0x80 | opcodes.ping, 0x80 | payload.length, 0, 0, 0, 0),
    payload,
  ]);
}

/** Reads what a listener sends: short frames without a mask. */
class FrameCollector {
  readonly #connection: Deno.Conn;
  readonly #buffer = new Uint8Array(64 * 1024);
  #unread: Uint8Array = new Uint8Array(0);

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async readStatus(): Promise<number> {
    while (true) {
      const text = new TextDecoder("latin1").decode(this.#unread);
      const end = text.indexOf("\r\n\r\n");
      if (end < 0 && await this.#read()) continue;
      this.#unread = this.#unread.subarray(end + 4);
      const status = Number(text.slice(9, 12));
      // 100 says only that the body may come.
      if (status !== 100) return status;
    }
  }

  /** Gets the frames before the one that is `last`, or all up to the end. */
  async readUntil(last?: string): Promise<string[]> {
    const frames: string[] = [];
    while (true) {
      const [first, length] = this.#unread;
      const end = 2 + (length ?? Infinity);
      if (end <= this.#unread.length) {
        const frame = shown(first! & 15, this.#unread.slice(2, end));
        this.#unread = this.#unread.subarray(end);
        if (frame === last) return frames;
        frames.push(frame);
      } else if (!await this.#read()) {
        return [...frames, ...last ? ["end"] : []];
      }
    }
  }

  async #read(): Promise<boolean> {
    const count = await this.#connection.read(this.#buffer).catch(() => null);
    if (count === null) return false;
    this.#unread = concat([this.#unread, this.#buffer.subarray(0, count)]);
    return true;
  }
}

function shown(opcode: number, payload: Uint8Array): string {
  if (opcode === opcodes.pong) return `pong ${payload.toHex()}`;
  if (opcode !== opcodes.close) return `opcode ${opcode}`;
  return `close ${
    payload.length === 0 ? 1005 : payload[0]! << 8 | payload[1]!
  }`;
}

/** Both of them. */
export class ListenerPair implements AsyncDisposable {
  readonly own: RecordingServer;
  readonly runtimes: RecordingServer;
  readonly #folder: TempFolder;

  private constructor(folder: TempFolder) {
    this.#folder = folder;
    this.own = new RecordingServer(own, `${folder.path}/own`);
    this.runtimes = new RecordingServer(runtime, `${folder.path}/runtime`);
  }

  /** Starts them. */
  static async start(): Promise<ListenerPair> {
    return new ListenerPair(await TempFolder.make());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.own[Symbol.asyncDispose]();
    await this.runtimes[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}
