/** One question of a node that joins channels to all others, and who answered it; see `agreement.ts`. */
import { Buffer } from "node:buffer";
import type { Membership } from "./membership.ts";
import type { Tracker } from "./tracker.ts";

/** So many channels stand in one question at most: each costs every other node a message. */
export const maxAsked = 100;

/** So many nodes' replies are taken at most: as many nodes are known. */
const maxNodes = 1_000;

/** A question's body begins with an age in milliseconds, big-endian, and the routing keys follow, which are hashes. */
const ageBytes = 4;
const maxAgeMs = 2 ** 32 - 1;
const keyPattern = /[0-9a-f]{64}/g;

/** A channel that was joined, and what it knew of the others then. */
interface Joined {
  readonly membership: Membership;
  /** Another one takes its place when the channel is left, or loses its binding. */
  readonly tracker: Tracker;
}

/** A question, from its first channel to the last answer. */
export class Ask {
  readonly number: number;
  /** Everything of this node up to this number was sent before. */
  readonly since: number;
  /** When joins waited no longer: from then on, clients have to get everything. */
  #endMs = Infinity;
  /** Whether it came out of this node's own queue, and so what was there before it. */
  isBack = false;
  /** Resolves when everybody has answered, or the connection is lost. */
  readonly complete = Promise.withResolvers<true>();
  /** Resolves when joins wait no longer. */
  readonly over = Promise.withResolvers<void>();
  /** By routing key. */
  readonly #channels = new Map<string, Joined>();
  /** The highest number that each node has told. */
  readonly #answered = new Map<string, number>();
  /** The keys in which something came back, by node. */
  readonly #echoed = new Map<string, Set<string>>();

  constructor(number: number, since: number) {
    this.number = number;
    this.since = since;
  }

  /** How many channels it is about. */
  get size(): number {
    return this.#channels.size;
  }

  /** The channels' routing keys. */
  get keys(): Iterable<string> {
    return this.#channels.keys();
  }

  /** Whether joins succeeded after `ms`. */
  endedAfter(ms: number): boolean {
    return this.#endMs > ms && this.#endMs < Infinity;
  }

  /** How long ago joins succeeded, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#endMs;
  }

  /** Adds a channel. Only before it is sent. */
  add(membership: Membership): void {
    const { key, tracker } = membership;
    this.#channels.set(key, { membership, tracker });
  }

  /** The channels in which this node has been ever since. */
  *joined(): Generator<Membership> {
    for (const { membership, tracker } of this.#channels.values()) {
      if (membership.tracker === tracker) yield membership;
    }
  }

  /** Lets the joins succeed. */
  end(): void {
    this.#endMs = performance.now();
    this.#echoed.clear();
    this.over.resolve();
  }

  /** Takes note that `node` tells its number; `false` if that is one node too many. */
  answer(node: string, last: number): boolean {
    const known = this.#answered.get(node);
    if (known === undefined && this.#answered.size >= maxNodes) return false;
    this.#answered.set(node, Math.max(known ?? 0, last));
    return true;
  }

  /** Takes note that something of `node` came through the binding for `key`. */
  echo(node: string, key: string): void {
    if (!this.#channels.has(key)) return;
    const keys = this.#echoed.get(node);
    if (keys !== undefined) keys.add(key);
    else if (this.#echoed.size < maxNodes) {
      this.#echoed.set(node, new Set([key]));
    }
  }

  /** Whether `node` has told a number. */
  isAnsweredBy(node: string): boolean {
    return this.#answered.has(node);
  }

  /** The highest number that `node` told while joins waited, 0 if none. */
  lastOf(node: string): number {
    return this.#answered.get(node) ?? 0;
  }

  /** Whether `node` has told its number, and is heard in all channels. */
  isReached(node: string): boolean {
    return this.#answered.has(node) &&
      this.#echoed.get(node)?.size === this.#channels.size;
  }
}

/** What a question says. */
export interface Question {
  /** Routing keys of channels. */
  readonly keys: Iterable<string>;
  /**
   * How long ago is asked about, in milliseconds: what had the other node sent
   * by then? 0: joins wait for an answer, and an echo in each channel.
   */
  readonly ageMs: number;
}

/** Gets the bytes of a question. */
export function writeQuestion(
  { keys, ageMs }: Question,
): Uint8Array<ArrayBuffer> {
  const hashes = Buffer.from([...keys].join(""), "hex");
  const body = Buffer.alloc(ageBytes + hashes.length);
  body.writeUInt32BE(Math.min(Math.ceil(ageMs), maxAgeMs));
  hashes.copy(body, ageBytes);
  return new Uint8Array(body);
}

/** Reads what {@linkcode writeQuestion} wrote; of more than {@linkcode maxAsked} keys the first ones. */
export function readQuestion(
  body: Uint8Array<ArrayBuffer>,
): Question & { readonly keys: string[] } {
  const bytes = Buffer.from(body);
  const ageMs = bytes.length < ageBytes ? 0 : bytes.readUInt32BE();
  const keys = bytes.toString("hex", ageBytes).match(keyPattern) ?? [];
  return { ageMs, keys: keys.slice(0, maxAsked) };
}

/** An answer tells numbers of so many moments, so far apart, in milliseconds. */
export const moments = { count: 60, stepMs: 250 } as const;

/** An answer's body has no more. */
const maxWords = 2 + moments.count;

/** What a node replies. */
export interface Answer {
  /** Everything of it up to this number was sent when it answered. */
  readonly last: number;
  /** The question's. */
  readonly ageMs: number;
  /** What `last` was at that time, a step before it, and so on; nothing where joins wait. */
  readonly sent: readonly number[];
}

/** Gets the bytes of an answer. */
export function writeAnswer(
  { last, ageMs, sent }: Answer,
): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode([last, ageMs, ...sent].join(" "));
}

/** Reads what {@linkcode writeAnswer} wrote; `undefined` if somebody else wrote it. */
export function readAnswer(body: Uint8Array<ArrayBuffer>): Answer | undefined {
  const words = new TextDecoder().decode(body).split(" ", maxWords + 1);
  const numbers = words.map(Number);
  const [last, ageMs, ...sent] = numbers;
  if (
    ageMs === undefined || words.length > maxWords ||
    !numbers.every(Number.isSafeInteger)
  ) return undefined;
  return { last: last!, ageMs, sent };
}
