/** One question of a node that joins channels to all others, and who answered it; see `agreement.ts`. */
import { Buffer } from "node:buffer";
import type { Membership } from "./membership.ts";
import type { Tracker } from "./tracker.ts";

/** So many channels stand in one question at most: each costs every other node a message. */
export const maxAsked = 100;

/** So many times a question is sent at most, as numbers that follow each other. */
const maxRounds = 16;

/** So many nodes' replies are taken at most: as many nodes are known. */
const maxNodes = 1_000;

/** A routing key of a channel, which is a hash. */
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
  readonly startMs = performance.now();
  /** Counts how often some were asked again. */
  #round = 0;
  /** The latest time that each of them was. */
  readonly #rounds = new Map<string, number>();
  /** Nodes that were there when joins waited no longer. */
  awaited: readonly string[] = [];
  /** Whether joins wait for it. */
  isOpen = true;
  /** Whether it came out of this node's own queue, and so what was there before it. */
  isBack = false;
  /** Resolves when everybody has answered, or the connection is lost. */
  readonly complete = Promise.withResolvers<true>();
  /** Resolves when joins wait no longer. */
  readonly over = Promise.withResolvers<void>();
  /** By routing key. */
  readonly #channels = new Map<string, Joined>();
  readonly #answered = new Set<string>();
  /** The keys in which something came back, by node. */
  readonly #echoed = new Map<string, Set<string>>();

  constructor(number: number) {
    this.number = number;
  }

  /** What it is called on its way to other nodes: a number for each time that it is sent. */
  get label(): number {
    return this.number * maxRounds + this.#round;
  }

  /** Takes note that `nodes` are asked again. */
  again(nodes: readonly string[]): void {
    if (this.#round < maxRounds - 1) this.#round++;
    for (const node of nodes) this.#rounds.set(node, this.#round);
  }

  /** Tells whether `node` was asked later than by the question with `label`. */
  isOutdated(node: string, label: number): boolean {
    return label % maxRounds < (this.#rounds.get(node) ?? 0);
  }

  /** Gets the number of the question with a {@linkcode label}. */
  static numberOf(label: number): number {
    return Math.floor(label / maxRounds);
  }

  /** How many channels it is about. */
  get size(): number {
    return this.#channels.size;
  }

  /** What other nodes get: the channels' routing keys. */
  get body(): Uint8Array<ArrayBuffer> {
    return writeKeys(this.#channels.keys());
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

  /** Takes note of an answer; `false` if it isn't the first one of `node`. */
  answer(node: string): boolean {
    if (this.#answered.has(node) || this.#answered.size >= maxNodes) {
      return false;
    }
    this.#answered.add(node);
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

  /** Whether `node` has told its number. */
  isAnswered(node: string): boolean {
    return this.#answered.has(node);
  }

  /** Whether `node` has told its number, and is heard in all channels. */
  isReached(node: string): boolean {
    return this.#answered.has(node) &&
      this.#echoed.get(node)?.size === this.#channels.size;
  }
}

/** Gets the bytes of routing keys of channels. */
export function writeKeys(keys: Iterable<string>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from([...keys].join(""), "hex"));
}

/** Reads what {@linkcode writeKeys} wrote; of more than {@linkcode maxAsked} the first ones. */
export function readKeys(body: Uint8Array<ArrayBuffer>): string[] {
  const keys = Buffer.from(body).toString("hex").match(keyPattern) ?? [];
  return keys.slice(0, maxAsked);
}
