/** A node's server: what comes in goes to whom it concerns; starts and stops all of that. */
import { Admission } from "./admission.ts";
import type { Bridge } from "./bridge.ts";
import { Channels } from "./channels.ts";
import type {
  Handler,
  HttpServer,
  Listener,
  ServeOptions,
} from "../listener/http.ts";
import { bugFields, StartupError } from "../common/errors.ts";
import { asksForEvents } from "./event_stream.ts";
import { asksForFrontPage, frontPage } from "./front_page.ts";
import { readPath } from "./handshake.ts";
import type { HttpSettings } from "./http_settings.ts";
import type { Limits } from "./limits.ts";
import { log } from "../common/log.ts";
import { Metrics } from "./metrics.ts";
import { refuseOrigin, shareWithPage } from "./origin.ts";
import { Posts } from "./posts.ts";
import { Refusals } from "./refusals.ts";
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
  readonly http: HttpSettings;
  /** For how many clients the process may open files, whatever `limits.clients` says. */
  readonly maxClients?: number | undefined;
  /** How many more connections it may open to refuse them in words; those beyond are closed without. */
  readonly maxRefused?: number | undefined;
  /** Started and closed by the server. */
  readonly bridge: Bridge;
  readonly metrics?: Metrics;
}

/** {@linkcode ServerOptions.maxRefused} where nothing else is said. */
const defaultMaxRefused = 256;
/**
 * Nobody needs a body, but for POST. But up to this many bytes the answer tells
 * what is wrong with the request, not with its body.
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
  readonly #http: HttpSettings;
  readonly #refusals: Refusals;
  readonly #admission: Admission;
  readonly #posts: Posts;
  readonly #listeners: HttpServer[] = [];
  readonly #maxClients: number;
  readonly #maxRefused: number;
  readonly #failure = Promise.withResolvers<StartupError>();
  #stopping: Promise<void> | undefined;

  private constructor(options: ServerOptions) {
    const { bridge, limits, metrics = new Metrics() } = options;
    this.limits = limits;
    this.metrics = metrics;
    this.channels = new Channels({ bridge, metrics, limits });
    this.#bridge = bridge;
    this.#http = options.http;
    this.#maxClients = options.maxClients ?? Infinity;
    this.#maxRefused = options.maxRefused ?? defaultMaxRefused;
    this.#refusals = new Refusals({ limits, metrics });
    this.#admission = new Admission({
      ...{ limits, metrics },
      channels: this.channels,
      refusals: this.#refusals,
      upgradeWebSocket: options.upgradeWebSocket,
      maxClients: this.#maxClients,
    });
    this.#posts = new Posts({
      ...{ bridge, limits, metrics },
      channels: this.channels,
      http: options.http,
      refusals: this.#refusals,
    });
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

  /** How many posted messages wait. */
  get postsWaiting(): number {
    return this.#posts.waiting;
  }

  /** See {@linkcode Admission.bufferedBytes}. */
  get bufferedBytes(): number {
    return this.#admission.bufferedBytes;
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
      // What is posted is measured where it is read.
      bodyBytes: (method) => method === "POST" ? Infinity : maxBodyBytes,
      maxConnections: () => Math.min(limits.clients, this.#maxClients),
      maxOverloaded: this.#maxRefused,
      overloaded: () =>
        this.isStopping
          ? this.#refusals.refuseStopping()
          : this.#refusals.refuseFor("clients"),
      onUnanswered: () => {
        this.metrics.refusals.none++;
        this.#refusals.countHit("clients");
      },
      onError: (error) =>
        log.error("this is a bug in staps, a client was ended", {
          ...bugFields(error),
        }),
    };
  }

  async #handle(request: Request): Promise<Response> {
    const refused = refuseOrigin(request.headers, this.#http.origins);
    if (refused !== undefined) return this.#refusals.refuse(refused);
    const response = await this.#answer(request);
    if (response.status !== 101) shareWithPage(request, response);
    return response;
  }

  async #answer(request: Request): Promise<Response> {
    const path = readPath(request);
    if (typeof path === "object") return this.#refusals.refuse(path);
    if (this.#http.frontPage === "yes" && asksForFrontPage(request, path)) {
      this.metrics.httpRequests.front_page++;
      return frontPage(request);
    }
    if (request.method === "POST") {
      return await this.#posts.answer(request, path);
    }
    if (asksForEvents(request)) return await this.#admission.eventStream(path);
    return await this.#admission.webSocket(request);
  }

  async #stop(): Promise<void> {
    const closed = this.#listeners.map((listener) => listener.shutdown());
    this.channels.endTurns();
    this.#posts.stop();
    await this.#admission.stop();
    // Also waits for requests that are only half here, and we don't.
    await within(Promise.allSettled(closed), socketRemovalMs);
    await this.#bridge.close();
  }
}
