/** One connection of a client, with limits on every wait. The only file that imports ws. */
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { WebSocket } from "ws";
import { StartupError } from "../../common/errors.ts";
import { within } from "../../common/timing.ts";
import {
  ConnectError,
  connectError,
  type Refusal,
  refusalError,
} from "./connect_error.ts";
import type { Trust } from "./trust.ts";

/** A message: text, or bytes. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** How a connection ended. */
export interface Ended {
  /** 1005 without a code, 1006 without a close frame (RFC 6455 section 7.4.1). */
  readonly code: number;
  readonly reason: string;
}

/** The largest message that any staps takes, in bytes: the limit of its limit. */
export const maxMessageBytes = 64 * 1024 * 1024;

/** How long a handshake may take, in milliseconds. */
const connectMs = 10_000;
/** What may wait to be written before `send` waits, in bytes. */
const maxUnsentBytes = 1024 * 1024;
/** How long a server may take none of what waits, in milliseconds. */
const stalledMs = 30_000;
/** How often it looks what still waits, in milliseconds. */
const pollMs = 5;
/** How long a server may take to answer a close, in milliseconds. */
const closeMs = 5000;
/** The least and the longest time for a server to refuse the last message, in milliseconds. */
const minRefusalMs = 50;
const maxRefusalMs = 1000;
/** What is read of the body of a refusal, in characters, and for how long, in milliseconds. */
const maxBodyLength = 4096;
const bodyMs = 2000;

/** What is used of a `WebSocket` of ws, which has no types of its own. */
interface Socket {
  readonly readyState: number;
  send(message: Message, sent: (error?: Error) => void): void;
  close(code: number): void;
  terminate(): void;
  on(event: "open", listener: () => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  on(
    event: "message",
    listener: (data: Buffer, isBinary: boolean) => void,
  ): void;
  on(event: "close", listener: (code: number, reason: Buffer) => void): void;
  on(
    event: "unexpected-response",
    listener: (request: unknown, response: Response) => void,
  ): void;
}

/** What is used of an `IncomingMessage` of node:http. */
interface Response extends AsyncIterable<string> {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  setEncoding(encoding: "utf8"): void;
}

/** What {@linkcode Connection} needs besides the URL. */
export interface ConnectionOptions {
  /** The unix socket to connect to, whatever host the URL names. */
  readonly socket?: string | undefined;
  /** Whom to trust over TLS. */
  readonly trust?: Trust;
}

/** A connection to a channel. */
export class Connection {
  /** Resolves when the channel is joined. @throws {ConnectError} If it can't be. */
  readonly opened: Promise<void>;
  /** Resolves when the connection is no more. */
  readonly ended: Promise<Ended>;
  /** Gets each message. */
  onMessage: (message: Message) => void = () => {};
  readonly #socket: Socket;
  #unsentBytes = 0;
  /** How long the handshake took: at least one way there and back. */
  #handshakeMs = 0;

  /** Begins to connect to `url`. */
  constructor(url: string, { socket: path, trust }: ConnectionOptions = {}) {
    const socket: Socket = new WebSocket(url, {
      ...trust,
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      ...path === undefined
        ? {}
        : { createConnection: () => connect({ path }) },
    });
    this.#socket = socket;
    const startMs = performance.now();
    const opened = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Ended>();
    const where = {
      place: path === undefined ? new URL(url).origin : `"${path}"`,
      url: new URL(url),
      hasPath: path !== undefined,
    };
    this.opened = within(opened.promise, connectMs, () => {
      socket.terminate();
      throw new ConnectError(
        `Cannot connect to ${where.place}: no answer in ${connectMs / 1000} s`,
      );
    });
    this.ended = ended.promise;
    socket.on("open", () => {
      this.#handshakeMs = performance.now() - startMs;
      opened.resolve();
    });
    socket.on("unexpected-response", (_request, response) => {
      void readRefusal(response).then((refusal) => {
        opened.reject(refusalError(refusal, where));
        socket.terminate();
      });
    });
    // Afterwards "close" follows.
    socket.on("error", (error) => {
      void connectError(error, where).then(opened.reject);
    });
    socket.on("message", (data, isBinary) => {
      this.onMessage(isBinary ? new Uint8Array(data) : data.toString());
    });
    socket.on("close", (code, reason) => {
      ended.resolve({ code, reason: reason.toString() });
    });
  }

  /** Bytes that aren't written. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /**
   * Publishes `message`; resolves when there is room for another, with false
   * if the connection had ended before.
   *
   * @throws {StartupError} If the server takes nothing for too long.
   */
  async send(message: Message): Promise<boolean> {
    if (!this.#isOpen) return false;
    const length = Buffer.byteLength(message);
    this.#unsentBytes += length;
    this.#socket.send(message, (error) => {
      if (!error) this.#unsentBytes -= length;
    });
    if (this.unsentBytes > maxUnsentBytes) {
      await this.#written(maxUnsentBytes / 2);
    }
    return true;
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /**
   * Resolves when all is written, and the server has had the time to refuse it:
   * with false if it did, or the connection was lost.
   *
   * A close that overtakes a refusal would hide it (RFC 6455 section 7.1.5: the
   * first close frame counts).
   *
   * @throws {StartupError} If the server takes nothing for too long.
   */
  async settled(): Promise<boolean> {
    if (!await this.#written(0)) return false;
    const patienceMs = Math.min(
      maxRefusalMs,
      Math.max(minRefusalMs, 2 * this.#handshakeMs),
    );
    await within(this.ended, patienceMs);
    return this.#isOpen;
  }

  /** Closes with 1000; resolves when the server has answered, or had the time to. */
  async close(): Promise<void> {
    try {
      await this.#written(0);
    } catch {
      // It takes nothing any more, and won't take the close either.
    }
    this.#socket.close(1000);
    await within(this.ended, closeMs, () => this.#socket.terminate());
  }

  /** Resolves when at most `maxBytes` wait, with false if they won't be written. */
  async #written(maxBytes: number): Promise<boolean> {
    let last = this.unsentBytes;
    let lastChangeMs = performance.now();
    while (this.unsentBytes > maxBytes) {
      if (!this.#isOpen) return false;
      if (this.unsentBytes !== last) {
        last = this.unsentBytes;
        lastChangeMs = performance.now();
      } else if (performance.now() - lastChangeMs > stalledMs) {
        throw new StartupError(
          `Cannot publish: the server takes nothing for ${stalledMs / 1000} s`,
        );
      }
      await within(this.ended, pollMs);
    }
    return this.#isOpen;
  }
}

/** Gets the beginning of an answer that isn't 101. */
async function readRefusal(response: Response): Promise<Refusal> {
  const { statusCode, headers } = response;
  let body = "";
  response.setEncoding("utf8");
  const read = async (): Promise<void> => {
    for await (const part of response) {
      body += part;
      if (body.length > maxBodyLength) return;
    }
  };
  // What has come until then will do.
  await within(read().catch(() => {}), bodyMs);
  return {
    status: statusCode,
    contentType: headers["content-type"] ?? "",
    body,
    retryAfter: headers["retry-after"],
  };
}
