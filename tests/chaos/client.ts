/** One client of the crowd: what it says, sees and does, all of it told to a history. */
import { crc32 } from "node:zlib";
import { Connection, type Ending } from "../../tools/connection.ts";
import type { Random } from "../helpers/random.ts";
import {
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../../tools/raw_client.ts";
import type { History, MessageKind } from "./history.ts";
import { maxUnnamedBytes, type Payloads, readName } from "./payload.ts";

/** A way for clients to reach channels. */
export interface Door {
  readonly target: Target;
  /** The index of the node behind it, or how to get that from the headers of the 101. Left out: unknown. */
  readonly node?: number | ((headers: Headers) => number);
}

/** Somebody who published in a channel, for those who wait for all of it. */
interface Publisher {
  sent: number;
  /** Whether it is there; left in good order, so that all of it was published; or broke off. */
  state: "open" | "left" | "lost";
}

/** A channel, from its first client to its end. */
export class Channel {
  /** Those who are open. */
  readonly clients: Client[] = [];
  /** Everyone who ever published, by connection. */
  readonly publishers = new Map<number, Publisher>();
  /** Says that the channel is to end. */
  readonly ending = new AbortController();
  /** The only one who ever sends unnamed messages, for nobody could tell whose they are. */
  whisperer: number | undefined;

  /** @param path A secret even here: it goes into handshakes, and nowhere else. */
  constructor(readonly index: number, readonly path: string) {}
}

/** What all clients of a crowd have in common. */
export interface Company {
  readonly history: History;
  readonly doors: readonly Door[];
  /** How many connections are open, and how many have ended, by code. */
  readonly counts: { open: number; readonly closes: Record<number, number> };
  /** Where messages come from, and the choices about them. */
  readonly payloads: Payloads;
  readonly random: Random;
  /** Gives up those who are about to connect. */
  readonly signal: AbortSignal;
}

/** Who makes a message. */
interface Author {
  readonly id: number;
  readonly channel: Channel;
  readonly publisher: Publisher;
  /** Unnamed messages since the last one with a name. */
  unnamedRun: number;
}

const maxUnnamedRun = 4;
const dialTimeoutMs = 30_000;

/** A connection that is open, and what it has seen. */
export class Client implements Author {
  readonly publisher: Publisher = { sent: 0, state: "open" };
  isOpen = true;
  /** Whether it has begun to end its connection. */
  isLeaving = false;
  /** It publishes nothing until then, in milliseconds of the history. */
  quietUntilMs = 0;
  unnamedRun = 0;
  readonly #closed = Promise.withResolvers<Ending>();
  readonly #company: Company;
  /** The last number of each publisher; of those who were there before it at least what they had sent, which it may have missed. */
  readonly #seen: Map<number, number>;

  private constructor(
    readonly id: number,
    readonly channel: Channel,
    readonly connection: Connection,
    company: Company,
  ) {
    this.#company = company;
    this.#seen = new Map(
      Array.from(channel.publishers, ([other, { sent }]) => [other, sent]),
    );
    channel.publishers.set(id, this.publisher);
    channel.clients.push(this);
    company.counts.open++;
    connection.listen({
      message: (kind, payload) => this.#receive(kind, payload),
      closed: (ending) => this.#close(ending),
    });
  }

  /** Gets a client that has joined, or nothing if it was refused. */
  static async join(
    channel: Channel,
    door: Door,
    company: Company,
  ): Promise<Client | undefined> {
    const { history, signal } = company;
    const id = dial(channel, door, company);
    const connection = await Connection.dial(door.target, {
      ...{ path: channel.path, timeoutMs: dialTimeoutMs, signal },
    });
    if (!(connection instanceof Connection)) {
      history.add({ event: "refused", connection: id, ...connection });
      return undefined;
    }
    const node = typeof door.node === "function"
      ? door.node(connection.headers)
      : door.node ?? -1;
    history.add({ event: "open", connection: id, node });
    return new Client(id, channel, connection, company);
  }

  /** Resolves when its connection has ended. */
  get closed(): Promise<Ending> {
    return this.#closed.promise;
  }

  /** The last number that came from another client. */
  lastOf(other: Client): number {
    return this.#seen.get(other.id) ?? 0;
  }

  /** Whether it has everything that publishers in this state have sent since it opened. */
  hasAllOf(wanted: Publisher["state"]): boolean {
    return [...this.channel.publishers].every(([id, { sent, state }]) =>
      state !== wanted || id === this.id || (this.#seen.get(id) ?? 0) >= sent
    );
  }

  /** Publishes a message of about that length. Gets its number. */
  publish(bytes: number): number {
    const { kind, payload } = compose(this, bytes, this.#company);
    this.connection.send(kind, payload);
    return this.publisher.sent;
  }

  /** Doesn't read for some time, or until `signal` says so. */
  async stall(ms: number, signal: AbortSignal): Promise<void> {
    const { history } = this.#company;
    history.add({ event: "stall", connection: this.id, ms: Math.round(ms) });
    this.connection.stall();
    await Promise.race([sleep(ms, signal), this.closed]);
  }

  /** Closes in good order, behind what it has published. */
  leave(code: number): void {
    if (!this.isOpen || this.isLeaving) return;
    // Nothing of it comes without a name behind it.
    if (this.unnamedRun > 0) this.publish(0);
    this.#tellLeave("close", code);
    this.connection.leave(code);
  }

  /** Breaks off: with a reset (RST) if something hasn't been read, which a stall before sees to. */
  reset(): void {
    if (!this.isOpen) return;
    this.#tellLeave("reset", 1006);
    this.connection.reset();
  }

  #tellLeave(how: "close" | "reset", code: number): void {
    this.isLeaving = true;
    const { history } = this.#company;
    history.add({ event: "leave", connection: this.id, how, code });
  }

  #receive(kind: MessageKind, payload: Uint8Array): void {
    const { publisher, number } = readName(payload);
    this.#company.history.add({
      ...{ event: "receive", connection: this.id, publisher, number, kind },
      ...{ bytes: payload.length, digest: crc32(payload) },
    });
    if (number > (this.#seen.get(publisher) ?? 0)) {
      this.#seen.set(publisher, number);
    }
  }

  #close(ending: Ending): void {
    const { history, counts: { closes } } = this.#company;
    const { clients } = this.channel;
    const { by, code } = ending;
    history.add({ event: "close", connection: this.id, ...ending });
    this.#company.counts.open--;
    closes[code] = (closes[code] ?? 0) + 1;
    this.isOpen = false;
    this.publisher.state = by === "client" && code !== 1006 ? "left" : "lost";
    clients.splice(clients.indexOf(this), 1);
    this.#closed.resolve(ending);
  }
}

/**
 * Lets somebody publish and break off before the answer to its handshake came.
 * Where its messages got to isn't known, so any suffix of them may be lost.
 */
export async function rush(
  channel: Channel,
  door: Door,
  company: Company,
): Promise<void> {
  const { history } = company;
  const id = dial(channel, door, company);
  history.add({ event: "open", connection: id, node: -1 });
  const publisher: Publisher = { sent: 0, state: "lost" };
  channel.publishers.set(id, publisher);
  const author = { id, channel, publisher, unnamedRun: maxUnnamedRun };
  // So short that nothing has to wait for them.
  const frames = [0, 100].map((bytes) => {
    const { kind, payload } = compose(author, bytes, company);
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
  const end = { connection: id, code: 1006 };
  history.add({ event: "leave", ...end, how: "reset" });
  history.add({ event: "close", ...end, by: "client", reason: "" });
}

/** Resolves after `ms` milliseconds, or when `signal` says so. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
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

/** Tells that somebody is about to connect. Gets the connection's number. */
function dial(
  { index: channel }: Channel,
  door: Door,
  { history, doors }: Company,
): number {
  const connection = history.newConnection();
  history.add({
    ...{ event: "dial", connection, channel, door: doors.indexOf(door) },
  });
  return connection;
}

/** Makes somebody's next message, with a name or, for the channel's whisperer, perhaps without. */
function compose(
  author: Author,
  wantedBytes: number,
  { history, payloads, random }: Company,
): { kind: MessageKind; payload: Uint8Array<ArrayBuffer> } {
  const { id, channel, publisher } = author;
  const kind = random.chance(0.5) ? "text" : "binary";
  const named = channel.whisperer !== id || channel.ending.signal.aborted ||
    wantedBytes === 0 || author.unnamedRun >= maxUnnamedRun ||
    random.chance(0.6);
  const number = ++publisher.sent;
  const unnamedBytes = random.chance(0.5)
    ? 0
    : random.integer(1, maxUnnamedBytes);
  const payload = named
    ? payloads.named({ publisher: id, number, kind, bytes: wantedBytes })
    : payloads.unnamed({ kind, bytes: unnamedBytes });
  author.unnamedRun = named ? 0 : author.unnamedRun + 1;
  history.add({
    ...{ event: "send", connection: id, number, named, kind },
    ...{ bytes: payload.length, digest: crc32(payload) },
  });
  return { kind, payload };
}
