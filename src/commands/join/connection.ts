/** One connection of a client, with limits on every wait. */
import { StartupError } from "../../common/errors.ts";
import { within } from "../../common/timing.ts";

/** A message as the runtime's client has it: text, or bytes. */
export type Message = string | ArrayBuffer | Uint8Array<ArrayBuffer>;

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
/** How often the runtime is asked what still waits; it has no event for it. In milliseconds. */
const pollMs = 5;
/** How long a server may take to answer a close, in milliseconds. */
const closeMs = 5000;
/** The least and the longest time for a server to refuse the last message, in milliseconds. */
const minRefusalMs = 50;
const maxRefusalMs = 1000;

/** A connection that couldn't be made. The message shows neither path nor query. */
export class ConnectError extends StartupError {
  /** Whether trying again makes no sense. */
  readonly permanent: boolean;

  constructor(
    message: string,
    { permanent = false, ...options }: { permanent?: boolean; hint?: string } =
      {},
  ) {
    super(message, options);
    this.permanent = permanent;
  }
}

/** A connection to a channel. */
export class Connection {
  /** Resolves when the channel is joined. @throws {ConnectError} If it can't be. */
  readonly opened: Promise<void>;
  /** Resolves when the connection is no more. */
  readonly ended: Promise<Ended>;
  /** Gets each message. */
  onMessage: (message: Message) => void = () => {};
  readonly #socket: WebSocket;
  readonly #http: Deno.HttpClient | undefined;
  /** How long the handshake took: at least one way there and back. */
  #handshakeMs = 0;

  /** Begins to connect to `url`, or to the unix socket `path` in its place. */
  constructor(url: string, path: string | undefined) {
    this.#http = path === undefined
      ? undefined
      : Deno.createHttpClient({ proxy: { transport: "unix", path } });
    const socket = new WebSocket(
      url,
      this.#http === undefined ? {} : { client: this.#http },
    );
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const startMs = performance.now();
    const opened = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Ended>();
    const place = path === undefined ? new URL(url).origin : `"${path}"`;
    this.opened = within(opened.promise, connectMs, () => {
      socket.close();
      throw new ConnectError(
        `Cannot connect to ${place}: no answer in ${connectMs / 1000} s`,
      );
    });
    this.ended = ended.promise;
    socket.onopen = () => {
      this.#handshakeMs = performance.now() - startMs;
      opened.resolve();
    };
    socket.onerror = (event) => {
      const detail = event instanceof ErrorEvent ? event.message : "";
      opened.reject(connectError(place, detail));
    };
    socket.onmessage = ({ data }: MessageEvent<Message>) =>
      this.onMessage(data);
    socket.onclose = ({ code, reason }) => {
      ended.resolve({ code: code === 0 ? 1006 : code, reason });
      this.#http?.close();
    };
  }

  /** Bytes that aren't written yet. */
  get unsentBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /**
   * Publishes `message`; resolves when there is room for another, with false
   * if the connection had ended before.
   *
   * @throws {StartupError} If the server takes nothing for too long.
   */
  async send(message: Message): Promise<boolean> {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(message);
    if (this.unsentBytes > maxUnsentBytes) {
      await this.#written(maxUnsentBytes / 2);
    }
    return true;
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
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** Closes with 1000; resolves when the server has answered, or had the time to. */
  async close(): Promise<void> {
    try {
      await this.#written(0);
    } catch {
      // It takes nothing any more, and won't take the close either.
    }
    this.#socket.close(1000);
    await within(this.ended, closeMs);
  }

  /** Resolves when at most `maxBytes` wait, with false if they won't be written. */
  async #written(maxBytes: number): Promise<boolean> {
    let last = this.unsentBytes;
    let lastChangeMs = performance.now();
    while (this.unsentBytes > maxBytes) {
      if (this.#socket.readyState !== WebSocket.OPEN) return false;
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
    return this.#socket.readyState === WebSocket.OPEN;
  }
}

/** Gets an error for what the runtime says about a handshake that failed. */
function connectError(place: string, detail: string): ConnectError {
  const words = detail.replace(
    /^(NetworkError: )?failed to connect to WebSocket: /,
    "",
  );
  const status = /^Invalid status code: ([0-9]{3})$/.exec(words)?.[1];
  if (status === undefined) {
    return new ConnectError(`Cannot connect to ${place}: ${words}`);
  }
  const hints: Record<string, string> = {
    404: "this frontend knows no such path: is it a UUID4, as of staps url?",
    502: "the frontend can't reach staps",
    503: "a limit is reached, or the node is stopping, or its broker is away",
  };
  const hint = hints[status];
  return new ConnectError(
    `Cannot connect to ${place}: got HTTP status ${status}, expected 101`,
    {
      permanent: status.startsWith("4") && status !== "429",
      ...hint === undefined ? {} : { hint },
    },
  );
}
