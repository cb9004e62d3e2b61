/**
 * The way to the broker: two connections that live and die together, one to
 * publish, one to consume and bind.
 *
 * Two, because the broker stops reading from a connection that publishes while
 * it is short of memory or disk (`connection.blocked`), and joins, leaves and
 * acknowledgements go on.
 */
import { Buffer } from "node:buffer";
import { Acknowledgements } from "./acknowledgements.ts";
import {
  type Access,
  answerWithin,
  BrokerError,
  toBrokerError,
} from "./broker_error.ts";
import {
  breakOff,
  connect,
  type Connections,
  type ConsumeMessage,
  type Endpoint,
  whenLost,
} from "./connect.ts";
import type { EnvelopeProperties } from "./envelope.ts";
import { slotCount } from "./memberships.ts";
import { nodeKey } from "./node_queue.ts";
import type { Probe } from "./probe.ts";
import {
  countConsumers,
  deleteIfThere,
  findQueue,
  type QueueState,
  unbindAway,
} from "./queue_search.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";

/** Settings of {@linkcode Link.open}, and whom a link calls. */
export interface LinkOptions {
  readonly heartbeatS: number;
  /** Where messages are published. */
  readonly exchange: string;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly probe: Probe;
}

/** How a message is published. */
export interface PublishOptions extends EnvelopeProperties {
  /** It doesn't outlive the broker. */
  readonly transient?: boolean;
  /** It comes back if it has nowhere to go. */
  readonly mandatory?: boolean;
  /** Nodes that hand it to members tell so; see `posts.ts`. */
  readonly wantsReceipt?: boolean;
}

/** A queue, and the routing key of what goes to it. */
export interface Binding {
  readonly queue: string;
  readonly key: string;
}

/** How many messages the broker sends ahead. */
const prefetch = 500;

/** How long a broker may take for an answer, other than to a join. */
const answerTimeoutMs = 30_000;

/** How long a broker may take to say whether a queue is there. */
const search = { timeoutMs: 5_000 } as const;

/** Two connections to one broker. */
export class Link {
  readonly #connections: Connections;
  readonly #options: LinkOptions;
  readonly #down = Promise.withResolvers<BrokerError>();
  /** Those that wait for an answer. */
  readonly #waiting = new Set<(reason: BrokerError) => void>();
  #state: "up" | "closing" | "down" = "up";
  /** amqplib's buffer is full. */
  #isFull = false;
  #isDeleting = false;
  #tag = 0;
  readonly #acknowledgements = new Acknowledgements((upTo) =>
    this.#acknowledge(upTo)
  );

  private constructor(connections: Connections, options: LinkOptions) {
    this.#connections = connections;
    this.#options = options;
    this.#listen();
  }

  /**
   * Connects and logs in.
   *
   * @throws {BrokerError} If that fails or takes too long.
   */
  static async open(endpoint: Endpoint, options: LinkOptions): Promise<Link> {
    const { heartbeatS } = options;
    return new Link(
      await connect(endpoint, { heartbeatS, binderCount: slotCount }),
      options,
    );
  }

  /** Resolves with the reason when the link is gone. */
  get down(): Promise<BrokerError> {
    return this.#down.promise;
  }

  /** Why the broker doesn't take messages at the moment. */
  get blocked(): string | undefined {
    return this.#connections.blocked.reason;
  }

  /** Whether {@linkcode publish} may be called. */
  get isReady(): boolean {
    return this.#state === "up" && this.blocked === undefined && !this.#isFull;
  }

  /** Makes sure that the exchange exists, durable and direct. */
  async declareExchange(): Promise<void> {
    const { exchange: name } = this.#options;
    await this.#ask(
      { right: "configure", kind: "exchange", name },
      ({ control }) =>
        control.assertExchange(name, "direct", { durable: true }),
    );
  }

  /** Makes sure that the durable queue `name` exists. */
  async declareQueue(
    name: string,
    args: Record<string, unknown>,
  ): Promise<void> {
    await this.#ask(
      { right: "configure", kind: "queue", name },
      ({ control }) =>
        control.assertQueue(name, { durable: true, arguments: args }),
    );
  }

  /** See {@linkcode findQueue}. */
  async findQueue(name: string): Promise<QueueState> {
    const { receiving } = this.#connections;
    return await this.#guard(findQueue(receiving, name, search));
  }

  /** See {@linkcode countConsumers}. */
  async countConsumers(name: string): Promise<number | undefined> {
    return await countConsumers(this.#connections.receiving, name, search);
  }

  /** See {@linkcode unbindAway}. */
  async unbindAway(queue: string, keys: Iterable<string>): Promise<void> {
    const { exchange } = this.#options;
    const what = { queue, exchange, keys };
    await unbindAway(this.#connections.receiving, what);
  }

  /** See {@linkcode deleteIfThere}. */
  async deleteIfThere(name: string): Promise<boolean> {
    return await deleteIfThere(this.#connections.receiving, name, search);
  }

  /** Deletes the queue `name`, with what is in it, whether this link consumes it or not. */
  async deleteQueue(
    name: string,
    { isConsumed }: { isConsumed: boolean },
  ): Promise<void> {
    // The broker cancels the consumer then.
    this.#isDeleting = isConsumed;
    await this.#ask(
      { right: "configure", kind: "queue", name },
      ({ control }) => control.deleteQueue(name),
    );
  }

  /** Makes messages with `key` go to `queue`. Only one call at a time may use a `slot`, below {@linkcode slotCount}. */
  async bind(slot: number, { queue: name, key }: Binding): Promise<void> {
    const { exchange } = this.#options;
    await this.#ask(
      { right: "write", kind: "queue", name },
      ({ binders }) =>
        binders[slot % binders.length]!.bindQueue(name, exchange, key),
    );
  }

  /** Ends what {@linkcode bind} began. */
  async unbind(slot: number, { queue: name, key }: Binding): Promise<void> {
    const { exchange } = this.#options;
    await this.#ask(
      { right: "write", kind: "queue", name },
      ({ binders }) =>
        binders[slot % binders.length]!.unbindQueue(name, exchange, key),
    );
  }

  /** Begins to receive what is in the queue `name`. */
  async consume(name: string): Promise<void> {
    await this.#guard(this.#connections.control.prefetch(prefetch));
    await this.#ask(
      { right: "read", kind: "queue", name },
      ({ control }) => control.consume(name, (message) => this.#take(message)),
    );
  }

  /**
   * Publishes a message, and gets its tag, by which {@linkcode Sender.answered}
   * is called. Only while {@linkcode isReady}.
   */
  publish(
    { key, body }: { key: string; body: Uint8Array<ArrayBuffer> },
    options: PublishOptions,
  ): number {
    const { type, appId, messageId, transient, mandatory = false } = options;
    const { publisher } = this.#connections;
    const { exchange } = this.#options;
    const deliveryMode = transient ? 1 : 2;
    const properties = {
      ...{ type, appId, messageId, deliveryMode, mandatory },
      ...options.wantsReceipt ? { replyTo: nodeKey(appId) } : {},
    };
    try {
      const hasRoom = publisher.publish(
        exchange,
        key,
        Buffer.from(body.buffer, body.byteOffset, body.byteLength),
        properties,
      );
      if (!hasRoom) this.#isFull = true;
    } catch (error) {
      this.destroy(new BrokerError(String(error), { cause: error }));
    }
    return ++this.#tag;
  }

  /** Breaks both connections off; `reason` goes to {@linkcode down}. */
  destroy(reason: BrokerError): void {
    // While it is closing, the end of a connection is no error.
    if (this.#state === "up") this.#end(reason);
  }

  /** Closes both connections in good order, or breaks them off after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#state !== "up") return;
    this.#acknowledgements.flush();
    this.#state = "closing";
    const { sending, receiving } = this.#connections;
    try {
      await answerWithin(Promise.all([sending.close(), receiving.close()]), {
        timeoutMs,
        what: "to close",
      });
    } catch {
      // Nothing is lost: the broker notices by itself.
    }
    this.#end(new BrokerError("closed"));
  }

  #end(reason: BrokerError): void {
    this.#state = "down";
    this.#acknowledgements.stop();
    breakOff(this.#connections.sending);
    breakOff(this.#connections.receiving);
    for (const reject of this.#waiting) reject(reason);
    this.#down.resolve(reason);
  }

  #listen(): void {
    const { sending, publisher } = this.#connections;
    const { exchange, sender, probe } = this.#options;
    whenLost(this.#connections, exchange, (reason) => this.destroy(reason));
    sending.on("blocked", () => probe.blocked());
    sending.on("unblocked", () => sender.pump());
    publisher.on("drain", () => {
      this.#isFull = false;
      sender.pump();
    });
    const answers = [["ack", true], ["nack", false]] as const;
    for (const [event, isTaken] of answers) {
      publisher.on(event, ({ deliveryTag: tag, multiple: upTo }) => {
        if (this.#state === "up") sender.answered({ tag, upTo, isTaken });
      });
    }
    publisher.on("return", ({ properties }) => {
      if (properties.type === "probe") probe.unroutable(this);
      else sender.returned(properties);
    });
  }

  #take(message: ConsumeMessage | null): void {
    if (this.#state !== "up") return;
    if (message === null) {
      if (!this.#isDeleting) {
        this.destroy(new BrokerError("the broker cancelled the consumer"));
      }
      return;
    }
    this.#options.receiver.receive({
      key: message.fields.routingKey,
      properties: message.properties,
      body: message.content as Uint8Array<ArrayBuffer>,
    });
    this.#acknowledgements.add(message);
  }

  #acknowledge(upTo: ConsumeMessage): void {
    if (this.#state !== "up") return;
    try {
      this.#connections.control.ack(upTo, true);
    } catch (error) {
      this.destroy(toBrokerError(error));
    }
  }

  /** Asks the broker for something that needs the right `access`. */
  async #ask(
    access: Access,
    question: (connections: Connections) => Promise<unknown>,
  ): Promise<void> {
    try {
      await this.#guard(question(this.#connections));
    } catch (thrown) {
      const error = toBrokerError(thrown, { access });
      // The channel is gone, and so is its order.
      this.destroy(error);
      throw error;
    }
  }

  /** Ends the wait for an answer when the link ends. */
  async #guard<T>(answer: Promise<T>): Promise<T> {
    const ended = Promise.withResolvers<never>();
    this.#waiting.add(ended.reject);
    try {
      return await answerWithin(Promise.race([answer, ended.promise]), {
        timeoutMs: answerTimeoutMs,
        what: "to answer",
      });
    } finally {
      this.#waiting.delete(ended.reject);
    }
  }
}
