/** What has to be there before a new connection is used: exchange, queue and bindings, and that messages come through. */
import { log } from "../common/log.ts";
import { BrokerError } from "./broker_error.ts";
import type { Connector } from "./connector.ts";
import type { Link } from "./link.ts";
import type { Memberships } from "./memberships.ts";
import type { NodeQueue } from "./node_queue.ts";
import { noMessage, type Probe } from "./probe.ts";
import type { QueueWatch } from "./queue_watch.ts";
import { queuesTake } from "./queues_take.ts";
import type { Sender } from "./sender.ts";

/** So many connections in a row are given up as some node's queue takes nothing. */
const maxRefusals = 3;

/** What {@linkcode Preparation} works with. */
export interface PreparationOptions {
  readonly connector: Pick<Connector, "connects">;
  readonly queue: NodeQueue;
  readonly memberships: Pick<Memberships, "boundKeys" | "loseBindings">;
  readonly sender: Sender;
  readonly probe: Probe;
  readonly watch: Pick<QueueWatch, "reset">;
}

/** Prepares one connection after the other. */
export class Preparation {
  readonly #options: PreparationOptions;
  /** On how many connections in a row some node's queue took nothing. */
  #refusals = 0;

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  /**
   * Makes sure of exchange, queue and bindings, and that messages come through.
   *
   * @throws {BrokerError} If that can't be.
   */
  async prepare(link: Link): Promise<void> {
    const { connector, queue, memberships, probe } = this.#options;
    await link.declareExchange();
    await queue.prepare(link, {
      isBound: () => probe.isOwnKeyBound(link),
      channelKeys: () => memberships.boundKeys(),
      onLost: () => this.#lost(),
    });
    if (queue.isQuorum) await this.#tryQueues(link);
    if (probe.isSuspect) await this.#prove(link);
    // Shows at the start that this node may publish.
    if (connector.connects === 0) await probe.isOwnKeyBound(link);
  }

  /**
   * Tells whether nobody else consumes the node's queue. A connection that was
   * lost does, until the broker has noticed, and gets all messages until then.
   *
   * @param hasTurn Whether messages came on this one. RabbitMQ's count of a
   * quorum queue's consumers leaves out those that wait for their turn.
   */
  async isOnlyConsumer(link: Link, hasTurn: boolean): Promise<boolean> {
    const { queue } = this.#options;
    if (queue.isQuorum) return hasTurn;
    return await link.countConsumers(queue.name) === 1;
  }

  /** Makes sure that messages come through the queue, after some didn't. */
  async #prove(link: Link): Promise<void> {
    const { queue, probe } = this.#options;
    if (await probe.comesBack(link)) return;
    // Only one that had its turn is suspected.
    if (await this.isOnlyConsumer(link, true)) {
      this.#lost();
      await queue.bindOwnKeys(link);
      if (await probe.comesBack(link)) return;
    }
    throw new BrokerError(noMessage);
  }

  /** The queue or its bindings are gone, and with them messages. */
  #lost(): void {
    const { queue, watch, memberships } = this.#options;
    log.error("the broker lost this node's queue or its bindings", {
      queue: queue.name,
    });
    watch.reset();
    memberships.loseBindings();
  }

  /** Takes another connection if some node's queue takes nothing on this one, but not for ever: it may be full. */
  async #tryQueues(link: Link): Promise<void> {
    const areTaken = await queuesTake(link, this.#options.sender);
    if (!areTaken && ++this.#refusals <= maxRefusals) {
      throw new BrokerError("a node's quorum queue takes nothing");
    }
    this.#refusals = 0;
  }
}
