/** A node's queue on the broker, and the bindings that every node has. */
import { BrokerError, replyCodes } from "./broker_error.ts";
import type { Link } from "./link.ts";
import { everyNode } from "./outbox.ts";
import { messageCost } from "./queue_watch.ts";

/** Settings of {@linkcode NodeQueue}. */
export interface NodeQueueOptions {
  /** What it takes, in bytes. */
  readonly queueBytes: number;
  /** How long it is kept without its node, in seconds. */
  readonly queueExpiresS: number;
}

/** Gets the routing key of messages to the node `node` alone. */
export function nodeKey(node: string): string {
  return `node.${node}`;
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
  /** Since when it is on a broker that is down. */
  #awaySinceMs: number | undefined;

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
   * Makes sure of the queue and its own bindings.
   *
   * @param isBound Tells whether a message to ourselves has somewhere to go.
   * @param onLost Messages were lost with the queue or its bindings. Called at
   * once, not when all is set up again: if that fails, the next try can't see it.
   * @throws {BrokerError} If that can't be.
   */
  async prepare(
    link: Link,
    { isBound, onLost }: {
      isBound: () => Promise<boolean>;
      onLost: () => void;
    },
  ): Promise<void> {
    if (this.#givenUp) {
      await link.deleteQueue(this.#name, { isConsumed: false });
      this.#givenUp = false;
    }
    if (this.#exists && !await this.#isThere(link)) {
      onLost();
      this.#exists = false;
    }
    if (!this.#exists) {
      await link.declareQueue(this.#name, this.#arguments());
      await this.bindOwnKeys(link);
      this.#exists = true;
    } else if (!await isBound()) {
      onLost();
      await this.bindOwnKeys(link);
    }
  }

  /**
   * Tells whether the queue still exists. In a cluster it may be on a broker
   * that is down; after the time for which it would be kept it is taken for
   * lost, and another one gets another name.
   */
  async #isThere(link: Link): Promise<boolean> {
    try {
      const isThere = await link.hasQueue(this.#name);
      this.#awaySinceMs = undefined;
      return isThere;
    } catch (error) {
      const isAway = error instanceof BrokerError &&
        error.detail.code === replyCodes.notFound;
      const nowMs = performance.now();
      if (isAway) this.#awaySinceMs ??= nowMs;
      const { queueExpiresS } = this.#options;
      if (!isAway || nowMs - this.#awaySinceMs! < queueExpiresS * 1000) {
        throw error;
      }
      this.#awaySinceMs = undefined;
      this.#name = `staps.node.${this.#node}.${
        crypto.randomUUID().slice(0, 8)
      }`;
      return false;
    }
  }

  #arguments(): Record<string, unknown> {
    const { queueExpiresS, queueBytes } = this.#options;
    return {
      "x-expires": queueExpiresS * 1000,
      "x-single-active-consumer": true,
      "x-max-length-bytes": queueBytes,
      // Empty messages take room too.
      "x-max-length": Math.floor(queueBytes / messageCost),
      // The sender learns what wasn't taken, and tells; see outbox.ts.
      "x-overflow": "reject-publish",
    };
  }

  /** Binds what every node's queue is bound for. */
  async bindOwnKeys(link: Link): Promise<void> {
    for (const key of [this.ownKey, everyNode]) {
      await link.bind(0, { queue: this.#name, key });
    }
  }
}
