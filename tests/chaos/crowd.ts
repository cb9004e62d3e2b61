/**
 * Many real WebSocket clients who join, publish, pause, stall, leave and break
 * off as a seed says, and tell a history what they saw.
 *
 * There is a number of channels at a time. Each has a number of seats, which a
 * client takes, leaves, and takes again as another one. In the end of a
 * channel nobody publishes any more, and those who are there wait until they
 * have everything; then it is `settled`, all leave, and a new channel begins.
 */
import { eventually } from "../helpers/eventually.ts";
import type { Random } from "../helpers/random.ts";
import {
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../helpers/raw_client.ts";
import { Connection, type Ending } from "../helpers/connection.ts";
import { digest, type History, type MessageKind } from "./history.ts";
import { maxUnnamedBytes, Payloads, readName } from "./payload.ts";

/** A way for clients to reach channels. */
export interface Door {
  /** For reports, such as "nginx" or "node 2". */
  readonly name: string;
  /** Where to connect to. */
  readonly target: Target;
  /**
   * The index of the node behind it, or how to get that from the headers of
   * the 101, such as from one that the frontend adds. Left out: unknown.
   */
  readonly node?: number | ((headers: Headers) => number | undefined);
  /** How often it is taken, compared with the other doors. Default 1. */
  readonly weight?: number;
}

/** What a crowd is like, whoever serves it. */
export interface CrowdKind {
  /** How many channels there are at a time. Default 12. */
  readonly channels?: number;
  /** How many clients a channel has, about. Default 6. */
  readonly clientsPerChannel?: number;
  /** Whether a channel's places take the doors in turn, and each keeps its own. Default: everyone takes any. */
  readonly keepsDoors?: boolean;
  /** How many messages are published a second, by all together. Default 300. */
  readonly messagesPerSecond?: number;
  /** The largest message. Default 1 MiB. */
  readonly maxMessageBytes?: number;
  /** How long a channel lives, at least and at most, in milliseconds. Default 15 s to 60 s. */
  readonly channelLifeMs?: readonly [number, number];
  /** How long a client stays, at least and at most, in milliseconds. Default 2 s to 40 s. */
  readonly clientLifeMs?: readonly [number, number];
  /** How long a client stops reading without harm, at most, in milliseconds. Default 1.5 s. */
  readonly shortStallMs?: number;
  /** How long one stops that is to be closed for it, in milliseconds. 0 for never. Default 0. */
  readonly longStallMs?: number;
  /** How likely it is that somebody follows one who left, publishes, and breaks off with the answer to its handshake unread. Default 0. */
  readonly rushChance?: number;
  /** How long it waits, when a channel is to end, for clients to have everything. Default 120 s. */
  readonly settleTimeoutMs?: number;
}

/** Settings of {@linkcode Crowd.start}. */
export interface CrowdOptions extends CrowdKind {
  /** Where what happens is written down. */
  readonly history: History;
  /** Where all choices come from. */
  readonly random: Random;
  /** The ways in; at least one. */
  readonly doors: readonly Door[];
}

/** What a crowd counted, for a progress line. */
export interface CrowdCounts {
  /** Connections that are open. */
  open: number;
  /** Connections that were opened so far. */
  connections: number;
  /** Channels that began so far. */
  channels: number;
  messages: number;
  deliveries: number;
  /** Handshakes that weren't answered with 101, by status; 0 for no answer at all. */
  refused: Record<number, number>;
  /** Connections that ended, by code. */
  closes: Record<number, number>;
}

/** Somebody who published in a channel, for those who wait for all of it. */
interface Publisher {
  sent: number;
  /** Whether it is there; left in good order, so that all of it was published; or broke off. */
  state: "open" | "left" | "lost";
}

/** A channel, from its first seat to its end. */
interface Channel {
  readonly index: number;
  /** A secret even here: it goes into handshakes, and nowhere else. */
  readonly path: string;
  /** Those who are open. */
  readonly clients: Client[];
  /** Everyone who ever published, by connection. */
  readonly publishers: Map<number, Publisher>;
  /** Wakes the seats when the channel is to end. */
  readonly ending: AbortController;
  /** The only one who ever sends unnamed messages, for nobody could tell whose they are. */
  whisperer: number | undefined;
}

/** A place in a channel, which one client after the other takes. */
interface Seat {
  /** Whether its client didn't leave by itself, and hasn't come back yet. */
  away: boolean;
  /** Whether a client has taken it, or its channel ended before. */
  hadItsTurn: boolean;
}

/** A connection that is open, and what it has seen. */
interface Client {
  readonly id: number;
  readonly channel: Channel;
  readonly connection: Connection;
  readonly publisher: Publisher;
  /** The last number of each publisher. */
  readonly seen: Map<number, number>;
  /** How much each publisher had sent when this client opened: it may have missed that. */
  readonly floor: ReadonlyMap<number, number>;
  readonly closed: Promise<Ending>;
  isOpen: boolean;
  leaving: boolean;
  /** It publishes nothing until then, in milliseconds of the history. */
  quietUntilMs: number;
  /** Unnamed messages since the last one with a name. */
  unnamedRun: number;
}

/** Longer than any run, in milliseconds; still one that a timer takes. */
export const foreverMs = 2 ** 30;

const tickMs = 10;
/** What may be due after the machine had no time, in messages. */
const maxDue = 100;
/** A client with more than this to be written publishes nothing. */
const maxQueuedBytes = 1 << 20;
const maxUnnamedRun = 4;
const dialTimeoutMs = 30_000;
/** Waits before another try, in milliseconds: the first, doubled each time up to the last. */
const backOffMs = [100, 2000] as const;
/** For how long the messages of those who left are waited for in the end, in milliseconds. */
const leftTimeoutMs = 20_000;

/** A crowd at work. Its disposal cuts every connection. */
export class Crowd implements AsyncDisposable {
  readonly counts: CrowdCounts = {
    open: 0,
    connections: 0,
    channels: 0,
    messages: 0,
    deliveries: 0,
    refused: {},
    closes: {},
  };
  readonly #options: Required<CrowdOptions>;
  readonly #history: History;
  /** One generator each, so that the order of what happens changes the fewest choices. */
  readonly #lifeRandom: Random;
  readonly #messageRandom: Random;
  readonly #payloads: Payloads;
  readonly #channels = new Set<Channel>();
  readonly #seats = new Set<Seat>();
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;
  #done: Promise<unknown> = Promise.resolve();
  #lastTickMs = 0;
  #due = 0;
  #paused = false;
  #finishing = false;
  /** How many {@linkcode flows} wait; nobody begins to stall then. */
  #flowing = 0;

  private constructor(options: CrowdOptions) {
    this.#options = {
      channels: 12,
      clientsPerChannel: 6,
      keepsDoors: false,
      messagesPerSecond: 300,
      maxMessageBytes: 1 << 20,
      channelLifeMs: [15_000, 60_000],
      clientLifeMs: [2000, 40_000],
      shortStallMs: 1500,
      longStallMs: 0,
      rushChance: 0,
      settleTimeoutMs: 120_000,
      ...options,
    };
    this.#history = options.history;
    this.#lifeRandom = options.random.fork();
    this.#messageRandom = options.random.fork();
    this.#payloads = new Payloads(
      options.random.fork(),
      this.#options.maxMessageBytes,
    );
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
    try {
      await eventually(
        () => seats.every(({ hadItsTurn }) => hadItsTurn),
        "all clients to have been open",
      );
    } catch (error) {
      await crowd[Symbol.asyncDispose]();
      throw error;
    }
    return crowd;
  }

  /**
   * Resolves when messages get through again between every two present clients
   * of each channel, with the milliseconds that took: everyone who isn't
   * stalled publishes one, and everyone else must get it. Clients that were
   * refused or cut off have come back by then.
   *
   * @throws {Error} If that takes more than `timeoutMs`, default 120 s; the message tells who waits for what.
   */
  async flows({ timeoutMs = 120_000 } = {}): Promise<number> {
    const startMs = this.#history.nowMs;
    const leftMs = (): number =>
      Math.max(0, timeoutMs - (this.#history.nowMs - startMs));
    this.#flowing++;
    try {
      await eventually(
        () => [...this.#seats].every(({ away }) => !away),
        () => `${[...this.#seats].filter(({ away }) => away).length} clients`,
        { timeoutMs: leftMs() },
      );
      const pairs: { from: Client; number: number; to: Client }[] = [];
      for (const { clients } of this.#channels) {
        const present = clients.filter((client) =>
          !client.leaving && !client.connection.isStalled
        );
        for (const from of present) {
          const number = this.#publish(from, { bytes: 0 });
          for (const to of present) {
            if (to !== from) pairs.push({ from, number, to });
          }
        }
      }
      const waiting = (): typeof pairs =>
        pairs.filter(({ from, number, to }) =>
          from.isOpen && to.isOpen && (to.seen.get(from.id) ?? 0) < number
        );
      await eventually(
        () => waiting().length === 0,
        () => {
          const left = waiting();
          const some = left.slice(0, 5).map(({ from, number, to }) =>
            `${to.id} has ${
              to.seen.get(from.id) ?? 0
            } of ${number} from ${from.id} in channel ${to.channel.index}`
          );
          return `messages between ${left.length} pairs of clients: ${
            some.join("; ")
          }`;
        },
        { timeoutMs: leftMs() },
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
      if (clients.length > 0) {
        this.#publish(this.#messageRandom.pick(clients), { bytes: 0 });
      }
      await next();
    }
  }

  /** Gets the paths of the channels that there are now, for those who do their clients no harm. */
  get paths(): string[] {
    return [...this.#channels].map(({ path }) => path);
  }

  /** Stops publishing, but for what {@linkcode flows} needs. */
  pausePublishing(): void {
    this.#paused = true;
  }

  /** Ends {@linkcode pausePublishing}. */
  resumePublishing(): void {
    this.#paused = false;
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
      for (const client of [...clients]) this.#reset(client);
    }
    await this.#done;
  }

  /** Runs one channel after the other. */
  async #runChannels(): Promise<void> {
    while (!this.#finishing) {
      const channel: Channel = {
        index: this.#history.newChannel(),
        path: `/${this.#lifeRandom.uuid()}`,
        clients: [],
        publishers: new Map(),
        ending: new AbortController(),
        whisperer: undefined,
      };
      this.counts.channels++;
      this.#channels.add(channel);
      const about = this.#options.clientsPerChannel;
      const seats = this.#lifeRandom.integer(
        Math.max(2, Math.ceil(about / 2)),
        Math.max(2, Math.floor(about * 1.5)),
      );
      const [minMs, maxMs] = this.#options.channelLifeMs;
      const timer = setTimeout(
        () => channel.ending.abort(),
        this.#lifeRandom.between(minMs, maxMs),
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
    const door = keepsDoors ? doors[index % doors.length] : undefined;
    const seat: Seat = { away: true, hadItsTurn: false };
    this.#seats.add(seat);
    for (let failures = 0; !signal.aborted;) {
      const client = await this.#join(channel, door);
      if (client === undefined) {
        seat.away = true;
        const [firstMs, lastMs] = backOffMs;
        await sleep(
          Math.min(lastMs, firstMs * 2 ** failures++) *
            this.#lifeRandom.between(0.5, 1.5),
          signal,
        );
        continue;
      }
      seat.away = false;
      seat.hadItsTurn = true;
      failures = 0;
      await this.#live(client, signal);
      // The channel ends, and it stays for that.
      if (client.isOpen && !client.leaving) break;
      const { by, reason } = await client.closed;
      seat.away = by !== "client";
      if (!seat.away && this.#lifeRandom.chance(rushChance)) {
        await this.#rush(channel);
      }
      const retry = /retry=(\d+)/.exec(reason);
      await sleep(
        retry
          ? Math.min(Number(retry[1]), backOffMs[1])
          : this.#lifeRandom.between(0, 1000),
        signal,
      );
    }
    seat.hadItsTurn = true;
    this.#seats.delete(seat);
  }

  /** Gets a client that has joined, or nothing if it was refused. */
  async #join(
    channel: Channel,
    door: Door = this.#pickDoor(),
  ): Promise<Client | undefined> {
    const history = this.#history;
    const id = this.#dial(channel, door);
    const connection = await Connection.dial(door.target, {
      path: channel.path,
      timeoutMs: dialTimeoutMs,
      signal: this.#abort.signal,
    });
    if (!(connection instanceof Connection)) {
      const { status, reason } = connection;
      history.add({ event: "refused", connection: id, status, reason });
      count(this.counts.refused, status);
      return undefined;
    }
    const node = typeof door.node === "function"
      ? door.node(connection.headers)
      : door.node;
    history.add({ event: "open", connection: id, node: node ?? -1 });
    this.counts.open++;
    this.counts.connections++;
    const { promise: closed, resolve } = Promise.withResolvers<Ending>();
    const client: Client = {
      id,
      channel,
      connection,
      publisher: { sent: 0, state: "open" },
      seen: new Map(),
      floor: new Map(
        [...channel.publishers].map(([publisher, { sent }]) => [
          publisher,
          sent,
        ]),
      ),
      closed,
      isOpen: true,
      leaving: false,
      quietUntilMs: 0,
      unnamedRun: 0,
    };
    channel.publishers.set(id, client.publisher);
    channel.clients.push(client);
    if (channel.whisperer === undefined && this.#lifeRandom.chance(0.3)) {
      channel.whisperer = id;
    }
    connection.listen({
      message: (kind, payload) => this.#receive(client, { kind, payload }),
      closed: (ending) => {
        this.#closed(client, ending);
        resolve(ending);
      },
    });
    return client;
  }

  /**
   * Lets somebody publish and break off before the answer to its handshake came.
   * Where its messages got to isn't known, so any suffix of them may be lost.
   */
  async #rush(channel: Channel): Promise<void> {
    const door = this.#pickDoor();
    const id = this.#dial(channel, door);
    this.#history.add({ event: "open", connection: id, node: -1 });
    this.counts.connections++;
    const publisher: Publisher = { sent: 0, state: "lost" };
    channel.publishers.set(id, publisher);
    const author = { id, channel, publisher, unnamedRun: maxUnnamedRun };
    // So short that nothing has to wait for them.
    const frames = [0, 100].map((bytes) => {
      const { kind, payload } = this.#compose(author, bytes);
      return frameBytes(opcodes[kind], payload);
    });
    try {
      using client = await RawClient.connect(door.target);
      await client.write(
        concat([handshakeBytes({ path: channel.path }), ...frames]),
      );
    } catch {
      // Whatever hinders it ends it; nobody is told.
    }
    const ending = { by: "client", code: 1006, reason: "" } as const;
    this.#history.add({
      event: "leave",
      connection: id,
      how: "reset",
      code: 1006,
    });
    this.#history.add({ event: "close", connection: id, ...ending });
    count(this.counts.closes, 1006);
  }

  /** Tells that somebody is about to connect. Gets the connection's number. */
  #dial({ index }: Channel, door: Door): number {
    const id = this.#history.newConnection();
    this.#history.add({
      event: "dial",
      connection: id,
      channel: index,
      door: this.#options.doors.indexOf(door),
    });
    return id;
  }

  #pickDoor(): Door {
    const { doors } = this.#options;
    let left = this.#lifeRandom.next() *
      doors.reduce((sum, { weight = 1 }) => sum + weight, 0);
    return doors.find(({ weight = 1 }) => (left -= weight) < 0) ??
      doors.at(-1)!;
  }

  /** Lets a client stall now and then, and leave after its time, unless the channel ends before. */
  async #live(client: Client, signal: AbortSignal): Promise<void> {
    const random = this.#lifeRandom;
    const { clientLifeMs: [minMs, maxMs], shortStallMs, longStallMs } =
      this.#options;
    const endMs = this.#history.nowMs + random.between(minMs, maxMs);
    while (client.isOpen && !signal.aborted) {
      const leftMs = endMs - this.#history.nowMs;
      if (leftMs <= 0) return this.#depart(client);
      const restMs = Math.min(leftMs, maxMs * random.between(0.02, 0.2));
      await Promise.race([sleep(restMs, signal), client.closed]);
      if (!client.isOpen || signal.aborted || this.#flowing > 0) continue;
      if (longStallMs > 0 && random.chance(0.02)) {
        await this.#stall(client, { ms: longStallMs, signal });
      } else if (random.chance(0.15)) {
        const ms = random.between(10, shortStallMs);
        await this.#stall(client, { ms, signal });
      }
    }
  }

  /** Lets a client not read for some time, or until the channel is to end. */
  async #stall(
    client: Client,
    { ms, signal }: { ms: number; signal: AbortSignal },
  ): Promise<void> {
    const { id, connection, closed } = client;
    this.#history.add({ event: "stall", connection: id, ms: Math.round(ms) });
    connection.stall();
    await Promise.race([sleep(ms, signal), closed]);
    if (!client.isOpen) return;
    this.#history.add({ event: "resume", connection: id });
    connection.resume();
  }

  /** Lets a client leave in one way or another. */
  async #depart(client: Client): Promise<void> {
    const random = this.#lifeRandom;
    if (random.chance(0.7)) {
      return this.#leave(client, random.chance(0.7) ? 1000 : 1005);
    }
    if (random.chance(0.5)) {
      // With something unread, the operating system sends a reset (RST).
      const ms = random.integer(50, 300);
      this.#history.add({ event: "stall", connection: client.id, ms });
      client.connection.stall();
      await Promise.race([sleep(ms, this.#abort.signal), client.closed]);
    }
    this.#reset(client);
  }

  /** Closes in good order, behind what it has published. */
  #leave(client: Client, code: number): void {
    if (!client.isOpen || client.leaving) return;
    // Nothing of it comes without a name behind it.
    if (client.unnamedRun > 0) this.#publish(client, { bytes: 0 });
    client.leaving = true;
    this.#history.add({
      event: "leave",
      connection: client.id,
      how: "close",
      code,
    });
    client.connection.leave(code);
  }

  #reset(client: Client): void {
    if (!client.isOpen) return;
    client.leaving = true;
    this.#history.add({
      event: "leave",
      connection: client.id,
      how: "reset",
      code: 1006,
    });
    client.connection.reset();
  }

  #receive(
    client: Client,
    { kind, payload }: { kind: MessageKind; payload: Uint8Array },
  ): void {
    const { publisher, number } = readName(payload);
    this.#history.add({
      event: "receive",
      connection: client.id,
      publisher,
      number,
      kind,
      bytes: payload.length,
      digest: digest(payload),
    });
    this.counts.deliveries++;
    if (publisher > 0) client.seen.set(publisher, number);
  }

  #closed(client: Client, { by, code, reason }: Ending): void {
    const { id: connection, channel, publisher } = client;
    this.#history.add({ event: "close", connection, by, code, reason });
    this.counts.open--;
    count(this.counts.closes, code);
    client.isOpen = false;
    publisher.state = by === "client" && code !== 1006 ? "left" : "lost";
    channel.clients.splice(channel.clients.indexOf(client), 1);
  }

  /** Publishes what is due by now. */
  #tick(): void {
    const nowMs = this.#history.nowMs;
    const elapsedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    if (this.#paused) return;
    this.#due = Math.min(
      maxDue,
      this.#due + elapsedMs / 1000 * this.#options.messagesPerSecond,
    );
    const random = this.#messageRandom;
    const channels = [...this.#channels].filter(({ clients, ending }) =>
      clients.length > 0 && !ending.signal.aborted
    );
    if (channels.length === 0) return;
    for (; this.#due >= 1; this.#due--) {
      const { clients } = random.pick(channels);
      const client = random.pick(clients);
      if (
        client.leaving || client.quietUntilMs > nowMs ||
        client.connection.queuedBytes > maxQueuedBytes
      ) continue;
      if (random.chance(0.002)) {
        client.quietUntilMs = nowMs + random.between(500, 5000);
      } else if (random.chance(0.01)) {
        const burst = random.integer(5, 30);
        for (let i = 0; i < burst; i++) {
          this.#publish(client, { bytes: random.integer(0, 500) });
        }
        this.#due -= burst - 1;
      } else this.#publish(client, { bytes: this.#pickBytes() });
    }
  }

  /** Gets a length: mostly short, now and then up to the largest one. */
  #pickBytes(): number {
    const random = this.#messageRandom;
    const { maxMessageBytes } = this.#options;
    const [min, max] = random.chance(0.7)
      ? [0, 200]
      : random.chance(0.85)
      ? [200, 4096]
      : random.chance(0.9)
      ? [4096, 64 * 1024]
      : random.chance(0.9)
      ? [64 * 1024, maxMessageBytes]
      : [maxMessageBytes, maxMessageBytes];
    return Math.min(maxMessageBytes, random.integer(min!, max!));
  }

  /** Publishes a message of about that length. Gets its number. */
  #publish(client: Client, { bytes }: { bytes: number }): number {
    const { kind, payload } = this.#compose(client, bytes);
    client.connection.send(kind, payload);
    return client.publisher.sent;
  }

  /** Makes the next message of somebody, with a name or, for the channel's whisperer, perhaps without. */
  #compose(
    author: Pick<Client, "id" | "channel" | "publisher" | "unnamedRun">,
    bytes: number,
  ): { kind: MessageKind; payload: Uint8Array<ArrayBuffer> } {
    const { id, channel, publisher } = author;
    const random = this.#messageRandom;
    const kind = random.chance(0.5) ? "text" : "binary";
    const named = channel.whisperer !== id || channel.ending.signal.aborted ||
      bytes === 0 || author.unnamedRun >= maxUnnamedRun || random.chance(0.6);
    const number = ++publisher.sent;
    const payload = named
      ? this.#payloads.named({ publisher: id, number, kind, bytes })
      : this.#payloads.unnamed({
        kind,
        bytes: random.chance(0.5) ? 0 : random.integer(1, maxUnnamedBytes),
      });
    author.unnamedRun = named ? 0 : author.unnamedRun + 1;
    this.#history.add({
      event: "send",
      connection: id,
      number,
      named,
      kind,
      bytes: payload.length,
      digest: digest(payload),
    });
    this.counts.messages++;
    return { kind, payload };
  }

  /** Waits until those who are open have everything, and lets them leave. */
  async #settle(channel: Channel): Promise<void> {
    const { clients, index } = channel;
    const { settleTimeoutMs, messagesPerSecond } = this.#options;
    // Numbers of unnamed messages are known by the named one behind them, and
    // what was lost isn't waited for. Who is to be silent has none.
    if (messagesPerSecond > 0) {
      for (const client of clients) this.#publish(client, { bytes: 0 });
    }
    await this.#waitForAll(channel, { of: "open", timeoutMs: settleTimeoutMs });
    await this.#waitForAll(channel, {
      of: "left",
      timeoutMs: Math.min(settleTimeoutMs, leftTimeoutMs),
    });
    this.#history.add({ event: "settled", channel: index });
    const last = [...clients];
    for (const client of last) {
      this.#leave(client, this.#lifeRandom.chance(0.7) ? 1000 : 1005);
    }
    await Promise.all(last.map(({ closed }) => closed));
  }

  /** Waits until every open client has what publishers in this state have sent since it opened; or until the time is over, which is for the checker to judge. */
  async #waitForAll(
    { clients, publishers }: Channel,
    { of, timeoutMs }: { of: Publisher["state"]; timeoutMs: number },
  ): Promise<void> {
    const isComplete = (client: Client): boolean =>
      [...publishers].every(([id, { sent, state }]) =>
        state !== of || id === client.id ||
        sent === (client.floor.get(id) ?? 0) ||
        (client.seen.get(id) ?? 0) >= sent
      );
    await eventually(
      () => this.#abort.signal.aborted || clients.every(isComplete),
      "everyone to have everything",
      { timeoutMs },
    ).catch(() => {});
  }
}

function count(counts: Record<number, number>, what: number): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

/** Resolves after `ms` milliseconds, or when `signal` says so. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
