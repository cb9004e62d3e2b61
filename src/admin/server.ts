/** The admin socket: metrics, health and an overview, for whoever may open it. */
import type { Bridge } from "../relay/bridge.ts";
import { EventLoopLag } from "./event_loop_lag.ts";
import type { FigureSource } from "./figures.ts";
import { fdLimit } from "../system/open_files.ts";
import { log } from "../common/log.ts";
import { contentType, prometheusText } from "./prometheus.ts";
import { notReady } from "./readiness.ts";
import type { Outside } from "../system/outside.ts";
import type { Server } from "../relay/server.ts";
import type { SocketFile } from "../system/socket_file.ts";
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
  /** What looks after the node's files, if anything does. */
  readonly outside?: Outside | undefined;
  /** The socket of the clients, for whoever wants to know whether it still is that file. */
  readonly socketFile?: SocketFile | undefined;
}

const noStore = { "Cache-Control": "no-store", "Connection": "close" };

/** The server of the admin socket. */
export class Admin implements AsyncDisposable {
  /** The path of its unix socket. */
  readonly socket: string;
  readonly #source: FigureSource;
  readonly #lag = new EventLoopLag();
  #listener: Deno.HttpServer | undefined;

  private constructor(options: AdminOptions) {
    const { socket, server, bridge, outside, socketFile } = options;
    this.socket = socket;
    const lag = this.#lag;
    this.#source = {
      metrics: server.metrics,
      get clientCount(): number {
        return server.clientCount;
      },
      get channelCount(): number {
        return server.channels.size;
      },
      get postsWaiting(): number {
        return server.postsWaiting;
      },
      limits: server.limits,
      bridge,
      socketFile,
      lag,
      // Now, because it takes a permission that is given up later.
      maxFds: fdLimit(),
      bufferedBytes: () => server.bufferedBytes,
      notReady: () =>
        notReady({
          isStopping: server.isStopping,
          bridge,
          losses: outside?.losses,
        }),
    };
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
            (request) => admin.#answer(request),
          ),
      });
      // The runtime gives up accepting at the first error; clients go on.
      admin.#listener.finished.catch((error: Error) =>
        log.error("the admin socket answers no more", { reason: error.message })
      );
    } catch (error) {
      await admin[Symbol.asyncDispose]();
      throw error;
    }
    return admin;
  }

  /** Stops answering, and removes the socket file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#lag[Symbol.dispose]();
    await this.#listener?.shutdown();
  }

  #answer({ method, url }: Request): Response {
    if (method !== "GET" && method !== "HEAD") {
      return text(405, "Only GET and HEAD", { Allow: "GET, HEAD" });
    }
    switch (URL.parse(url)?.pathname) {
      case "/metrics":
        return new Response(prometheusText(this.#source), {
          headers: { ...noStore, "Content-Type": contentType },
        });
      case "/healthz":
        return text(200, "ok");
      case "/readyz": {
        const reasons = this.#source.notReady();
        const ready = reasons.length === 0;
        return json(ready ? 200 : 503, { ready, reasons });
      }
      case "/status":
        return json(200, statusOf(this.#source));
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
