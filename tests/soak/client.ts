/**
 * A WebSocket client that costs little: hundreds a second come and go beside the
 * servers that are watched.
 */
import {
  type Frame,
  frame,
  FrameReader,
  opcodes,
} from "../../bench/load/frames.ts";
import { within } from "../helpers/eventually.ts";
import {
  handshakeBytes,
  readClose,
  type Target,
} from "../helpers/raw_client.ts";

/** What a client reads at once, in bytes. */
const readBytes = 4096;

/** The server answered a handshake with something else than 101. */
export class RefusedError extends Error {
  /** @param status The HTTP status; 0 without an answer. */
  constructor(readonly status: number, options?: ErrorOptions) {
    super(`The handshake was answered with ${status}, expected 101`, options);
  }
}

/** Who hears what happens to a client. */
export interface ClientListener {
  /** The client has joined; called before anything else, and before {@linkcode SoakClient.join} resolves. */
  onOpen(client: SoakClient): void;
  /** `bytes` are good during the call only. */
  onMessage(bytes: Uint8Array, isText: boolean): void;
  /** The server ended the connection: with a close code, or 1006 without one. */
  onEnd(code: number): void;
}

/** A connection from the 101 on. */
export class SoakClient {
  readonly #connection: Deno.Conn;
  readonly #listener: ClientListener;
  readonly #frames = new FrameReader(this);
  readonly #reading: Promise<void>;
  #writing: Promise<void> = Promise.resolve();
  #code: number | undefined;
  #leaving = false;

  private constructor(
    connection: Deno.Conn,
    { listener, rest, hold }: {
      listener: ClientListener;
      rest: Uint8Array<ArrayBuffer>;
      hold: Promise<void> | undefined;
    },
  ) {
    this.#connection = connection;
    this.#listener = listener;
    listener.onOpen(this);
    this.#reading = this.#read(rest, hold);
  }

  /**
   * Gets a client that has joined the channel `path`.
   *
   * @param options.listener Hears what happens.
   * @param options.hold The client reads nothing until this resolves.
   * @throws {RefusedError} If the server lets nobody in.
   */
  static async join(
    target: Target,
    path: string,
    { listener, hold }: { listener: ClientListener; hold?: Promise<void> },
  ): Promise<SoakClient> {
    const connection = await connect(target);
    try {
      await writeAll(connection, handshakeBytes({ path }));
      const rest = await within(readHead(connection), "a handshake's answer");
      return new SoakClient(connection, { listener, rest, hold });
    } catch (error) {
      connection.close();
      if (error instanceof RefusedError) throw error;
      throw new RefusedError(0, { cause: error });
    }
  }

  /**
   * Asks for an upgrade and hangs up at once, before the answer.
   *
   * @throws {RefusedError} If nobody accepts the connection.
   */
  static async hangUp(target: Target, path: string): Promise<void> {
    const connection = await connect(target);
    await writeAll(connection, handshakeBytes({ path })).catch(() => {});
    connection.close();
  }

  /** Publishes a message. Resolves when it is on its way, or the connection has ended. */
  send(payload: Uint8Array, isText: boolean): Promise<void> {
    return this.#write(
      frame(isText ? opcodes.text : opcodes.binary, payload),
    );
  }

  /** Leaves with a close frame. Gets whether the server ended the connection, as it should. */
  async leave(): Promise<boolean> {
    this.#leaving = true;
    await this.#write(frame(opcodes.close, new Uint8Array([0x03, 0xe8])));
    try {
      await within(this.#reading, "the server to end a connection");
      return true;
    } catch {
      return false;
    } finally {
      this.#close();
    }
  }

  /** Leaves without a word. */
  async breakOff(): Promise<void> {
    this.#leaving = true;
    this.#close();
    await this.#reading;
  }

  onFrame(
    data: Uint8Array<ArrayBuffer>,
    { opcode, start, end }: Frame,
  ): void {
    if (opcode === opcodes.ping) {
      void this.#write(frame(opcodes.pong, data.slice(start, end)));
    } else if (opcode === opcodes.close) {
      this.#code = readClose(data.subarray(start, end)).code;
      void this.#write(frame(opcodes.close, data.slice(start, end)));
    } else if (opcode < opcodes.close && !this.#leaving) {
      this.#listener.onMessage(
        data.subarray(start, end),
        opcode === opcodes.text,
      );
    }
  }

  #write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // An end is noticed by whoever reads.
    return this.#writing = this.#writing.then(() =>
      writeAll(this.#connection, bytes)
    ).catch(() => {});
  }

  async #read(
    rest: Uint8Array<ArrayBuffer>,
    hold: Promise<void> | undefined,
  ): Promise<void> {
    await hold;
    const buffer = new Uint8Array(hold ? 16 * readBytes : readBytes);
    try {
      if (rest.length > 0) this.#frames.read(rest, rest.length);
      for (;;) {
        const count = await this.#connection.read(buffer);
        if (count === null) break;
        this.#frames.read(buffer, count);
      }
    } catch (error) {
      if (!isEnd(error)) throw error;
    }
    if (this.#leaving) return;
    this.#close();
    this.#listener.onEnd(this.#code ?? 1006);
  }

  #close(): void {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

async function connect(target: Target): Promise<Deno.Conn> {
  try {
    return "socket" in target
      ? await Deno.connect({ transport: "unix", path: target.socket })
      : await Deno.connect({ hostname: "127.0.0.1", port: target.port });
  } catch (error) {
    throw new RefusedError(0, { cause: error });
  }
}

async function writeAll(
  connection: Deno.Conn,
  bytes: Uint8Array,
): Promise<void> {
  for (let sent = 0; sent < bytes.length;) {
    sent += await connection.write(bytes.subarray(sent));
  }
}

/** Reads the answer to a handshake, and gets what came behind it. */
async function readHead(
  connection: Deno.Conn,
): Promise<Uint8Array<ArrayBuffer>> {
  const buffer = new Uint8Array(readBytes);
  let length = 0;
  while (length < buffer.length) {
    let count: number | null;
    try {
      count = await connection.read(buffer.subarray(length));
    } catch (error) {
      if (!isEnd(error)) throw error;
      count = null;
    }
    if (count === null) throw new RefusedError(0);
    length += count;
    const text = latin1.decode(buffer.subarray(0, length));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const status = Number(
      text.slice("HTTP/1.1 ".length, "HTTP/1.1 ".length + 3),
    );
    if (status !== 101) throw new RefusedError(status);
    return buffer.slice(end + 4, length);
  }
  throw new RefusedError(0);
}

const latin1 = new TextDecoder("latin1");

/** A reset is an end, too; and so is that we closed it ourselves. */
function isEnd(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.BadResource ||
    error instanceof Deno.errors.Interrupted;
}
