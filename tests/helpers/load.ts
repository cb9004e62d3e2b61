/**
 * Steady traffic over several nodes, checked message by message at every
 * receiver.
 *
 * Every channel has one client on every node. Each of them publishes messages
 * that carry its name and a running number, and gets those of all others.
 */
import { eventually } from "./eventually.ts";

/** Settings of {@linkcode Load.start}. */
export interface LoadOptions {
  /** The nodes' unix sockets. */
  readonly sockets: readonly string[];
  readonly channels: number;
  /** Messages a second that the clients of each node publish together. */
  readonly ratePerNode: number;
  /** Bytes added to each message. */
  readonly padding?: number;
  /**
   * Clients that are closed come back under a new name, as often as it takes.
   *
   * `whole`: whom a node lets in it has joined with all others, and so it has to
   * get everything from then on. `alone`: it may be let in while its node is
   * alone (`on_outage = local`), and has to get everything once all
   * {@linkcode Load.flows} again.
   */
  readonly rejoin?: "whole" | "alone";
}

/** What receivers found. */
export interface Tally {
  sent: number;
  received: number;
  /** Messages missing between two that came. */
  lost: number;
  duplicated: number;
  reordered: number;
  echoed: number;
  /** Text that came as binary, or the other way round. */
  changed: number;
  /** Connections that a node closed, by code. */
  closed: Record<number, number>;
}

/** One client of one channel on one node. */
interface Peer {
  readonly name: number;
  readonly node: number;
  readonly channel: number;
  readonly socket: WebSocket;
  /** Messages sent so far; the next one's number. */
  sent: number;
  /** The next number expected, by sender; unknown senders of peers that came late are missing. */
  readonly next: Map<number, number>;
  /** The first number that it has to get, by sender. */
  readonly floor: Map<number, number>;
  /** Whether it was there from the beginning, and so has to get everything. */
  readonly early: boolean;
  /** Whether it has to get everything that is sent since its {@linkcode floor}. */
  isOwed: boolean;
}

const tickMs = 10;

/** Running traffic. Its disposal ends it. */
export class Load implements AsyncDisposable {
  readonly tally: Tally = {
    sent: 0,
    received: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    echoed: 0,
    changed: 0,
    closed: {},
  };
  readonly #options: LoadOptions;
  readonly #https: Deno.HttpClient[];
  readonly #prefix = `/${crypto.randomUUID()}/`;
  readonly #padding: string;
  /** Every client that ever was, by name. */
  readonly #peers: Peer[] = [];
  /** The present clients: by node, then by channel. */
  readonly #present: Peer[][];
  #timer: ReturnType<typeof setInterval> | undefined;
  #startMs = 0;
  #due = 0;
  #ended = false;

  private constructor(options: LoadOptions) {
    this.#options = options;
    this.#padding = " ".repeat(options.padding ?? 0);
    this.#https = options.sockets.map((path) =>
      Deno.createHttpClient({ proxy: { transport: "unix", path } })
    );
    this.#present = options.sockets.map(() => []);
  }

  /** Connects all clients, then lets them publish. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    await load.#joinAll();
    load.#startMs = performance.now();
    load.#timer = setInterval(() => load.#tick(), tickMs);
    return load;
  }

  /** The connections that are open. */
  get open(): number {
    return this.#present.flat().filter(isOpen).length;
  }

  /** Resolves when everybody is there, and has got a message from every other one that was sent from now on. */
  async flows(): Promise<void> {
    const { rejoin, sockets, channels } = this.#options;
    const all = sockets.length * channels;
    const marks = new Map<Peer, number>();
    for (const peer of this.#present.flat()) marks.set(peer, peer.sent);
    await eventually(
      () =>
        // Those who were just told are on their way back.
        (rejoin === undefined || this.open === all) &&
        this.#pairs().every(([from, to]) =>
          (to.next.get(from.name) ?? 0) > (marks.get(from) ?? 0)
        ),
      () => `messages to flow again: ${this.open} ${this.#missing(marks)}`,
      { timeoutMs: 90_000 },
    );
    for (const peer of this.#present.flat()) this.#owe(peer);
  }

  /** Stops publishing, and resolves when everything has arrived at those who are still there. */
  async finish(): Promise<Tally> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    const marks = new Map<Peer, number>();
    for (const peer of this.#present.flat()) marks.set(peer, peer.sent - 1);
    await eventually(
      () =>
        this.#pairs().every(([from, to]) =>
          // One that came back late need not have heard from everyone.
          from.sent === 0 ||
          (to.next.get(from.name) ?? (to.early ? 0 : from.sent)) >= from.sent
        ),
      () => `the last messages: ${this.#missing(marks)}`,
      { timeoutMs: 90_000 },
    );
    return this.tally;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    clearInterval(this.#timer);
    await Promise.all(this.#peers.map(({ socket }) => {
      if (socket.readyState === WebSocket.CLOSED) return;
      const closed = new Promise((resolve) => socket.onclose = resolve);
      socket.close();
      return closed;
    }));
    for (const http of this.#https) http.close();
  }

  /** Every pair of a sender and a receiver that are both there. */
  #pairs(): [Peer, Peer][] {
    const pairs: [Peer, Peer][] = [];
    for (let channel = 0; channel < this.#options.channels; channel++) {
      const peers = this.#present.map((node) => node[channel]!).filter(isOpen);
      for (const from of peers) {
        for (const to of peers) if (from !== to) pairs.push([from, to]);
      }
    }
    return pairs;
  }

  #missing(marks: Map<Peer, number>): string {
    const counts = new Map<string, number>();
    for (const [from, to] of this.#pairs()) {
      if ((to.next.get(from.name) ?? 0) > (marks.get(from) ?? 0)) continue;
      const way = `node ${from.node} to ${to.node}`;
      counts.set(way, (counts.get(way) ?? 0) + 1);
    }
    return JSON.stringify({ ...Object.fromEntries(counts), ...this.tally });
  }

  async #joinAll(): Promise<void> {
    for (let node = 0; node < this.#options.sockets.length; node++) {
      await Promise.all(
        Array.from(
          { length: this.#options.channels },
          (_, channel) => this.#join(node, channel, true),
        ),
      );
    }
  }

  async #join(node: number, channel: number, early: boolean): Promise<void> {
    const socket = new WebSocket(`ws://localhost${this.#prefix}${channel}`, {
      client: this.#https[node]!,
    });
    socket.binaryType = "arraybuffer";
    const peer: Peer = {
      name: this.#peers.length,
      node,
      channel,
      socket,
      sent: 0,
      next: new Map(),
      floor: new Map(),
      early,
      isOwed: false,
    };
    this.#peers.push(peer);
    socket.onmessage = ({ data }) => this.#receive(peer, data);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => {
        if (early || this.#options.rejoin === "whole") this.#owe(peer);
        this.#present[node]![channel] = peer;
        resolve();
      };
      socket.onclose = ({ code }) => {
        const wasOpen = this.#present[node]![channel] === peer;
        if (!this.#ended && (wasOpen || early)) this.#countClose(code);
        if (!this.#ended) this.#rejoin(peer);
        reject(new Error(`Closed with ${code}`));
      };
      socket.onerror = () => {};
    }).catch((error) => {
      if (early) throw error;
    });
  }

  /** From now on `peer` has to get everything, if that isn't so already. */
  #owe(peer: Peer): void {
    if (peer.isOwed) return;
    peer.isOwed = true;
    for (const { name, sent } of this.#peers) peer.floor.set(name, sent);
  }

  #countClose(code: number): void {
    this.tally.closed[code] = (this.tally.closed[code] ?? 0) + 1;
  }

  #rejoin({ node, channel }: Peer): void {
    if (this.#options.rejoin === undefined) return;
    setTimeout(() => {
      if (!this.#ended) void this.#join(node, channel, false);
    }, 200);
  }

  #tick(): void {
    const { ratePerNode, channels } = this.#options;
    const due = Math.floor(
      (performance.now() - this.#startMs) / 1000 * ratePerNode,
    );
    for (; this.#due < due; this.#due++) {
      for (const node of this.#present) {
        const peer = node[this.#due % channels];
        if (peer && isOpen(peer)) this.#send(peer);
      }
    }
  }

  #send(peer: Peer): void {
    const text = `${peer.name} ${peer.sent}${this.#padding}`;
    // Every other one is binary.
    peer.socket.send(
      peer.sent % 2 === 0 ? text : new TextEncoder().encode(text),
    );
    peer.sent++;
    this.tally.sent++;
  }

  #receive(to: Peer, data: string | ArrayBuffer): void {
    const { tally } = this;
    const text = typeof data === "string" ? data : decoder.decode(data);
    const [name, number] = text.split(" ", 2).map(Number) as [number, number];
    const from = this.#peers[name]!;
    tally.received++;
    if ((typeof data === "string") !== (number % 2 === 0)) tally.changed++;
    if (from === to) {
      tally.echoed++;
      return;
    }
    const expected = to.next.get(name) ??
      (to.early && from.early ? 0 : number);
    if (number === expected) to.next.set(name, number + 1);
    else if (number > expected) {
      // What was sent before may come in parts.
      const floor = to.isOwed ? to.floor.get(name) ?? 0 : number;
      tally.lost += Math.max(0, number - Math.max(expected, floor));
      to.next.set(name, number + 1);
    } else if (number === expected - 1) tally.duplicated++;
    else tally.reordered++;
  }
}

const decoder = new TextDecoder();

function isOpen(peer: Peer | undefined): peer is Peer {
  return peer?.socket.readyState === WebSocket.OPEN;
}
