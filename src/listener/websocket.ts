/** One WebSocket connection after its 101: reading, writing, pausing, closing. */
import type {
  Message,
  Socket,
  SocketFault,
  SocketHandler,
  SocketLimits,
  SocketState,
} from "./socket.ts";

/** What a {@linkcode WebSocketConnection} is made of. */
export interface WebSocketConnectionOptions {
  /** The connection that the request came by. It belongs to the WebSocket from here on. */
  readonly conn: Deno.Conn;
  /** What was read of the connection beyond the request's head. */
  readonly rest: Uint8Array;
  readonly handler: SocketHandler;
  readonly limits: SocketLimits;
  /** Called once, when the connection is closed and nothing of it is left; after `handler.closed()`. */
  readonly onEnded: () => void;
  /** Gets what a call of the handler threw, for the log. */
  readonly onHandlerError: (error: unknown) => void;
}

/** How often {@linkcode WebSocketConnection.tick} is to be called, in milliseconds. */
export const tickMs = 250;

/** A WebSocket on a connection whose handshake is done by somebody else. */
export class WebSocketConnection implements Socket {
  readonly #options: WebSocketConnectionOptions;
  #state: SocketState = "open";

  constructor(options: WebSocketConnectionOptions) {
    this.#options = options;
  }

  get state(): SocketState {
    return this.#state;
  }

  get queuedBytes(): number {
    return 0;
  }

  /** Begins to read and write: call it once the 101 is written. What was sent before goes out now. */
  start(): void {
    this.#options.handler.opened();
  }

  /** Judges what has become of the peer: call it every {@linkcode tickMs}, from one timer for all connections. */
  tick(): void {}

  /**
   * Closes the connection at once, without a close frame. Also before
   * {@linkcode start}, if the peer hung up. Does nothing the second time.
   */
  destroy(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#options.conn.close();
    this.#options.handler.closed(undefined);
    this.#options.onEnded();
  }

  send(_frames: Uint8Array<ArrayBuffer>): void {}
  close(_code: number, _reason: string): void {}
  pause(): void {}
  resume(): void {}
  tellBelow(_bytes: number): void {}
}
export type { Message, SocketFault };
