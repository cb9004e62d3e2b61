/**
 * The listener of staps: HTTP and WebSocket on a socket, with limits on all
 * that a stranger can make it hold. Shaped like `Deno.serve` and
 * `Deno.upgradeWebSocket`. Knows nothing of channels.
 *
 * One request a connection: WebSockets need no more, and a kept connection is
 * one more to watch.
 */
import { sleep } from "../common/timing.ts";
import {
  assertHandshake,
  type Handler,
  type HttpServer,
  type ServeOptions,
  type Upgrade,
  type UpgradeOptions,
} from "./http.ts";
import {
  connectionOf,
  HttpConnection,
  type HttpConnectionOwner,
} from "./http_connection.ts";
import { tickMs } from "./silence.ts";

/** How long to wait for a descriptor when there is none left, in milliseconds. */
const descriptorPauseMs = 50;

/** Errors of accept(2) that say that the process or the machine has no room now. */
const noRoomCodes = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);
/** Errors of accept(2) that belong to the one connection that isn't accepted. */
const strayCodes = new Set(["ECONNABORTED", "EPROTO", "EINTR", "EPERM"]);

/** Begins to listen; see {@linkcode ServeOptions}. */
export function serve(options: ServeOptions, handler: Handler): HttpServer {
  const { address } = options;
  const listener = "path" in address
    ? Deno.listen({ transport: "unix", path: address.path })
    : Deno.listen(address);
  return new OwnServer(listener, { options, handler });
}

/** Makes a WebSocket of a request that {@linkcode serve} handed over; see `Listener` in `http.ts`. */
export function upgradeWebSocket(
  request: Request,
  options: UpgradeOptions,
): Upgrade {
  assertHandshake(request);
  const connection = connectionOf(request);
  if (connection === undefined) {
    throw new TypeError(
      "Cannot upgrade a request of another listener, or one that is answered",
    );
  }
  return connection.upgrade(request, options);
}

class OwnServer implements HttpServer, HttpConnectionOwner {
  readonly finished: Promise<void>;
  readonly limits: ServeOptions;
  readonly #listener: Deno.Listener;
  readonly #handler: Handler;
  readonly #connections = new Set<HttpConnection>();
  /** Those of `#connections` that are only told that there are too many. */
  readonly #overloaded = new Set<HttpConnection>();
  readonly #allClosed = Promise.withResolvers<void>();
  /** Runs while there are connections. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isStopping = false;

  constructor(
    listener: Deno.Listener,
    { options, handler }: { options: ServeOptions; handler: Handler },
  ) {
    this.#listener = listener;
    this.limits = options;
    this.#handler = handler;
    this.finished = this.#accept();
  }

  get addr(): Deno.Addr {
    return this.#listener.addr;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async shutdown(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#listener.close();
      for (const connection of this.#connections) connection.hurry();
      this.#resolveIfAllClosed();
    }
    // If accepting has failed, whoever waits for `finished` knows.
    await Promise.allSettled([this.finished, this.#allClosed.promise]);
  }

  onError(error: unknown): void {
    this.limits.onError(error);
  }

  onClosed(connection: HttpConnection): void {
    this.#connections.delete(connection);
    this.#overloaded.delete(connection);
    this.#resolveIfAllClosed();
  }

  async #accept(): Promise<void> {
    while (true) {
      try {
        this.#take(await this.#listener.accept());
      } catch (error) {
        if (this.#isStopping) return;
        const { code } = error as { code?: string };
        if (noRoomCodes.has(code!)) await sleep(descriptorPauseMs);
        else if (!strayCodes.has(code!)) throw error;
      }
    }
  }

  #take(conn: Deno.Conn): void {
    if (this.#isStopping) return conn.close();
    const { maxConnections, maxOverloaded, overloaded } = this.limits;
    const admitted = this.#connections.size - this.#overloaded.size;
    if (admitted < maxConnections()) this.#serve(conn, this.#handler);
    else if (this.#overloaded.size < maxOverloaded) {
      this.#overloaded.add(this.#serve(conn, overloaded));
    } else {
      conn.close();
      this.limits.onUnanswered?.();
    }
  }

  #serve(conn: Deno.Conn, handler: Handler): HttpConnection {
    if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay();
    const connection = new HttpConnection(conn, { owner: this, handler });
    this.#connections.add(connection);
    this.#timer ??= setTimeout(() => this.#tick(), tickMs);
    connection.run();
    return connection;
  }

  /** Not an interval: after the process stood still, one tick is one tick. */
  #tick(): void {
    for (const connection of this.#connections) connection.tick();
    this.#timer = this.#connections.size === 0
      ? undefined
      : setTimeout(() => this.#tick(), tickMs);
  }

  #resolveIfAllClosed(): void {
    if (this.#connections.size > 0 || !this.#isStopping) return;
    clearTimeout(this.#timer);
    this.#allClosed.resolve();
  }
}
