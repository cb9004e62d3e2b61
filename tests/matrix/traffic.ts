/**
 * Clients in the same channels on several nodes, who publish small messages at
 * a steady rate, and note what they send and get. Those who are closed come back.
 */
import { eventually, pause } from "../helpers/eventually.ts";
import type { Stay } from "./checker.ts";

/** Settings of {@linkcode Traffic.start}. */
export interface TrafficOptions {
  /** The nodes' unix sockets. */
  readonly sockets: readonly string[];
  /** Messages that all clients publish together, a second. */
  readonly messagesPerSecond: number;
}

/** A place for a client in a channel on a node. */
interface Seat {
  readonly index: number;
  readonly node: number;
  readonly channel: number;
  /** Who has it now. */
  present?: { readonly index: number; readonly socket: WebSocket } | undefined;
}

const channels = 5;
/** How many clients a channel has on each node. */
const clientsPerChannel = 4;
const tickMs = 10;
/** How long a client waits that isn't let in. */
const retryMs = 100;
/** How long everything may take to arrive in the end; what takes longer is lost. */
const finishTimeoutMs = 60_000;

/** Running traffic. Its disposal ends it. */
export class Traffic implements AsyncDisposable {
  /** Every connection that ever was open, in the order of that. */
  readonly stays: Stay[] = [];
  /** How many messages came from another node. */
  deliveries = 0;
  readonly #options: TrafficOptions;
  readonly #https: Deno.HttpClient[];
  readonly #prefix = `/${crypto.randomUUID()}/`;
  readonly #seats: Seat[] = [];
  /** The last message that came, by sender and receiver: when that was sent. */
  readonly #heardMs = new Map<string, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #startMs = 0;
  #due = 0;
  #isEnded = false;

  private constructor(options: TrafficOptions) {
    this.#options = options;
    this.#https = options.sockets.map((path) =>
      Deno.createHttpClient({ proxy: { transport: "unix", path } })
    );
    for (let channel = 0; channel < channels; channel++) {
      for (let i = 0; i < clientsPerChannel; i++) {
        for (const node of options.sockets.keys()) {
          this.#seats.push({ index: this.#seats.length, node, channel });
        }
      }
    }
  }

  /** Connects all clients, then lets them publish. */
  static async start(options: TrafficOptions): Promise<Traffic> {
    const traffic = new Traffic(options);
    await Promise.all(traffic.#seats.map((seat) => traffic.#sit(seat)));
    traffic.#startMs = performance.now();
    traffic.#timer = setInterval(() => traffic.#tick(), tickMs);
    return traffic;
  }

  /**
   * Resolves when everybody is there, and has got something from everybody on
   * other nodes that was sent since `ms`.
   */
  async flows(
    ms: number,
    options: { timeoutMs?: number } = {},
  ): Promise<void> {
    await eventually(
      () => this.#silentSince(ms).length === 0,
      () => `messages ${summary(this.#silentSince(ms))}`,
      options,
    );
  }

  /** Stops publishing, and resolves when everything has arrived, or nothing more comes. */
  async finish(): Promise<void> {
    clearInterval(this.#timer);
    const all = this.stays.filter(({ end }) => end === undefined);
    const lastOf = (from: Stay): number => from.sentMs.at(-1) ?? -Infinity;
    await eventually(
      () =>
        all.every((to) =>
          all.every((from) =>
            from === to || from.channel !== to.channel ||
            lastOf(from) <= Math.max(this.#heard(from, to), to.openMs)
          )
        ),
      "the last messages",
      { timeoutMs: finishTimeoutMs },
    ).catch(() => {/* It is lost, then: the checker finds that out. */});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    clearInterval(this.#timer);
    await Promise.all(this.#seats.map(({ present }) => {
      if (!present) return;
      const closed = new Promise((resolve) => present.socket.onclose = resolve);
      present.socket.close();
      return closed;
    }));
    for (const http of this.#https) http.close();
  }

  /** Takes a seat, as often as it takes. */
  async #sit(seat: Seat): Promise<void> {
    while (!this.#isEnded) {
      if (await this.#join(seat)) return;
      await pause(retryMs);
    }
  }

  /** Resolves when a client has joined, or with `false` if it was refused. */
  async #join(seat: Seat): Promise<boolean> {
    const { node, channel } = seat;
    const socket = new WebSocket(`ws://localhost${this.#prefix}${channel}`, {
      client: this.#https[node]!,
    });
    socket.binaryType = "arraybuffer";
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let stay: Stay | undefined;
    socket.onopen = () => {
      if (this.#isEnded) return socket.close();
      stay = {
        ...{ seat: seat.index, node, channel, openMs: performance.now() },
        ...{ sentMs: [], got: [], changed: 0 },
      };
      seat.present = { index: this.stays.length, socket };
      this.stays.push(stay);
      resolve(true);
    };
    socket.onmessage = ({ data }) => this.#receive(stay!, data);
    socket.onerror = () => {};
    socket.onclose = ({ code }) => {
      resolve(false);
      if (stay === undefined || this.#isEnded) return;
      stay.end = { ms: performance.now(), code };
      seat.present = undefined;
      void this.#sit(seat);
    };
    return await promise;
  }

  #tick(): void {
    const { messagesPerSecond } = this.#options;
    const elapsedS = (performance.now() - this.#startMs) / 1000;
    for (; this.#due < elapsedS * messagesPerSecond; this.#due++) {
      const { present } = this.#seats[this.#due % this.#seats.length]!;
      if (present?.socket.readyState !== WebSocket.OPEN) continue;
      const { sentMs } = this.stays[present.index]!;
      const text = `${present.index} ${sentMs.length}`;
      // Every other one is binary.
      present.socket.send(
        sentMs.length % 2 === 0 ? text : new TextEncoder().encode(text),
      );
      sentMs.push(performance.now());
    }
  }

  #receive(to: Stay, data: string | ArrayBuffer): void {
    const isText = typeof data === "string";
    const text = isText ? data : new TextDecoder().decode(data);
    const [from, number] = text.split(" ").map(Number) as [number, number];
    to.got.push({ from, number, ms: performance.now() });
    if (isText !== (number % 2 === 0)) to.changed++;
    const sender = this.stays[from];
    const sentMs = sender?.sentMs[number];
    if (sentMs === undefined) return;
    this.#heardMs.set(`${sender!.seat} ${to.seat}`, sentMs);
    if (sender!.node !== to.node) this.deliveries++;
  }

  /** Gets when the newest message was sent that came from a seat to another one. */
  #heard(from: { seat: number }, to: { seat: number }): number {
    return this.#heardMs.get(`${from.seat} ${to.seat}`) ?? -Infinity;
  }

  /** Gets the ways on which nothing came that was sent since `ms`, by the nodes' numbers. */
  #silentSince(ms: number): string[] {
    const silent: string[] = [];
    for (const to of this.#seats) {
      for (const from of this.#seats) {
        if (from.channel !== to.channel || from.node === to.node) continue;
        const isHeard = from.present && to.present &&
          this.#heard({ seat: from.index }, { seat: to.index }) >= ms;
        if (!isHeard) {
          silent.push(`from node ${from.node + 1} to ${to.node + 1}`);
        }
      }
    }
    return silent;
  }
}

/** Gets each text once, with how often it is there. */
function summary(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return Array.from(counts, ([text, count]) => `${text} (${count})`).join(", ");
}
