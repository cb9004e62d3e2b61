/** The admin socket: metrics, health and an overview, for whoever may open it. */
import type { Bridge } from "../relay/bridge.ts";
import { EventLoopLag } from "./event_loop_lag.ts";
import type { Node } from "./figures.ts";
import { fdLimit } from "../system/open_files.ts";
import { log } from "../common/log.ts";
import type { PrometheusText } from "./prometheus.ts";
import { notReady } from "./readiness.ts";
import type { Server } from "../relay/server.ts";
import { statusOf } from "./status.ts";
import { bindUnixSocket, type Owner } from "../system/unix_socket.ts";

/** What {@linkcode Admin.start} needs. */
export interface AdminOptions {
  /** The path of the unix socket. */
  readonly socket: string;
  /** The socket's permissions. */
  readonly mode: number;
  /** Whom the socket is to belong to, unless to whoever starts it. */
  readonly owner?: Owner | undefined;
  readonly server: Server;
  readonly bridge: Bridge;
}

/** How many requests are answered at once. */
const maxRequests = 16;

const noStore = { "Cache-Control": "no-store", "Connection": "close" };

/** The server of the admin socket. */
export class Admin implements AsyncDisposable {
  readonly #node: Node;
  readonly #lag = new EventLoopLag();
  /** prom-client takes long to load: clients needn't wait for it at start-up. */
  readonly #prometheus: Promise<
    { metrics: PrometheusText; contentType: string }
  >;
  #listener: Deno.HttpServer | undefined;
  #requests = 0;

  private constructor({ server, bridge }: AdminOptions) {
    const lag = this.#lag;
    this.#node = {
      metrics: server.metrics,
      get clientCount(): number {
        return server.clientCount;
      },
      get channelCount(): number {
        return server.channels.size;
      },
      limits: server.limits,
      bridge,
      lag,
      // Now, because it takes a permission that is given up later.
      maxFds: fdLimit(),
      bufferedBytes: () => server.bufferedBytes,
      notReady: () => notReady({ isStopping: server.isStopping, bridge }),
    };
    this.#prometheus = import("./prometheus.ts").then((
      { PrometheusText, contentType },
    ) => ({ metrics: new PrometheusText(this.#node), contentType }));
  }

  /**
   * Gets the server once it answers.
   *
   * @throws {StartupError} If it can't listen on the socket.
   */
  static async start(options: AdminOptions): Promise<Admin> {
    const admin = new Admin(options);
    const { socket, mode, owner } = options;
    try {
      admin.#listener = await bindUnixSocket(socket, {
        mode,
        owner,
        bind: () =>
          Deno.serve(
            { path: socket, onListen: () => {}, onError },
            (request) => admin.#limited(request),
          ),
      });
      // The runtime gives up accepting at the first error; clients go on.
      admin.#listener.finished.catch((error: Error) =>
        log.error("the admin socket answers no more", { reason: error.message })
      );
      // The user that the process becomes may not be able to load it.
      if (owner !== undefined) await admin.#prometheus;
    } catch (error) {
      await admin[Symbol.asyncDispose]();
      throw error;
    }
    return admin;
  }

  /** Stops answering, and removes the socket file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#lag[Symbol.dispose]();
    await this.#prometheus;
    await this.#listener?.shutdown();
  }

  async #limited(request: Request): Promise<Response> {
    if (this.#requests >= maxRequests) {
      return text(503, "Too many requests at once", { "Retry-After": "1" });
    }
    this.#requests++;
    try {
      return await this.#answer(request);
    } finally {
      this.#requests--;
    }
  }

  async #answer({ method, url }: Request): Promise<Response> {
    if (method !== "GET" && method !== "HEAD") {
      return text(405, "Only GET and HEAD", { Allow: "GET, HEAD" });
    }
    switch (URL.parse(url)?.pathname) {
      case "/metrics": {
        const { metrics, contentType } = await this.#prometheus;
        return new Response(await metrics.text(), {
          headers: { ...noStore, "Content-Type": contentType },
        });
      }
      case "/healthz":
        return text(200, "ok");
      case "/readyz": {
        const reasons = this.#node.notReady();
        const ready = reasons.length === 0;
        return json(ready ? 200 : 503, { ready, reasons });
      }
      case "/status":
        return json(200, statusOf(this.#node));
      default:
        return text(404, "There are /metrics, /healthz, /readyz and /status");
    }
  }
}

function text(
  status: number,
  line: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(`${line}\n`, {
    status,
    headers: {
      ...noStore,
      "Content-Type": "text/plain; charset=utf-8",
      ...headers,
    },
  });
}

function json(status: number, value: unknown): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: { ...noStore, "Content-Type": "application/json" },
  });
}

/** Answers a request whose handler failed, which is a fault of staps's. */
function onError(error: unknown): Response {
  log.error("admin request failed", { error: (error as Error).name });
  return text(500, "This is a bug in staps");
}
