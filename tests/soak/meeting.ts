/**
 * Some clients that meet in one channel, talk, and check that each of them gets
 * what the others say: all of it, once, in order, and as it was sent.
 */
import type { Target } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { type ClientListener, RefusedError, SoakClient } from "./client.ts";

/** What clients found, together. */
export interface Tally {
  joins: number;
  /** Handshakes broken off before their answer. */
  hangUps: number;
  sent: number;
  received: number;
  lost: number;
  /** Messages that came twice, late, changed, or back to their sender. */
  wrong: number;
  /** Handshakes answered with something else than 101, by status. */
  refused: Record<number, number>;
  /** Clients whose close frame went without an answer. */
  stuck: number;
  /** Connections that a server ended, by code. */
  closed: Record<number, number>;
}

/** Gets a tally of nothing. */
export function emptyTally(): Tally {
  return {
    joins: 0,
    hangUps: 0,
    sent: 0,
    received: 0,
    lost: 0,
    wrong: 0,
    refused: {},
    stuck: 0,
    closed: {},
  };
}

/** What a meeting needs. */
export interface MeetingOptions {
  /** Where clients connect: each at a random one. */
  readonly targets: readonly Target[];
  readonly random: Random;
  readonly tally: Tally;
  /** How long a message may be under way before it counts as lost, in milliseconds. Default a minute. */
  readonly lostAfterMs?: number;
}

/** How often it is looked whether everything has arrived, in milliseconds. */
const pollMs = 50;

/** One of those who meet. */
class Guest implements ClientListener {
  readonly name: number;
  readonly #meeting: Meeting;
  client: SoakClient | undefined;
  /** How many messages it has sent. */
  sent = 0;
  /** Whether all it sent will arrive: nothing is sure of those who broke off. */
  isReliable = true;
  /** The number of the next message of each other guest. */
  readonly #next = new Map<number, number>();
  /** What had been sent when this one's client opened: after that it must get everything. */
  #floor: readonly number[] = [];

  constructor(name: number, meeting: Meeting) {
    this.name = name;
    this.#meeting = meeting;
  }

  get isThere(): boolean {
    return this.client !== undefined;
  }

  onOpen(client: SoakClient): void {
    this.client = client;
    this.#meeting.tally.joins++;
    this.#floor = this.#meeting.guests.map(({ sent }) => sent);
  }

  /** How many messages of `guest` it still has to get. */
  missing(guest: Guest): number {
    if (guest === this || !guest.isReliable) return 0;
    return Math.max(
      0,
      guest.sent -
        (this.#next.get(guest.name) ?? this.#floor[guest.name] ?? 0),
    );
  }

  onMessage(bytes: Uint8Array, isText: boolean): void {
    const { tally, guests } = this.#meeting;
    tally.received++;
    const [name, number, length] = readMessage(bytes);
    if (
      name === this.name || name >= guests.length || length !== bytes.length ||
      isText !== isTextNumber(number)
    ) {
      tally.wrong++;
      return;
    }
    const next = this.#next.get(name);
    const least = next ?? this.#floor[name] ?? 0;
    if (number > least) tally.lost += number - least;
    else if (next !== undefined && number < next) {
      tally.wrong++;
      return;
    }
    this.#next.set(name, number + 1);
  }

  onEnd(code: number): void {
    const { closed } = this.#meeting.tally;
    closed[code] = (closed[code] ?? 0) + 1;
    this.client = undefined;
    this.isReliable = false;
  }
}

/** A channel with its clients. */
export class Meeting {
  readonly path: string;
  readonly tally: Tally;
  readonly guests: Guest[] = [];
  readonly #random: Random;
  readonly #targets: readonly Target[];
  readonly #lostAfterMs: number;

  constructor(
    { targets, random, tally, lostAfterMs = 60_000 }: MeetingOptions,
  ) {
    this.path = `/${random.uuid()}`;
    this.tally = tally;
    this.#random = random;
    this.#targets = targets;
    this.#lostAfterMs = lostAfterMs;
  }

  /** The number of clients that are there. */
  get size(): number {
    return this.guests.filter(({ isThere }) => isThere).length;
  }

  /** Lets another client join at `target`, or fail to. */
  async join(target = this.#random.pick(this.#targets)): Promise<void> {
    const guest = new Guest(this.guests.length, this);
    this.guests.push(guest);
    try {
      await SoakClient.join(target, this.path, { listener: guest });
    } catch (error) {
      guest.isReliable = false;
      this.#countRefusal(error);
    }
  }

  /** Lets somebody hang up before the answer. */
  async hangUp(): Promise<void> {
    this.tally.hangUps++;
    try {
      await SoakClient.hangUp(this.#random.pick(this.#targets), this.path);
    } catch (error) {
      this.#countRefusal(error);
    }
  }

  /** Lets one of the clients say something. */
  publish(): void {
    const there = this.guests.filter(({ isThere }) => isThere);
    if (there.length === 0) return;
    const guest = this.#random.pick(there);
    const number = guest.sent++;
    this.tally.sent++;
    const payload = writeMessage(guest.name, number, {
      length: this.#random.chance(0.01)
        ? this.#random.integer(1_000, 16_000)
        : this.#random.integer(headBytes, 200),
    });
    void guest.client!.send(payload, isTextNumber(number));
  }

  /** Lets one of the clients leave, if there are more than two. */
  async leaveOne(): Promise<void> {
    const there = this.guests.filter(({ isThere }) => isThere);
    if (there.length <= 2) return;
    await this.#leave(this.#random.pick(there));
  }

  /**
   * Resolves when everybody who is there has got everything. What doesn't come
   * counts as lost.
   */
  async settle(): Promise<void> {
    const endMs = Date.now() + this.#lostAfterMs;
    let missing;
    while ((missing = this.#missing()) > 0) {
      if (Date.now() > endMs) {
        this.tally.lost += missing;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** Lets everybody leave. */
  async end(): Promise<void> {
    await Promise.all(
      this.guests.filter(({ isThere }) => isThere).map((guest) =>
        this.#leave(guest)
      ),
    );
  }

  async #leave(guest: Guest): Promise<void> {
    const client = guest.client!;
    guest.client = undefined;
    if (this.#random.chance(0.5)) {
      if (!await client.leave()) this.tally.stuck++;
    } else {
      // What it has just sent may be lost with it.
      guest.isReliable = false;
      await client.breakOff();
    }
  }

  #countRefusal(error: unknown): void {
    if (!(error instanceof RefusedError)) throw error;
    const { refused } = this.tally;
    refused[error.status] = (refused[error.status] ?? 0) + 1;
  }

  #missing(): number {
    let sum = 0;
    for (const receiver of this.guests) {
      if (!receiver.isThere) continue;
      for (const sender of this.guests) sum += receiver.missing(sender);
    }
    return sum;
  }
}

/** Name, number and length of the message, 4 bytes each, written as 8 hexadecimal digits. */
const headBytes = 24;

/** Every other message is text. */
function isTextNumber(number: number): boolean {
  return number % 2 === 0;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function writeMessage(
  name: number,
  number: number,
  { length }: { length: number },
): Uint8Array {
  const bytes = new Uint8Array(length).fill(0x2e);
  const head = [name, number, length]
    .map((value) => value.toString(16).padStart(8, "0")).join("");
  encoder.encodeInto(head, bytes);
  return bytes;
}

function readMessage(bytes: Uint8Array): [number, number, number] {
  const head = decoder.decode(bytes.subarray(0, headBytes));
  return [0, 8, 16].map((at) => parseInt(head.slice(at, at + 8), 16)) as [
    number,
    number,
    number,
  ];
}
