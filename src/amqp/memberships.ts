/**
 * The channels that a node is in, and their bindings on the broker.
 *
 * Joins and leaves of one channel are done one after the other, and the last
 * call counts. What couldn't be done because the broker was away is done when
 * it is back; bindings outlive both the broker's restart and the connection.
 * It knows nothing of AMQP.
 */
import { BridgeUnavailableError } from "../relay/bridge.ts";
import { channelKey } from "../relay/channel_hash.ts";
import type { Outlet } from "./outbox.ts";
import { Tracker } from "./tracker.ts";

/** Adds and removes bindings, one at a time. */
export interface Binder {
  /** Resolves when messages with `key` reach this node's queue. */
  bind(key: string): Promise<void>;
  /** Resolves when they don't any more. */
  unbind(key: string): Promise<void>;
}

/** One channel that this node is in, or about to join or leave. */
export interface Membership extends Outlet {
  readonly path: string;
  readonly key: string;
  /** Whether this node wants to be in it. */
  wanted: boolean;
  /** What the broker has; `undefined` if that isn't known. */
  bound: boolean | undefined;
  /** When it was bound last. */
  boundMs: number;
  /** When the latest join was called. */
  joinedMs: number;
  tracker: Tracker;
  /** Messages were lost; it is told as soon as new ones arrive again. */
  missed: boolean;
  working: boolean;
  /** An unbind was begun, and it isn't known when it took effect. */
  unbinding: boolean;
  queued: boolean;
  waiting: PromiseWithResolvers<void>[];
}

/** Settings of {@linkcode Memberships}. */
export interface MembershipsOptions {
  /** Whether a join succeeds for the time being when the broker doesn't answer. */
  readonly onOutage: "local" | "refuse";
  /** How long a join waits for the broker. */
  readonly joinTimeoutMs: number;
  /** Called when a channel is bound again that had lost messages. */
  readonly onMissed: (membership: Membership) => void;
  /** Tells the time in milliseconds. */
  readonly nowMs: () => number;
  /** Gets the number of the node's latest message to itself. */
  readonly latestProbe: () => number;
}

/** So many channels that were left are remembered; of more, the oldest are taken for drained. */
const maxLeft = 10_000;

/** The channels of one node. */
export class Memberships {
  readonly #options: MembershipsOptions;
  readonly #byPath = new Map<string, Membership>();
  readonly #byKey = new Map<string, Membership>();
  /**
   * The keys that were unbound while messages with them may still be in the
   * queue: by key the latest probe at that time, the lowest first.
   */
  readonly #left = new Map<string, number>();
  #attached = false;
  /** Counts attachments, so that what a former one began is ignored. */
  #generation = 0;
  #idle: Binder[] = [];
  #queue: Membership[] = [];

  constructor(options: MembershipsOptions) {
    this.#options = options;
  }

  /** How many channels there are, those being left included. */
  get size(): number {
    return this.#byPath.size;
  }

  /** How many wait for the broker. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Gets the channel with the routing key `key`, if this node is in it. */
  byKey(key: string): Membership | undefined {
    const membership = this.#byKey.get(key);
    return membership?.wanted ? membership : undefined;
  }

  /** Gets the channel with the routing key `key`, even if this node is about to leave it. */
  find(key: string): Membership | undefined {
    return this.#byKey.get(key);
  }

  /** Gets the channel `path`. */
  byPath(path: string): Membership | undefined {
    return this.#byPath.get(path);
  }

  /** Every channel that this node is in. */
  *wanted(): Generator<Membership> {
    for (const membership of this.#byPath.values()) {
      if (membership.wanted) yield membership;
    }
  }

  /** See {@linkcode Bridge.join}. */
  async join(path: string): Promise<void> {
    const membership = this.#obtain(path);
    membership.joinedMs = this.#options.nowMs();
    membership.wanted = true;
    if (!this.#attached) {
      if (this.#options.onOutage === "local") return;
      this.#giveUp(membership);
      throw new BridgeUnavailableError("The broker can't be reached");
    }
    if (membership.bound && !membership.working) return;
    const waiting = Promise.withResolvers<void>();
    membership.waiting.push(waiting);
    this.#schedule(membership);
    const timer = setTimeout(
      () => this.#endWait(membership, waiting),
      this.#options.joinTimeoutMs,
    );
    try {
      await waiting.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** See {@linkcode Bridge.leave}. */
  leave(path: string): void {
    const membership = this.#byPath.get(path);
    if (membership) this.#giveUp(membership);
  }

  /** Goes on with several `binders` at once, after the connection was made. */
  attach(binders: readonly Binder[]): void {
    this.#attached = true;
    this.#generation++;
    this.#idle = [...binders];
    for (const membership of this.#byPath.values()) {
      if (membership.wanted !== membership.bound) this.#schedule(membership);
    }
  }

  /** Stops, after the connection was lost. */
  detach(): void {
    if (!this.#attached) return;
    this.#attached = false;
    this.#generation++;
    this.#idle = [];
    this.#queue = [];
    for (const membership of this.#byPath.values()) {
      membership.working = membership.queued = false;
      for (const waiting of [...membership.waiting]) {
        this.#endWait(membership, waiting);
      }
    }
  }

  /** Takes note that the broker has lost the queue, or its bindings. */
  loseBindings(): void {
    for (const membership of [...this.#byPath.values()]) {
      // One that was never bound has missed nothing that it was promised.
      if (membership.wanted && membership.bound !== false) {
        membership.missed = true;
      }
      membership.bound = false;
      membership.unbinding = false;
      membership.tracker = new Tracker();
      if (!membership.wanted) this.#forget(membership);
    }
    this.#left.clear();
  }

  /** Tells whether a message of a channel that comes now may be meant for an earlier membership. */
  mayHaveLeftovers({ key, unbinding }: Membership): boolean {
    return unbinding || this.#left.has(key);
  }

  /** Takes note that the node's message to itself with this number came out of the queue. */
  probed(number: number): void {
    for (const [key, latest] of this.#left) {
      if (latest >= number) return;
      this.#left.delete(key);
    }
  }

  /** Gets the channels that were bound after `ms`, with the time. */
  boundSince(ms: number): Map<Membership, number> {
    const found = new Map<Membership, number>();
    for (const membership of this.#byPath.values()) {
      const { bound, boundMs } = membership;
      if (bound && boundMs > ms) found.set(membership, boundMs);
    }
    return found;
  }

  /** Takes note that the broker has lost the binding that was made at `boundMs`. */
  loseBinding(membership: Membership, boundMs: number): void {
    const { wanted, bound } = membership;
    if (!wanted || !bound || membership.boundMs !== boundMs) return;
    membership.bound = false;
    membership.missed = true;
    membership.tracker = new Tracker();
    this.#schedule(membership);
  }

  /** Tells that a channel had lost messages, before new ones are delivered. */
  tellMissed(membership: Membership): void {
    membership.missed = false;
    this.#options.onMissed(membership);
  }

  #obtain(path: string): Membership {
    const known = this.#byPath.get(path);
    if (known) return known;
    const membership: Membership = {
      path,
      key: channelKey(path),
      lastSequence: 0,
      wanted: false,
      bound: false,
      boundMs: -Infinity,
      joinedMs: 0,
      tracker: new Tracker(),
      missed: false,
      working: false,
      unbinding: false,
      queued: false,
      waiting: [],
    };
    this.#byPath.set(path, membership);
    this.#byKey.set(membership.key, membership);
    return membership;
  }

  #giveUp(membership: Membership): void {
    membership.wanted = false;
    membership.missed = false;
    // Clients that come later missed nothing of what they weren't there for.
    membership.tracker = new Tracker();
    if (membership.bound === false && !membership.working) {
      this.#forget(membership);
    } else if (this.#attached) this.#schedule(membership);
  }

  #forget(membership: Membership): void {
    // A leave that overtakes a join: nobody waits for that any more.
    for (const { resolve } of membership.waiting.splice(0)) resolve();
    this.#byPath.delete(membership.path);
    this.#byKey.delete(membership.key);
  }

  /** Ends a wait that the broker didn't. */
  #endWait(
    membership: Membership,
    waiting: PromiseWithResolvers<void>,
  ): void {
    const index = membership.waiting.indexOf(waiting);
    if (index < 0) return;
    membership.waiting.splice(index, 1);
    if (this.#options.onOutage === "local") return waiting.resolve();
    if (membership.waiting.length === 0) this.#giveUp(membership);
    waiting.reject(new BridgeUnavailableError("The broker doesn't answer"));
  }

  #schedule(membership: Membership): void {
    if (!this.#attached || membership.working || membership.queued) return;
    membership.queued = true;
    this.#queue.push(membership);
    this.#dispatch();
  }

  #dispatch(): void {
    while (this.#idle.length > 0) {
      const membership = this.#queue.shift();
      if (!membership) return;
      membership.queued = false;
      void this.#settle(membership, this.#idle.pop()!);
    }
  }

  /** Makes the broker have what is wanted for one channel. Never rejects. */
  async #settle(membership: Membership, binder: Binder): Promise<void> {
    const generation = this.#generation;
    const { key, wanted } = membership;
    if (wanted !== membership.bound) {
      membership.working = true;
      // Until it is answered, either may be true.
      membership.bound = undefined;
      membership.unbinding ||= !wanted;
      try {
        await (wanted ? binder.bind(key) : binder.unbind(key));
      } catch {
        // The connection is about to go; then all is tried again on the next.
        return;
      }
      if (generation !== this.#generation) return;
      membership.working = false;
      membership.bound = wanted;
      if (wanted) membership.boundMs = this.#options.nowMs();
      if (membership.unbinding) this.#rememberLeft(key);
      membership.unbinding = false;
    }
    this.#idle.push(binder);
    if (membership.wanted !== membership.bound) this.#schedule(membership);
    else if (membership.wanted) this.#joined(membership);
    else if (this.#byPath.get(membership.path) === membership) {
      this.#forget(membership);
    }
    this.#dispatch();
  }

  #rememberLeft(key: string): void {
    this.#left.delete(key);
    this.#left.set(key, this.#options.latestProbe());
    if (this.#left.size <= maxLeft) return;
    const [oldest] = this.#left.keys();
    this.#left.delete(oldest!);
  }

  #joined(membership: Membership): void {
    for (const { resolve } of membership.waiting.splice(0)) resolve();
    if (membership.missed) this.tellMissed(membership);
  }
}
