/**
 * A node's queue on the broker, and the bindings that every node has.
 *
 * A classic queue is away while its broker is, and another one with another
 * name takes its place at once. A quorum queue is away while most of its
 * brokers are, and then there could be no other one: it is waited for.
 */
import { within } from "../common/timing.ts";
import { answerWithin, BrokerError, replyCodes } from "./broker_error.ts";
import type { Link } from "./link.ts";
import { everyNode } from "./outbox.ts";
import type { QueueState } from "./queue_search.ts";
import { messageCost } from "./queue_watch.ts";

/** Settings of {@linkcode NodeQueue}. */
export interface NodeQueueOptions {
  /** What it takes, in bytes. */
  readonly queueBytes: number;
  /** How long it is kept without its node, in seconds. */
  readonly queueExpiresS: number;
  /** `auto`: `quorum` if three brokers or more are named. */
  readonly queueType: "classic" | "quorum" | "auto";
  /** The brokers of the cluster, as far as they are known. */
  readonly hosts: readonly unknown[];
}

/** What {@linkcode NodeQueue.prepare} needs to know, and whom it tells. */
export interface PrepareOptions {
  /** Tells whether a message to ourselves has somewhere to go. */
  readonly isBound: () => Promise<boolean>;
  /** Gets the routing keys of the channels that are bound. */
  readonly channelKeys: () => Iterable<string>;
  /**
   * Messages were lost with the queue or its bindings. Called at once, not when
   * all is set up again: if that fails, the next try can't see it.
   */
  readonly onLost: () => void;
}

/** With so many brokers, a quorum queue outlives one of them. */
const clusterSize = 3;

/** How long the broker may take to declare the queue, and to make this node its consumer. */
const answerMs = 5_000;

/** How long the own bindings of a queue that is away may take to end. */
const unbindMs = 1_000;

/** A queue that can't be consumed so many times in a row is as good as away. */
const maxStrikes = 2;

/** How long a quorum queue may be without a majority before another one is tried. */
const majorityMs = 60_000;

/** From 4.0 on, a quorum queue drops what was delivered 21 times, unless it is told otherwise. */
const deliveryLimit = 1_000_000;

/** No more queues than this are remembered to be deleted when their brokers are back. */
const maxReplaced = 8;

/** Gets the routing key of messages to the node `node` alone. */
export function nodeKey(node: string): string {
  return `node.${node}`;
}

/** Gets the queue type that nodes ask for; `undefined`: the virtual host's default holds, classic unless it was set. */
export function declaredType(
  { queueType, hosts }: Pick<NodeQueueOptions, "queueType" | "hosts">,
): "classic" | "quorum" | undefined {
  if (queueType !== "auto") return queueType;
  return hosts.length >= clusterSize ? "quorum" : undefined;
}

/** The queue of one node, from its first connection to the last. */
export class NodeQueue {
  readonly #node: string;
  readonly #options: NodeQueueOptions;
  #name: string;
  /** Whether it was declared, so that messages can be lost with it. */
  #exists = false;
  /** Whether it has to be deleted. */
  #givenUp = false;
  /** How many times in a row it couldn't be consumed. */
  #strikes = 0;
  /** Since when a quorum queue is away. */
  #awaySinceMs: number | undefined;
  /** The names of those that it took the place of. */
  readonly #replaced = new Set<string>();

  /** Makes the queue of `node`, as yet in name only. */
  constructor(node: string, options: NodeQueueOptions) {
    this.#node = node;
    this.#options = options;
    this.#name = `staps.node.${node}`;
  }

  /** Its name on the broker. */
  get name(): string {
    return this.#name;
  }

  /** Whether it was declared at some time. */
  get exists(): boolean {
    return this.#exists;
  }

  /** Whether it is on several brokers at once. */
  get isQuorum(): boolean {
    return declaredType(this.#options) === "quorum";
  }

  /** The routing key of the node's messages to itself. */
  get ownKey(): string {
    return nodeKey(this.#node);
  }

  /**
   * Takes note that something in it can't be read. The broker would send that
   * again and again, so the queue is lost.
   */
  giveUp(): void {
    this.#givenUp = this.#exists;
  }

  /**
   * Makes sure of the queue and its own bindings, and begins to consume it.
   *
   * @throws {BrokerError} If that can't be.
   */
  async prepare(
    link: Link,
    { isBound, channelKeys, onLost }: PrepareOptions,
  ): Promise<void> {
    const state = this.#exists ? await this.#find(link) : "there";
    if (state !== "there") {
      const channels = [...channelKeys()];
      onLost();
      this.#exists = this.#givenUp = false;
      if (state === "away") await this.#replace(link, channels);
    }
    if (!this.#exists) {
      await this.#declare(link);
    } else if (!await isBound()) {
      onLost();
      await this.bindOwnKeys(link);
    }
    await this.#consume(link);
    this.#deleteReplaced(link);
  }

  /** Tells what became of the queue; deletes it first if it was given up. */
  async #find(link: Link): Promise<QueueState> {
    const isUsable = this.#strikes < maxStrikes;
    const state = isUsable ? await link.findQueue(this.#name) : "away";
    if (state !== "away") {
      if (state === "gone" || !this.#givenUp) return state;
      await link.deleteQueue(this.#name, { isConsumed: false });
      return "gone";
    }
    const nowMs = performance.now();
    this.#awaySinceMs ??= nowMs;
    if (this.isQuorum && nowMs - this.#awaySinceMs < majorityMs) {
      // It is asked anew.
      this.#strikes = 0;
      throw new BrokerError("most brokers of this node's queue are away");
    }
    return "away";
  }

  /** Gives up a queue that is away, with its bindings. */
  async #replace(link: Link, channels: readonly string[]): Promise<void> {
    const old = this.#name;
    this.#rename();
    const own = link.unbindAway(old, [this.ownKey, everyNode]);
    await within(own, unbindMs);
    void link.unbindAway(old, channels);
  }

  /** Takes another name, under which there can be no queue yet. */
  #rename(): void {
    this.#replaced.add(this.#name);
    const [oldest] = this.#replaced;
    if (this.#replaced.size > maxReplaced) this.#replaced.delete(oldest!);
    const suffix = crypto.randomUUID().slice(0, 8);
    this.#name = `staps.node.${this.#node}.${suffix}`;
    this.#strikes = 0;
    this.#awaySinceMs = undefined;
  }

  async #declare(link: Link): Promise<void> {
    try {
      await answerWithin(link.declareQueue(this.#name, this.#arguments()), {
        timeoutMs: answerMs,
        what: "to make a queue",
      });
      await this.bindOwnKeys(link);
      this.#exists = true;
    } catch (error) {
      // It may half exist.
      if (isFaultOfQueue(error)) this.#rename();
      throw error;
    }
  }

  async #consume(link: Link): Promise<void> {
    try {
      await answerWithin(link.consume(this.#name), {
        timeoutMs: answerMs,
        what: "to hand out this node's queue",
      });
      this.#strikes = 0;
      this.#awaySinceMs = undefined;
    } catch (error) {
      if (isFaultOfQueue(error)) this.#strikes++;
      throw error;
    }
  }

  /** Deletes those that it took the place of, as far as they are back. The others expire when they are. */
  #deleteReplaced(link: Link): void {
    for (const name of this.#replaced) {
      void link.deleteIfThere(name).then((isGone) => {
        if (isGone) this.#replaced.delete(name);
      });
    }
  }

  #arguments(): Record<string, unknown> {
    const { queueExpiresS, queueBytes } = this.#options;
    const type = declaredType(this.#options);
    return {
      "x-expires": queueExpiresS * 1000,
      "x-single-active-consumer": true,
      "x-max-length-bytes": queueBytes,
      // Empty messages take room too.
      "x-max-length": Math.floor(queueBytes / messageCost),
      // The sender learns what wasn't taken, and tells; see outbox.ts.
      "x-overflow": "reject-publish",
      ...(type === undefined ? {} : { "x-queue-type": type }),
      ...(this.isQuorum ? { "x-delivery-limit": deliveryLimit } : {}),
    };
  }

  /** Binds what every node's queue is bound for. */
  async bindOwnKeys(link: Link): Promise<void> {
    for (const key of [this.ownKey, everyNode]) {
      await link.bind(0, { queue: this.#name, key });
    }
  }
}

/** Tells whether the broker couldn't do what was asked, though it may be, or didn't answer. */
function isFaultOfQueue(error: unknown): boolean {
  if (!(error instanceof BrokerError)) return false;
  const { code, late } = error.detail;
  const isRefusal = code === replyCodes.accessRefused ||
    code === replyCodes.preconditionFailed;
  return late === true || code !== undefined && !isRefusal;
}
