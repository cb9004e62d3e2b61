/**
 * Many real WebSocket clients who join, publish, pause, stall, leave and break
 * off as a seed says, and tell a history what they saw.
 *
 * There is a number of channels at a time. Each has a number of seats, which a
 * client takes, leaves, and takes again as another one. In the end of a
 * channel nobody publishes any more, and those who are there wait until they
 * have everything; then it is `settled`, all leave, and a new channel begins.
 */
import { eventually } from "../../tools/eventually.ts";
import type { Random } from "../helpers/random.ts";
import {
  Channel,
  Client,
  type Company,
  type Door,
  rush,
  sleep,
} from "./client.ts";
import type { History } from "./history.ts";
import { Payloads } from "./payload.ts";

/** What a crowd is like, unless it is said. */
const usual = {
  /** How many channels there are at a time. */
  channels: 12,
  /** How many clients a channel has, about. */
  clientsPerChannel: 6,
  /** Whether a channel's places take the doors in turn, and each keeps its own. Otherwise everyone takes any. */
  keepsDoors: false,
  /** How many messages are published a second, by all together. */
  messagesPerSecond: 300,
  /** The largest message. */
  maxMessageBytes: 1 << 20,
  /** How long a channel lives, at least and at most. */
  channelLifeMs: [15_000, 60_000] as readonly [number, number],
  /** How long a client stays, at least and at most. */
  clientLifeMs: [2000, 40_000] as readonly [number, number],
  /** How long a client stops reading at most: it mustn't be closed for it. */
  stallMs: 1500,
  /** How likely it is that somebody follows one who left, publishes, and breaks off with the answer to its handshake unread. */
  rushChance: 0,
  /** How long it waits, when a channel is to end, for clients to have everything. */
  settleTimeoutMs: 120_000,
};

/** What a crowd is like, whoever serves it. */
export type CrowdKind = Partial<Readonly<typeof usual>>;

/** Settings of {@linkcode Crowd.start}. */
export interface CrowdOptions extends CrowdKind {
  /** Where what happens is written down. */
  readonly history: History;
  /** Where all choices come from. */
  readonly random: Random;
  /** The ways in, at least one; one that is there twice is taken twice as often. */
  readonly doors: readonly Door[];
}

/** A place in a channel, which one client after the other takes. */
interface Seat {
  /** Whether its client didn't leave by itself, and hasn't come back yet. */
  away: boolean;
  /** Whether a client has taken it, or its channel ended before. */
  hadItsTurn: boolean;
}

/** Longer than any run, in milliseconds; still one that a timer takes. */
export const foreverMs = 2 ** 30;

const tickMs = 10;
/** A client with more than this to be written publishes nothing. */
const maxQueuedBytes = 1 << 20;
/** What may be due after the machine had no time, in messages. */
const maxDue = 100;
/** How long messages are: up to which share of them, and from how many bytes to how many. */
const lengths = [
  ...[[0.7, 0, 200], [0.955, 200, 4096], [0.9955, 4096, 64 << 10]] as const,
  ...[[0.9995, 64 << 10, 1 << 20], [1, 1 << 20, 1 << 20]] as const,
] as const;
/** Waits before another try, in milliseconds: the first, doubled each time up to the last. */
const backOffMs = [100, 2000] as const;
/** For how long the messages of those who left are waited for in the end, in milliseconds. */
const leftTimeoutMs = 20_000;

/** A crowd at work. Its disposal cuts every connection. */
export class Crowd implements AsyncDisposable {
  /** How many connections are open, and how many have ended, by code. */
  readonly counts: Company["counts"] = { open: 0, closes: {} };
  /** Whether nothing is published but what {@linkcode flows} needs. */
  isSilent = false;
  readonly #options: Required<CrowdOptions>;
  readonly #history: History;
  /** One generator each, so that the order of what happens changes the fewest choices. */
  readonly #lifeRandom: Random;
  readonly #messageRandom: Random;
  readonly #company: Company;
  readonly #channels = new Set<Channel>();
  readonly #seats = new Set<Seat>();
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;
  #done: Promise<unknown> = Promise.resolve();
  #lastTickMs = 0;
  #due = 0;
  #finishing = false;
  /** How many {@linkcode flows} wait; nobody begins to stall then. */
  #flowing = 0;

  private constructor(options: CrowdOptions) {
    this.#options = { ...usual, ...options };
    this.#history = options.history;
    this.#lifeRandom = options.random.fork();
    this.#messageRandom = options.random.fork();
    const { maxMessageBytes } = this.#options;
    this.#company = {
      history: options.history,
      doors: options.doors,
      counts: this.counts,
      payloads: new Payloads(options.random.fork(), maxMessageBytes),
      random: this.#messageRandom,
      signal: this.#abort.signal,
    };
  }

  /** Lets the clients of the first channels join, and begins to publish. Resolves when all of them have been open. */
  static async start(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options);
    crowd.#done = Promise.all(
      Array.from(
        { length: crowd.#options.channels },
        () => crowd.#runChannels(),
      ),
    );
    // Not those of now: one that is broken may never have all of them open.
    const seats = [...crowd.#seats];
    crowd.#lastTickMs = crowd.#history.nowMs;
    crowd.#timer = setInterval(() => crowd.#tick(), tickMs);
    await using stack = new AsyncDisposableStack();
    stack.use(crowd);
    await eventually(
      () => seats.every(({ hadItsTurn }) => hadItsTurn),
      "all clients to have been open",
    );
    stack.move();
    return crowd;
  }

  /**
   * Resolves when messages get through again between every two present clients
   * of each channel, with the milliseconds that took: everyone who isn't
   * stalled publishes one, and everyone else must get it. Clients that were
   * refused or cut off have come back by then.
   *
   * @throws {Error} If one of these takes more than `timeoutMs`; the message tells who waits for what.
   */
  async flows({ timeoutMs = 120_000 } = {}): Promise<number> {
    const startMs = this.#history.nowMs;
    this.#flowing++;
    try {
      const away = (): Seat[] => [...this.#seats].filter(({ away }) => away);
      await eventually(
        () => away().length === 0,
        () => `${away().length} clients`,
        { timeoutMs },
      );
      const pairs: { from: Client; number: number; to: Client }[] = [];
      for (const { clients } of this.#channels) {
        const present = clients.filter(({ isLeaving, connection }) =>
          !isLeaving && !connection.isStalled
        );
        for (const from of present) {
          const number = from.publish(0);
          for (const to of present) {
            if (to !== from) pairs.push({ from, number, to });
          }
        }
      }
      const waiting = (): typeof pairs =>
        pairs.filter(({ from, number, to }) =>
          from.isOpen && to.isOpen && to.lastOf(from) < number
        );
      await eventually(
        () => waiting().length === 0,
        () => {
          const left = waiting();
          const some = left.slice(0, 5).map(({ from, number, to }) => {
            const got = `${to.lastOf(from)} of ${number} from ${from.id}`;
            return `${to.id} has ${got} in channel ${to.channel.index}`;
          }).join("; ");
          return `messages between ${left.length} pairs of clients: ${some}`;
        },
        { timeoutMs },
      );
      return this.#history.nowMs - startMs;
    } finally {
      this.#flowing--;
    }
  }

  /**
   * Lets somebody in each channel publish one message; `next` is awaited after
   * each. In a crowd that publishes nothing else, nothing follows that would show
   * a gap.
   */
  async speak(next: () => Promise<void>): Promise<void> {
    for (const { clients } of this.#channels) {
      if (clients.length > 0) this.#messageRandom.pick(clients).publish(0);
      await next();
    }
  }

  /** Gets the paths of the channels that there are now, for those who do their clients no harm. */
  get paths(): string[] {
    return [...this.#channels].map(({ path }) => path);
  }

  /**
   * Ends in good order: nobody publishes any more, everyone who is open gets
   * everything, and leaves. Resolves when all connections have ended.
   */
  async finish(): Promise<void> {
    this.#finishing = true;
    for (const { ending } of this.#channels) ending.abort();
    await this.#done;
    clearInterval(this.#timer);
  }

  /** Breaks everything off. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#finishing = true;
    clearInterval(this.#timer);
    this.#abort.abort();
    for (const { ending, clients } of this.#channels) {
      ending.abort();
      for (const client of [...clients]) client.reset();
    }
    await this.#done;
  }

  /** Runs one channel after the other. */
  async #runChannels(): Promise<void> {
    while (!this.#finishing) {
      const path = `/${this.#lifeRandom.uuid()}`;
      const channel = new Channel(this.#history.newChannel(), path);
      this.#channels.add(channel);
      const { clientsPerChannel: about, channelLifeMs } = this.#options;
      const seats = this.#lifeRandom.integer(
        Math.max(2, Math.ceil(about / 2)),
        Math.max(2, Math.floor(about * 1.5)),
      );
      const timer = setTimeout(
        () => channel.ending.abort(),
        this.#lifeRandom.between(...channelLifeMs),
      );
      await Promise.all(
        Array.from({ length: seats }, (_, i) => this.#runSeat(channel, i)),
      );
      clearTimeout(timer);
      await this.#settle(channel);
      this.#channels.delete(channel);
    }
  }

  /** Lets one client after the other take a seat, until the channel is to end; the last one stays. */
  async #runSeat(channel: Channel, index: number): Promise<void> {
    const { signal } = channel.ending;
    const { doors, keepsDoors, rushChance } = this.#options;
    const random = this.#lifeRandom;
    const pickDoor = (): Door =>
      keepsDoors ? doors[index % doors.length]! : random.pick(doors);
    const seat: Seat = { away: true, hadItsTurn: false };
    this.#seats.add(seat);
    for (let failures = 0; !signal.aborted;) {
      const client = await Client.join(channel, pickDoor(), this.#company);
      if (client === undefined) {
        seat.away = true;
        const [firstMs, lastMs] = backOffMs;
        const aboutMs = Math.min(lastMs, firstMs * 2 ** failures++);
        await sleep(aboutMs * random.between(0.5, 1.5), signal);
        continue;
      }
      if (channel.whisperer === undefined && random.chance(0.3)) {
        channel.whisperer = client.id;
      }
      seat.away = false;
      seat.hadItsTurn = true;
      failures = 0;
      await this.#live(client, signal);
      // The channel ends, and it stays for that.
      if (client.isOpen && !client.isLeaving) break;
      const { by, reason } = await client.closed;
      seat.away = by !== "client";
      if (!seat.away && random.chance(rushChance)) {
        await rush(channel, random.pick(doors), this.#company);
      }
      const retry = /retry=(\d+)/.exec(reason);
      const restMs = retry
        ? Math.min(Number(retry[1]), backOffMs[1])
        : random.between(0, 1000);
      await sleep(restMs, signal);
    }
    seat.hadItsTurn = true;
    this.#seats.delete(seat);
  }

  /** Lets a client stall now and then, and leave after its time, unless the channel ends before. */
  async #live(client: Client, signal: AbortSignal): Promise<void> {
    const random = this.#lifeRandom;
    const { clientLifeMs: [minMs, maxMs], stallMs } = this.#options;
    const endMs = this.#history.nowMs + random.between(minMs, maxMs);
    while (client.isOpen && !signal.aborted) {
      const leftMs = endMs - this.#history.nowMs;
      if (leftMs <= 0) return this.#depart(client);
      const restMs = Math.min(leftMs, maxMs * random.between(0.02, 0.2));
      await Promise.race([sleep(restMs, signal), client.closed]);
      if (!client.isOpen || signal.aborted || this.#flowing > 0) continue;
      if (!random.chance(0.15)) continue;
      await client.stall(random.between(10, stallMs), signal);
      client.connection.resume();
    }
  }

  /** Lets a client leave in one way or another. */
  async #depart(client: Client): Promise<void> {
    const random = this.#lifeRandom;
    if (random.chance(0.7)) return this.#leave(client);
    if (random.chance(0.5)) {
      // With something unread, the operating system sends a reset (RST).
      await client.stall(random.integer(50, 300), this.#abort.signal);
    }
    client.reset();
  }

  #leave(client: Client): void {
    client.leave(this.#lifeRandom.chance(0.7) ? 1000 : 1005);
  }

  /** Publishes what is due by now. */
  #tick(): void {
    const nowMs = this.#history.nowMs;
    const elapsedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    if (this.isSilent) return;
    const due = elapsedMs / 1000 * this.#options.messagesPerSecond;
    this.#due = Math.min(maxDue, this.#due + due);
    const random = this.#messageRandom;
    const channels = [...this.#channels].filter(({ clients, ending }) =>
      clients.length > 0 && !ending.signal.aborted
    );
    if (channels.length === 0) return;
    for (; this.#due >= 1; this.#due--) {
      const { clients } = random.pick(channels);
      const client = random.pick(clients);
      const isBusy = client.connection.queuedBytes > maxQueuedBytes;
      if (client.isLeaving || isBusy || client.quietUntilMs > nowMs) continue;
      if (random.chance(0.002)) {
        client.quietUntilMs = nowMs + random.between(500, 5000);
      } else if (random.chance(0.01)) {
        const burst = random.integer(5, 30);
        for (let i = 0; i < burst; i++) {
          client.publish(random.integer(0, 500));
        }
        this.#due -= burst - 1;
      } else client.publish(this.#pickBytes());
    }
  }

  /** Gets a length: mostly short, now and then up to the largest one. */
  #pickBytes(): number {
    const random = this.#messageRandom;
    const { maxMessageBytes } = this.#options;
    const share = random.next();
    const [, min, max] = lengths.find(([upTo]) => share < upTo)!;
    return Math.min(maxMessageBytes, random.integer(min, max));
  }

  /** Waits until those who are open have everything, and lets them leave. */
  async #settle(channel: Channel): Promise<void> {
    const { clients, index } = channel;
    const { settleTimeoutMs, messagesPerSecond } = this.#options;
    // Numbers of unnamed messages are known by the named one behind them, and
    // what was lost isn't waited for. Who is to be silent has none.
    if (messagesPerSecond > 0) {
      for (const client of clients) client.publish(0);
    }
    for (const state of ["open", "left"] as const) {
      const timeoutMs = state === "open"
        ? settleTimeoutMs
        : Math.min(settleTimeoutMs, leftTimeoutMs);
      // After that time it is for the checker to judge.
      await eventually(
        () =>
          this.#abort.signal.aborted ||
          clients.every((client) => client.hasAllOf(state)),
        "everyone to have everything",
        { timeoutMs },
      ).catch(() => {});
    }
    this.#history.add({ event: "settled", channel: index });
    const last = [...clients];
    for (const client of last) this.#leave(client);
    await Promise.all(last.map(({ closed }) => closed));
  }
}
