/** What a listener is to whoever uses one: the own one (`serve.ts`), or the runtime's (`runtime.ts`). */
import type { Socket, SocketHandler, SocketLimits } from "./socket.ts";

/**
 * Answers a request. One that throws or rejects is answered with 500.
 *
 * The request's signal is aborted when the client is gone, but not if the
 * request asks for an upgrade: then {@linkcode SocketHandler.closed} tells.
 */
export type Handler = (request: Request) => Response | Promise<Response>;

/** Where to listen: a unix socket, or TCP. */
export type Address =
  | { readonly path: string }
  | { readonly hostname: string; readonly port: number };

/** How to serve. Limits that are functions or objects are asked each time: a reload may change them. */
export interface ServeOptions {
  readonly address: Address;
  /** How long the head of a request may take, from the connection on, in seconds. */
  readonly handshakeTimeoutS: () => number;
  /** Gets the largest body of a request with this method, in bytes. A larger one is refused with 413. */
  readonly bodyBytes: (method: string) => number;
  /** How many connections may be open at once, WebSockets and half requests included. */
  readonly maxConnections: () => number;
  /**
   * How many beyond those may be open at once to get the answer
   * {@linkcode overloaded}; further ones are closed without a word. Each holds a
   * descriptor, and up to 24 KiB (measured) while its request is only half here.
   */
  readonly maxOverloaded: number;
  /** Gets the answer to a connection beyond {@linkcode maxConnections}. */
  readonly overloaded: () => Response;
  /** Called for each connection that is closed without a word because of {@linkcode maxOverloaded}. */
  readonly onUnanswered?: () => void;
  /** Gets what a handler threw, for the log. Its words may be secret. */
  readonly onError: (error: unknown) => void;
}

/** A listener at work. */
export interface HttpServer {
  /** Where it listens; the port if it was told 0. */
  readonly addr: Deno.Addr;
  /** How many connections are open. */
  readonly connectionCount: number;
  /** Resolves after {@linkcode shutdown}. Rejects if it can't accept connections any more. */
  readonly finished: Promise<void>;
  /**
   * Stops listening, which removes the socket file. Resolves when all
   * connections have ended; whoever uses WebSockets ends those.
   */
  shutdown(): Promise<void>;
}

/** How to make a WebSocket of a request. */
export interface UpgradeOptions {
  /** The subprotocol to answer with; must be one that the client offered (RFC 6455 section 1.9). */
  readonly protocol?: string | undefined;
  readonly limits: SocketLimits;
  readonly handler: SocketHandler;
}

/** A WebSocket, and the response that opens it. */
export interface Upgrade {
  readonly socket: Socket;
  /** To be returned by the handler, which may add headers to it before. */
  readonly response: Response;
}

/** What `serve.ts` and `runtime.ts` both export. */
export interface Listener {
  /**
   * Begins to listen.
   *
   * @throws {Error} If that is impossible, as `Deno.listen` does.
   */
  serve(options: ServeOptions, handler: Handler): HttpServer;
  /**
   * Makes a WebSocket of `request`, which has been checked to be a handshake
   * (RFC 6455 section 4.2.1).
   *
   * @throws {TypeError} If it is no handshake of this listener after all, or is answered already.
   */
  upgradeWebSocket(request: Request, options: UpgradeOptions): Upgrade;
}

/**
 * Checks what no WebSocket can do without. A body counts, too: it would be read
 * as frames.
 *
 * @throws {TypeError} If `request` is no handshake.
 */
export function assertHandshake({ method, headers }: Request): void {
  if (
    method !== "GET" || !headers.has("sec-websocket-key") ||
    !/\bwebsocket\b/i.test(headers.get("upgrade") ?? "") ||
    headers.has("transfer-encoding") ||
    Number(headers.get("content-length") ?? 0) !== 0
  ) throw new TypeError("Cannot upgrade a request that is no handshake");
}
