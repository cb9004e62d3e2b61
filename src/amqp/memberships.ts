/**
 * The channels that a node is in, and their bindings on the broker.
 *
 * Joins and leaves of one channel are done one after the other, and the last
 * call counts. What couldn't be done because the broker was away is done when
 * it is back; bindings outlive both the broker's restart and the connection.
 * It knows nothing of AMQP.
 */
import { BridgeUnavailableError } from "../relay/bridge.ts";
import { within } from "../common/timing.ts";
import type { Link } from "./link.ts";
import { isSettled, type Membership, newMembership } from "./membership.ts";
import { prefixDigits } from "./marks.ts";
import { Tracker } from "./tracker.ts";

/** Settings of {@linkcode Memberships}. */
export interface MembershipsOptions {
  /** Whether a join succeeds for the time being when the broker doesn't answer. */
  readonly onOutage: "local" | "refuse";
  /** How long a join waits for the broker. */
  readonly joinTimeoutMs: number;
  /** Called when a channel is bound again that had lost messages. */
  readonly onMissed: (membership: Membership) => void;
  /** Called when a channel is bound. Gets what its joins have to wait for, if anything; that never rejects. */
  readonly onBound: (membership: Membership) => Promise<void> | void;
  /** Called when a channel is bound again whose unbind on a lost connection may still take effect. */
  readonly onDoubtful: (membership: Membership) => void;
  /** Gets the number of the node's latest message to itself. */
  readonly latestProbe: () => number;
}

/** How many joins and leaves are under way at once. */
export const slotCount = 8;

/** So many channels that were left are remembered; of more, the oldest are taken for drained. */
const maxLeft = 10_000;

/** The work on one link, the oldest first. */
interface Work {
  readonly link: Pick<Link, "bind" | "unbind">;
  /** The node's queue. */
  readonly queue: string;
  /** Numbers of what {@linkcode Link.bind} may use now. */
  readonly idleSlots: number[];
  readonly waiting: Membership[];
  /** Those in `waiting`, and those that the broker hasn't answered. */
  readonly scheduled: Set<Membership>;
}

/** The channels of one node. */
export class Memberships {
  readonly #options: MembershipsOptions;
  readonly #byPath = new Map<string, Membership>();
  readonly #byKey = new Map<string, Membership>();
  readonly #byPrefix = new Map<string, Membership>();
  /**
   * The keys that were unbound while messages with them may still be in the
   * queue: by key the latest probe at that time, the lowest first.
   */
  readonly #left = new Map<string, number>();
  /** The number of the node's last message to itself that came out of the queue. */
  #returnedProbe = 0;
  /** `undefined` while the broker is away. */
  #work: Work | undefined;

  constructor(options: MembershipsOptions) {
    this.#options = options;
  }

  /** How many channels there are, those being left included. */
  get size(): number {
    return this.#byPath.size;
  }

  /** How many wait for the broker. */
  get waiting(): number {
    return this.#work?.waiting.length ?? 0;
  }

  /** Gets the channel with the routing key `key`, even if this node is about to leave it. */
  byKey(key: string): Membership | undefined {
    return this.#byKey.get(key);
  }

  /** Gets the channel whose routing key begins with `prefix`, of {@linkcode prefixDigits}, in the same way. */
  byPrefix(prefix: string): Membership | undefined {
    return this.#byPrefix.get(prefix);
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

  /** The routing key of every channel that the broker may have a binding for. */
  *boundKeys(): Generator<string> {
    for (const { key, state } of this.#byPath.values()) {
      if (state !== "unbound") yield key;
    }
  }

  /** See {@linkcode Bridge.join}. */
  async join(path: string): Promise<void> {
    const membership = this.#obtain(path);
    membership.joinedMs = performance.now();
    membership.wanted = true;
    if (!this.#work) {
      if (this.#options.onOutage === "local") return;
      this.#giveUp(membership);
      throw new BridgeUnavailableError("The broker can't be reached");
    }
    if (membership.state === "bound" && membership.joins.length === 0) return;
    const join = Promise.withResolvers<void>();
    membership.joins.push(join);
    this.#schedule(membership);
    const { joinTimeoutMs } = this.#options;
    await within(join.promise, joinTimeoutMs, () => {
      this.#endJoin(membership, join);
      return join.promise;
    });
  }

  /** See {@linkcode Bridge.leave}. */
  leave(path: string): void {
    const membership = this.#byPath.get(path);
    if (membership) this.#giveUp(membership);
  }

  /** Binds and unbinds on `link` what changed, now that there is a connection. */
  connected(link: Work["link"], queue: string): void {
    const idleSlots = Array.from({ length: slotCount }, (_, slot) => slot);
    const scheduled = new Set<Membership>();
    this.#work = { link, queue, idleSlots, waiting: [], scheduled };
    for (const membership of this.#byPath.values()) {
      if (!isSettled(membership)) this.#schedule(membership);
    }
  }

  /** Stops, after the connection was lost. */
  disconnected(): void {
    if (!this.#work) return;
    this.#work = undefined;
    for (const membership of this.#byPath.values()) {
      for (const join of [...membership.joins]) {
        this.#endJoin(membership, join);
      }
    }
  }

  /** Takes note that the broker has lost the queue, or its bindings. */
  loseBindings(): void {
    for (const membership of [...this.#byPath.values()]) {
      // One that was never bound has missed nothing that it was promised.
      if (membership.wanted && membership.state !== "unbound") {
        membership.missed = true;
      }
      membership.state = "unbound";
      membership.tracker = new Tracker();
      if (!membership.wanted) this.#forget(membership);
    }
    this.#left.clear();
  }

  /** Tells whether a message of a channel that comes now may be meant for an earlier membership. */
  mayHaveLeftovers({ key, state }: Membership): boolean {
    return state === "unbinding" || this.#left.has(key);
  }

  /** Tells whether what comes out of the queue now went into it after the channel was bound. */
  isPastBinding({ wanted, state, boundProbe }: Membership): boolean {
    return wanted && state === "bound" && this.#returnedProbe > boundProbe;
  }

  /** Takes note that the node's message to itself with this number came out of the queue. */
  probed(number: number): void {
    this.#returnedProbe = number;
    for (const [key, latest] of this.#left) {
      if (latest >= number) return;
      this.#left.delete(key);
    }
  }

  /** Gets the channels that were bound after `ms`, with the time. */
  boundSince(ms: number): Map<Membership, number> {
    const found = new Map<Membership, number>();
    for (const membership of this.#byPath.values()) {
      const { state, boundMs } = membership;
      if (state === "bound" && boundMs > ms) found.set(membership, boundMs);
    }
    return found;
  }

  /** Takes note that the broker has lost the binding that was made at `boundMs`. */
  loseBinding(membership: Membership, boundMs: number): void {
    const { wanted, state } = membership;
    if (!wanted || state !== "bound" || membership.boundMs !== boundMs) return;
    membership.state = "binding";
    membership.missed = true;
    membership.tracker = new Tracker();
    this.#schedule(membership);
  }

  /** Binds a channel once more, in case that the broker has lost its binding. */
  bindAgain(membership: Membership): void {
    if (!membership.wanted || membership.state !== "bound") return;
    // Who leaves before it is done has to unbind.
    membership.state = "binding";
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
    const membership = newMembership(path);
    this.#byPath.set(path, membership);
    const { key } = membership;
    this.#byKey.set(key, membership);
    this.#byPrefix.set(key.slice(0, prefixDigits), membership);
    return membership;
  }

  #giveUp(membership: Membership): void {
    membership.wanted = false;
    membership.missed = false;
    // Clients that come later missed nothing of what they weren't there for.
    membership.tracker = new Tracker();
    if (membership.state === "unbound") this.#forget(membership);
    else this.#schedule(membership);
  }

  #forget(membership: Membership): void {
    // A leave that overtakes a join: nobody waits for that any more.
    this.#endJoins(membership);
    const { path, key } = membership;
    this.#byPath.delete(path);
    this.#byKey.delete(key);
    this.#byPrefix.delete(key.slice(0, prefixDigits));
  }

  /** Ends the wait of a join that the broker didn't answer. */
  #endJoin(membership: Membership, join: PromiseWithResolvers<void>): void {
    const index = membership.joins.indexOf(join);
    if (index < 0) return;
    membership.joins.splice(index, 1);
    if (this.#options.onOutage === "local") return join.resolve();
    if (membership.joins.length === 0) this.#giveUp(membership);
    join.reject(new BridgeUnavailableError("The broker doesn't answer"));
  }

  #schedule(membership: Membership): void {
    const work = this.#work;
    if (!work || work.scheduled.has(membership)) return;
    work.scheduled.add(membership);
    work.waiting.push(membership);
    this.#dispatch(work);
  }

  #dispatch(work: Work): void {
    while (work.idleSlots.length > 0) {
      const membership = work.waiting.shift();
      if (!membership) return;
      void this.#settle(membership, work);
    }
  }

  /** Makes the broker have what is wanted for one channel. Never rejects. */
  async #settle(membership: Membership, work: Work): Promise<void> {
    const slot = work.idleSlots.pop()!;
    const { key, wanted } = membership;
    if (!isSettled(membership)) {
      if (!wanted) membership.state = "unbinding";
      else if (membership.state === "unbound") membership.state = "binding";
      const { link, queue } = work;
      try {
        await (wanted
          ? link.bind(slot, { queue, key })
          : link.unbind(slot, { queue, key }));
      } catch {
        // The connection is about to go; then all is tried again on the next.
        return;
      }
      if (work !== this.#work) return;
      const wasUnbinding = membership.state === "unbinding";
      if (wasUnbinding) this.#rememberLeft(key);
      membership.state = wanted ? "bound" : "unbound";
      if (wanted) {
        membership.boundMs = performance.now();
        membership.boundProbe = this.#options.latestProbe();
        if (wasUnbinding) this.#options.onDoubtful(membership);
      }
    }
    work.scheduled.delete(membership);
    work.idleSlots.push(slot);
    if (!isSettled(membership)) this.#schedule(membership);
    else if (membership.wanted) this.#joined(membership);
    else if (this.#byPath.get(membership.path) === membership) {
      this.#forget(membership);
    }
    this.#dispatch(work);
  }

  #rememberLeft(key: string): void {
    this.#left.delete(key);
    this.#left.set(key, this.#options.latestProbe());
    if (this.#left.size <= maxLeft) return;
    const [oldest] = this.#left.keys();
    this.#left.delete(oldest!);
  }

  #joined(membership: Membership): void {
    if (membership.missed) this.tellMissed(membership);
    const { tracker } = membership;
    const agreed = this.#options.onBound(membership);
    if (!agreed) return this.#endJoins(membership);
    void agreed.then(() => {
      // It may have been left and joined again.
      if (membership.tracker === tracker) this.#endJoins(membership);
    });
  }

  #endJoins({ joins }: Membership): void {
    for (const { resolve } of joins.splice(0)) resolve();
  }
}
