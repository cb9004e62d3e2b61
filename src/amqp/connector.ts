/** Keeps a node connected: which broker, when to try again, and what is wrong now. */
import { formatHostPort, type HostPort } from "../common/host_port.ts";
import { log } from "../common/log.ts";
import { within } from "../common/timing.ts";
import { BridgeUnavailableError } from "../relay/bridge.ts";
import { BrokerError, toBrokerError } from "./broker_error.ts";
import type { BrokerUrl, Endpoint } from "./connect.ts";
import type { Link } from "./link.ts";
import { type PemFiles, readPemFiles } from "./pem.ts";
import { explainRefusal } from "./refusal.ts";
import { describeTrouble } from "./trouble.ts";

/** Where the brokers are, and the files for TLS. */
export interface ConnectorOptions extends PemFiles {
  /** The broker's URL, but for its host and port. */
  readonly amqp: Omit<BrokerUrl, "hostname" | "port">;
  /** The brokers to try in turn, at least one. */
  readonly hosts: readonly HostPort[];
  readonly onOutage: "local" | "refuse";
}

/** What is done with a connection, in this order. */
export interface Steps {
  readonly open: (endpoint: Endpoint) => Promise<Link>;
  /** Makes everything ready. If it fails, the link is broken off. */
  readonly prepare: (link: Link) => Promise<void>;
  /** Begins to use the link; {@linkcode Connector.link} is it from then on. */
  readonly begin: (link: Link) => void;
  /** Takes note that the link is gone, or couldn't be had. */
  readonly end: (reason: BrokerError) => void;
}

/** The wait before the next try doubles between these, and varies by a fifth. */
const retryMs = { first: 200, last: 2_000, jitter: 0.2 } as const;

/** How long closing the connections may take; and then whatever is under way. */
const closeMs = 1_000;

/** Makes connections one after the other, until it is closed. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #steps: Steps;
  /** Counts the hosts that were tried. */
  #host = 0;
  /** The contents of the files for TLS. */
  #pem: PemFiles = {};
  /** The present link, and whether it is still being prepared. */
  #current: { readonly link: Link; isReady: boolean } | undefined;
  #problem: string | undefined;
  #connects = 0;
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;
  #running: Promise<void> = Promise.resolve();

  /** Makes one that isn't connected. */
  constructor(options: ConnectorOptions, steps: Steps) {
    this.#options = options;
    this.#steps = steps;
  }

  /** The link on which everything is ready; `undefined` while the node isn't connected. */
  get link(): Link | undefined {
    return this.#current?.isReady ? this.#current.link : undefined;
  }

  /** Where the broker is that the node is connected to, as `host:port`. */
  get broker(): string | undefined {
    return this.link && formatHostPort(this.#place);
  }

  /** Why the node isn't connected, if that is known: one line without secrets. */
  get problem(): string | undefined {
    return this.link ? undefined : this.#problem;
  }

  /** How often a connection was made. */
  get connects(): number {
    return this.#connects;
  }

  /** Resolves when nothing is under way any more, after {@linkcode close}. */
  get ended(): Promise<void> {
    return this.#running;
  }

  /** See {@linkcode Bridge.start}. */
  async start(): Promise<void> {
    this.#pem = await readPemFiles(this.#options);
    let link: Link | undefined;
    // Every host once, as the first may be down and the second may refuse.
    for (let tries = 0; tries < this.#options.hosts.length && !link; tries++) {
      link = await Promise.race([
        this.#connect({ isFirst: true }),
        this.#closed.promise.then(() => undefined),
      ]);
      if (this.#isClosed) {
        throw new BridgeUnavailableError("The bridge is closed");
      }
    }
    if (!link) {
      log.warn("broker out of reach: the bridge keeps trying", {
        clients: this.#options.onOutage === "local"
          ? "served by this node alone"
          : "refused",
      });
    }
    this.#running = this.#run(link);
  }

  /**
   * Ends the present connection in good order, and makes no other.
   *
   * @param last Done with the link before it is closed, if there is one.
   */
  async close(last: (link: Link) => Promise<void>): Promise<void> {
    this.#isClosed = true;
    const link = this.#current?.link;
    if (link) {
      await last(link);
      await link.close(closeMs);
    }
    this.#closed.resolve();
    // It may be connecting, which ends by itself and finds this closed.
    await within(this.#running, closeMs);
  }

  get #place(): HostPort {
    const { hosts } = this.#options;
    return hosts[this.#host % hosts.length]!;
  }

  /** Stays connected until it is closed. Never rejects. */
  async #run(first: Link | undefined): Promise<void> {
    let link = first;
    let delayMs: number = retryMs.first;
    while (!this.#isClosed) {
      link ??= await this.#connect({ isFirst: false });
      if (link) {
        delayMs = retryMs.first;
        await this.#use(link);
        link = undefined;
        if (this.#isClosed) break;
      }
      const jitter = 1 + retryMs.jitter * (2 * Math.random() - 1);
      await within(this.#closed.promise, delayMs * jitter);
      delayMs = Math.min(delayMs * 2, retryMs.last);
    }
  }

  /** Gets a link on which everything is ready, or `undefined` if that failed. */
  async #connect({ isFirst }: { isFirst: boolean }): Promise<Link | undefined> {
    const endpoint = {
      ...this.#options.amqp,
      ...this.#place,
      pem: this.#pem,
    };
    const broker = formatHostPort(endpoint);
    let link: Link | undefined;
    try {
      link = await this.#steps.open(endpoint);
      if (this.#isClosed) throw new BrokerError("closed");
      this.#current = { link, isReady: false };
      await this.#steps.prepare(link);
      log.info("bridge connected", { broker });
      this.#problem = undefined;
      return link;
    } catch (error) {
      const reason = toBrokerError(error);
      link?.destroy(reason);
      this.#current = undefined;
      this.#steps.end(reason);
      const refusal = explainRefusal(reason, endpoint);
      if (isFirst && refusal) throw refusal;
      this.#host++;
      const problem = refusal?.message ?? describeTrouble(reason, endpoint);
      // Once is enough, as this comes every two seconds.
      if (problem !== this.#problem && !this.#isClosed) {
        log.warn("bridge can't connect", { broker, reason: problem });
      }
      this.#problem = problem;
      return undefined;
    }
  }

  /** Uses a link until it is gone. */
  async #use(link: Link): Promise<void> {
    this.#current = { link, isReady: true };
    this.#connects++;
    this.#steps.begin(link);
    const reason = await link.down;
    this.#current = undefined;
    this.#steps.end(reason);
    if (this.#isClosed) return;
    this.#problem = reason.message;
    log.warn("bridge connection lost", {
      broker: formatHostPort(this.#place),
      reason: reason.message,
    });
    // One that hangs accepts the next connection too, and says nothing on it.
    if (reason.detail.late) this.#host++;
  }
}
