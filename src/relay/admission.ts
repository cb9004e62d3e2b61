/** Makes members of those who ask for it, if there is room, and says goodbye to all of them. */
import { log } from "../common/log.ts";
import { within } from "../common/timing.ts";
import type { Listener } from "../listener/http.ts";
import { BridgeUnavailableError } from "./bridge.ts";
import type { Channels } from "./channels.ts";
import { Client, type ClientOptions } from "./client.ts";
import { restart } from "./close.ts";
import { EventStream } from "./event_stream.ts";
import { readHandshake, refusal } from "./handshake.ts";
import { type Limits, reachedLimit } from "./limits.ts";
import type { Metrics } from "./metrics.ts";
import type { Refusals } from "./refusals.ts";

/** What {@linkcode Admission} works with. */
export interface AdmissionOptions {
  readonly channels: Channels;
  readonly limits: Limits;
  readonly metrics: Metrics;
  readonly refusals: Refusals;
  readonly upgradeWebSocket: Listener["upgradeWebSocket"];
  /** For how many clients the process may open files. */
  readonly maxClients: number;
}

/** The clients of one node. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #clients = new Set<Client>();
  readonly #clientOptions: ClientOptions;
  readonly #allReleased = Promise.withResolvers<void>();
  #isStopping = false;

  constructor(options: AdmissionOptions) {
    const { channels, limits, metrics } = options;
    this.#options = options;
    this.#clientOptions = {
      ...{ channels, limits, metrics },
      onReleased: (client) => {
        this.#clients.delete(client);
        this.#resolveIfEmpty();
      },
    };
  }

  /** What is queued for clients, in bytes; see {@linkcode Client.queuedBytes}. Looks at each client. */
  get bufferedBytes(): number {
    let bytes = 0;
    for (const client of this.#clients) bytes += client.queuedBytes;
    return bytes;
  }

  /** Answers a handshake: 101 once the client is a member, or why it can't be one. */
  webSocket(request: Request): Promise<Response> {
    const handshake = readHandshake(request);
    const { refusals, limits, upgradeWebSocket } = this.#options;
    if ("status" in handshake) {
      return Promise.resolve(refusals.refuse(handshake));
    }
    const { path, protocol } = handshake;
    return this.#admit(path, (client) => {
      const options = { protocol, limits, handler: client };
      const { socket, response } = upgradeWebSocket(request, options);
      client.attach(socket);
      return response;
    });
  }

  /** Answers a request for an event stream: a member that only listens, or why it can't be one. */
  eventStream(path: string): Promise<Response> {
    const { limits, metrics } = this.#options;
    return this.#admit(path, (client) => {
      const retryMs = limits.retryAfterS * 1000;
      const stream = new EventStream({ limits, retryMs, handler: client });
      client.attach(stream);
      metrics.httpRequests.event_stream++;
      return stream.response;
    });
  }

  /** Ends every client, and resolves when all are gone, or after `shutdownTimeoutS`. Nobody is admitted any more. */
  async stop(): Promise<void> {
    const { shutdownTimeoutS, shutdownSpreadMs } = this.#options.limits;
    this.#isStopping = true;
    for (const client of this.#clients) {
      client.end("restart", restart(Math.random() * shutdownSpreadMs));
    }
    this.#resolveIfEmpty();
    await within(this.#allReleased.promise, shutdownTimeoutS * 1000);
  }

  /** Makes a member of the channel `path`, whose connection and response `open` makes. */
  async #admit(
    path: string,
    open: (client: Client) => Response,
  ): Promise<Response> {
    const { refusals, metrics } = this.#options;
    const unavailable = this.#unavailable(path);
    if (unavailable !== undefined) return unavailable;

    const startMs = performance.now();
    const client = new Client(this.#clientOptions);
    this.#clients.add(client);
    try {
      await client.join(path);
      // The server may have begun to stop meanwhile.
      if (this.#isStopping) {
        client.release();
        return refusals.refuseStopping();
      }
      const response = open(client);
      metrics.joinSeconds.observe((performance.now() - startMs) / 1000);
      return response;
    } catch (error) {
      client.release();
      if (error instanceof BridgeUnavailableError) {
        return refusals.refuseForNow("The broker can't be reached");
      }
      // The listener saw what readHandshake() didn't. Its words may quote the URL.
      log.warn("handshake failed", {
        client: client.id,
        error: (error as Error).name,
      });
      return refusals.refuse(refusal(400, "The handshake failed"));
    }
  }

  /** Gets the answer to a client of the channel `path` if there is no room for it. */
  #unavailable(path: string): Response | undefined {
    const { refusals, limits, channels, maxClients } = this.#options;
    if (this.#isStopping) return refusals.refuseStopping();
    const full = reachedLimit(limits, {
      clients: this.#clients.size,
      maxClients,
      channelClients: channels.memberCount(path),
      channels: channels.size,
    });
    return full && refusals.refuseFor(full);
  }

  #resolveIfEmpty(): void {
    if (this.#isStopping && this.#clients.size === 0) {
      this.#allReleased.resolve();
    }
  }
}
