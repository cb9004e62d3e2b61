/** Admits clients, refuses those that a node has no room for, and stops. */
import { type Bridge, BridgeUnavailableError } from "./bridge.ts";
import { Channels } from "./channels.ts";
import { Client, type ClientOptions } from "./client.ts";
import type {
  Handler,
  HttpServer,
  Listener,
  ServeOptions,
} from "../listener/http.ts";
import { restart } from "./close.ts";
import { bugFields, StartupError } from "../common/errors.ts";
import { readHandshake, type Refusal, refusal } from "./handshake.ts";
import { type LimitName, type Limits, reachedLimit } from "./limits.ts";
import { log } from "../common/log.ts";
import { Metrics } from "./metrics.ts";
import { within } from "../common/timing.ts";

/** Begins to listen at one address, with these options and this handler. */
export type Listen = (
  options: Omit<ServeOptions, "address">,
  handler: Handler,
) => HttpServer | Promise<HttpServer>;

/** What {@linkcode Server.start} needs. */
export interface ServerOptions {
  /** Called one after the other when the bridge has started. */
  readonly listen: readonly Listen[];
  /** Of the listener that they are. */
  readonly upgradeWebSocket: Listener["upgradeWebSocket"];
  readonly limits: Limits;
  /** For how many clients the process may open files, whatever `limits.clients` says. */
  readonly maxClients?: number | undefined;
  /** How many more connections it may open to refuse them in words; those beyond are closed without. */
  readonly maxRefused?: number | undefined;
  /** Started and closed by the server. */
  readonly bridge: Bridge;
  readonly metrics?: Metrics;
}

/** How far apart warnings of full limits are at least, in milliseconds. */
const limitWarningIntervalMs = 10_000;
/** {@linkcode ServerOptions.maxRefused} where nothing else is said. */
const defaultMaxRefused = 256;
/**
 * Nobody needs a body. But up to this many bytes the answer tells what is wrong
 * with the request, not with its body.
 */
const maxBodyBytes = 64 * 1024;
/** How long a stop waits for the socket file to be gone, in milliseconds. */
const socketRemovalMs = 500;

/** A node's server. */
export class Server implements AsyncDisposable {
  readonly limits: Limits;
  readonly metrics: Metrics;
  readonly channels: Channels;
  readonly #bridge: Bridge;
  readonly #clients = new Set<Client>();
  readonly #clientOptions: ClientOptions;
  readonly #listeners: HttpServer[] = [];
  readonly #upgradeWebSocket: Listener["upgradeWebSocket"];
  readonly #maxClients: number;
  readonly #maxRefused: number;
  readonly #allReleased = Promise.withResolvers<void>();
  readonly #failure = Promise.withResolvers<StartupError>();
  #limitWarningDueMs = -Infinity;
  #stopping: Promise<void> | undefined;

  private constructor(options: ServerOptions) {
    const { bridge, limits, metrics = new Metrics() } = options;
    this.limits = limits;
    this.metrics = metrics;
    this.channels = new Channels({ bridge, metrics, limits });
    this.#bridge = bridge;
    this.#upgradeWebSocket = options.upgradeWebSocket;
    this.#maxClients = options.maxClients ?? Infinity;
    this.#maxRefused = options.maxRefused ?? defaultMaxRefused;
    this.#clientOptions = {
      channels: this.channels,
      limits,
      metrics,
      onReleased: (client) => {
        this.#clients.delete(client);
        if (this.isStopping && this.#clients.size === 0) {
          this.#allReleased.resolve();
        }
      },
    };
  }

  /**
   * Gets a server that accepts clients.
   *
   * @throws {ConfigError} If the bridge can't work as configured.
   * @throws What `listen` throws.
   */
  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options);
    try {
      await options.bridge.start(server.channels);
      for (const listen of options.listen) {
        server.#addListener(
          await listen(
            server.#serveOptions(),
            (request) => server.#handle(request),
          ),
        );
      }
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Resolves with the reason when the server can't accept clients any more. */
  get failure(): Promise<StartupError> {
    return this.#failure.promise;
  }

  /** The number of connections, from the first byte to the last: half handshakes and closing ones included. */
  get clientCount(): number {
    return this.#listeners.reduce(
      (sum, { connectionCount }) => sum + connectionCount,
      0,
    );
  }

  /** What is queued for clients, in bytes; see {@linkcode Client.queuedBytes}. Looks at each client. */
  get bufferedBytes(): number {
    let bytes = 0;
    for (const client of this.#clients) bytes += client.queuedBytes;
    return bytes;
  }

  /** Whether it has begun to stop. */
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** The addresses that accept clients. */
  get addresses(): Deno.Addr[] {
    return this.#listeners.map((listener) => listener.addr);
  }

  /**
   * Stops: no more listening, the socket file removed, every client told to
   * come back, the bridge left. Resolves when the last client is gone, or after
   * `shutdownTimeoutS`, whichever is first.
   */
  stop(): Promise<void> {
    return this.#stopping ??= this.#stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Keeps a listener, whose failure is the server's. */
  #addListener(listener: HttpServer): void {
    this.#listeners.push(listener);
    listener.finished.catch((error: Error) => {
      this.#failure.resolve(
        new StartupError(`Cannot accept clients any more: ${error.message}`, {
          cause: error,
          hint: "see how many files staps may open: staps check",
        }),
      );
    });
  }

  #serveOptions(): Omit<ServeOptions, "address"> {
    const { limits } = this;
    return {
      handshakeTimeoutS: () => limits.handshakeTimeoutS,
      bodyBytes: maxBodyBytes,
      maxConnections: () => Math.min(limits.clients, this.#maxClients),
      maxOverloaded: this.#maxRefused,
      overloaded: () =>
        this.isStopping ? this.#refuseStopping() : this.#refuseFor("clients"),
      onUnanswered: () => {
        this.metrics.refusals.none++;
        this.#countHit("clients");
      },
      onError: (error) =>
        log.error("this is a bug in staps, a client was ended", {
          ...bugFields(error),
        }),
    };
  }

  async #handle(request: Request): Promise<Response> {
    const handshake = readHandshake(request);
    if ("status" in handshake) return this.#refuse(handshake);
    const { path, protocol } = handshake;

    const unavailable = this.#unavailable(path);
    if (unavailable !== undefined) return unavailable;

    const startMs = performance.now();
    const client = new Client(this.#clientOptions);
    this.#clients.add(client);
    try {
      await client.join(path);
      // The server may have begun to stop meanwhile.
      if (this.#stopping !== undefined) {
        client.release();
        return this.#refuseStopping();
      }
      const { socket, response } = this.#upgradeWebSocket(request, {
        protocol,
        limits: this.limits,
        handler: client,
      });
      client.attach(socket);
      this.metrics.joinSeconds.observe((performance.now() - startMs) / 1000);
      return response;
    } catch (error) {
      client.release();
      if (error instanceof BridgeUnavailableError) {
        return this.#refuseForNow("The broker can't be reached");
      }
      // The listener saw what readHandshake() didn't. Its words may quote the URL.
      log.warn("handshake failed", {
        client: client.id,
        error: (error as Error).name,
      });
      return this.#refuse(refusal(400, "The handshake failed"));
    }
  }

  /** Gets the answer to a client of the channel `path` if there is no room for it. */
  #unavailable(path: string): Response | undefined {
    if (this.#stopping !== undefined) {
      return this.#refuseStopping();
    }
    const full = reachedLimit(this.limits, {
      clients: this.#clients.size,
      maxClients: this.#maxClients,
      channelClients: this.channels.memberCount(path),
      channels: this.channels.size,
    });
    return full && this.#refuseFor(full);
  }

  #refuseFor(limit: LimitName): Response {
    this.#countHit(limit);
    return this.#refuseForNow(`The limit "${limit}" is reached`);
  }

  /** Counts that a client is refused, and logs it; not for each one, for there may be very many. */
  #countHit(limit: LimitName): void {
    this.metrics.limitHits[limit]++;
    const nowMs = performance.now();
    if (nowMs < this.#limitWarningDueMs) return;
    this.#limitWarningDueMs = nowMs + limitWarningIntervalMs;
    log.warn("limit reached, clients are refused", { limit });
  }

  #refuseStopping(): Response {
    return this.#refuseForNow("staps is stopping");
  }

  #refuseForNow(message: string): Response {
    return this.#refuse(
      refusal(503, message, { "Retry-After": String(this.limits.retryAfterS) }),
    );
  }

  #refuse({ status, message, headers }: Refusal): Response {
    const { refusals } = this.metrics;
    refusals[status] = (refusals[status] ?? 0) + 1;
    log.debug("handshake refused", { status, message });
    return new Response(`${message}\n`, {
      status,
      headers: {
        ...headers,
        "Content-Type": "text/plain; charset=utf-8",
        // No further request is expected here; a kept connection is one more to watch.
        "Connection": "close",
      },
    });
  }

  async #stop(): Promise<void> {
    const { shutdownTimeoutS, shutdownSpreadMs } = this.limits;
    const closed = this.#listeners.map((listener) => listener.shutdown());
    this.channels.endTurns();
    for (const client of this.#clients) {
      client.end("restart", restart(Math.random() * shutdownSpreadMs));
    }
    if (this.#clients.size === 0) this.#allReleased.resolve();
    await within(this.#allReleased.promise, shutdownTimeoutS * 1000);
    // Also waits for requests that are only half here, and we don't.
    await within(Promise.allSettled(closed), socketRemovalMs);
    await this.#bridge.close();
  }
}
