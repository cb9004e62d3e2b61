/**
 * The way to the broker: two connections that live and die together, one to
 * publish, one to consume and bind. The only code that knows amqplib.
 *
 * Two, because the broker stops reading from a connection that publishes while
 * it is short of memory or disk (`connection.blocked`), and joins, leaves and
 * acknowledgements go on.
 */
import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  connect,
  type ConsumeMessage,
} from "amqplib";
import type { HostPort } from "../common/host_port.ts";
import type { EnvelopeProperties } from "./envelope.ts";

/** A broker's URL, taken apart and decoded. */
export interface BrokerUrl extends HostPort {
  /** `amqps`: through TLS. */
  readonly tls: boolean;
  readonly user: string;
  readonly password: string;
  /** The virtual host, such as `/`. */
  readonly vhost: string;
}

/** One of several brokers that share their queues. */
export interface BrokerHost {
  /** A name or an address; IPv6 without its brackets. */
  readonly hostname: string;
  /** `undefined`: {@linkcode defaultBrokerPort}. */
  readonly port: number | undefined;
}

/** Where a broker is, as whom to log in, and whom to trust. */
export interface Endpoint extends BrokerUrl {
  /** Certificates of the authorities to trust, in PEM; `undefined`: the system's. */
  readonly ca: string | undefined;
}

/** Settings of {@linkcode Link.open}. */
export interface LinkOptions {
  readonly heartbeatS: number;
  /** How long connecting may take, the broker's greeting included. */
  readonly connectTimeoutMs: number;
  /** How many channel joins and leaves may be under way at once. */
  readonly binders: number;
  /** Where messages are published. */
  readonly exchange: string;
}

/** What a link tells its owner. None of the calls may throw. */
export interface LinkListener {
  /** The broker has everything up to the message `tag`, or only that one. */
  confirmed(tag: number, upTo: boolean): void;
  /** At least one queue didn't take the message `tag`, or everything up to it. */
  rejected(tag: number, upTo: boolean): void;
  /** A mandatory message had nowhere to go. */
  returned(): void;
  /** The broker takes no messages for now. */
  blocked(): void;
  /** There may be room for more messages. */
  ready(): void;
  /** A message came. Its body lasts. */
  received(delivery: Delivery): void;
}

/** A message from the broker. */
export interface Delivery {
  readonly key: string;
  readonly properties: Record<keyof EnvelopeProperties, unknown>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** What was being done when the broker refused it. */
export interface Access {
  readonly right: "configure" | "write" | "read";
  readonly kind: "exchange" | "queue";
  readonly name: string;
}

/** The broker said no, or can't be talked to. `code` is AMQP's, if it gave one. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";

  constructor(
    message: string,
    readonly detail: {
      readonly code?: number | undefined;
      readonly access?: Access | undefined;
      readonly cause?: unknown;
      /** During the login, when the broker's refusals have no code of their own. */
      readonly opening?: boolean;
      /** Something that came from the queue can't be read, and would come again. */
      readonly unreadable?: boolean;
    } = {},
  ) {
    super(message, { cause: detail.cause });
  }
}

/** AMQP 0-9-1 reply codes, and RabbitMQ's use of them. */
export const replyCodes = {
  accessRefused: 403,
  notFound: 404,
  preconditionFailed: 406,
} as const;

/** At most this many messages wait here to be acknowledged, and at most this long. */
const ackCount = 100;
const ackMs = 10;

/** How many messages the broker sends ahead. */
const prefetch = 500;

/** How long a broker may take for an answer, other than to a join. */
const answerTimeoutMs = 30_000;

/** Two connections to one broker. */
export class Link {
  readonly #models: ChannelModel[];
  readonly #listener: LinkListener;
  readonly #exchange: string;
  readonly #publisher: ConfirmChannel;
  readonly #control: Channel;
  readonly #binders: readonly Channel[];
  readonly #down = Promise.withResolvers<BrokerError>();
  /** Those that wait for an answer. */
  readonly #waiting = new Set<(reason: BrokerError) => void>();
  readonly #blocking: { reason?: string | undefined };
  #isDown = false;
  #full = false;
  #deleting = false;
  #tag = 0;
  #unacked: ConsumeMessage | undefined;
  #unackedCount = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    models: ChannelModel[],
    { publisher, control, binders, blocking }: {
      publisher: ConfirmChannel;
      control: Channel;
      binders: Channel[];
      blocking: { reason?: string | undefined };
    },
    { listener, exchange }: LinkOptions & { listener: LinkListener },
  ) {
    this.#models = models;
    this.#exchange = exchange;
    this.#publisher = publisher;
    this.#control = control;
    this.#binders = binders;
    this.#blocking = blocking;
    this.#listener = listener;
  }

  /**
   * Connects and logs in.
   *
   * @throws {BrokerError} If that fails or takes too long.
   */
  static async open(
    endpoint: Endpoint,
    options: LinkOptions & { listener: LinkListener },
  ): Promise<Link> {
    const models: ChannelModel[] = [];
    let ended = false;
    const one = async (name: string): Promise<ChannelModel> => {
      const model = await connectOnce(endpoint, options, name);
      // The other one may have failed meanwhile.
      if (ended) destroy(model);
      models.push(model);
      return model;
    };
    try {
      const [sender, receiver] = await Promise.all([
        one("publish"),
        one("consume"),
      ]);
      // It may come with the first answer.
      const blocking: { reason?: string | undefined } = {};
      sender.on("blocked", (reason) => blocking.reason = reason || "no reason");
      sender.on("unblocked", () => blocking.reason = undefined);
      const opening = Promise.all([
        sender.createConfirmChannel(),
        receiver.createChannel(),
        ...Array.from(
          { length: options.binders },
          () => receiver.createChannel(),
        ),
      ]);
      const [publisher, control, ...binders] = await within(opening, {
        timeoutMs: options.connectTimeoutMs,
        what: "to open channels",
      });
      const link = new Link(
        [sender, receiver],
        { publisher, control, binders, blocking },
        options,
      );
      link.#listen(sender, receiver);
      return link;
    } catch (error) {
      ended = true;
      for (const model of models) destroy(model);
      throw wrap(error);
    }
  }

  /** Resolves with the reason when the link is gone. */
  get down(): Promise<BrokerError> {
    return this.#down.promise;
  }

  /** Why the broker doesn't take messages at the moment. */
  get blocked(): string | undefined {
    return this.#blocking.reason;
  }

  /** Whether {@linkcode publish} may be called. */
  get isReady(): boolean {
    return !this.#isDown && this.blocked === undefined && !this.#full;
  }

  /** Makes sure that the exchange exists, durable and direct. */
  async declareExchange(): Promise<void> {
    const name = this.#exchange;
    await this.#ask(
      () => this.#control.assertExchange(name, "direct", { durable: true }),
      { right: "configure", kind: "exchange", name },
    );
  }

  /** Makes sure that the durable queue `name` exists. */
  async declareQueue(
    name: string,
    args: Record<string, unknown>,
  ): Promise<void> {
    await this.#ask(
      () => this.#control.assertQueue(name, { durable: true, arguments: args }),
      { right: "configure", kind: "queue", name },
    );
  }

  /** Tells whether the queue `name` exists. */
  async hasQueue(name: string): Promise<boolean> {
    // The broker answers a "no" by closing the channel.
    const scratch = await this.#guard(this.#models[1]!.createChannel());
    scratch.on("error", () => {});
    try {
      await this.#guard(scratch.checkQueue(name));
      await this.#guard(scratch.close());
      return true;
    } catch (error) {
      const { code } = wrap(error).detail;
      // Another text says that the queue's place in a cluster is down.
      if (code !== replyCodes.notFound || /home node/.test(String(error))) {
        throw wrap(error);
      }
      return false;
    }
  }

  /** Deletes the queue `name`, with what is in it, whether this link consumes it or not. */
  async deleteQueue(
    name: string,
    { isConsumed }: { isConsumed: boolean },
  ): Promise<void> {
    // The broker cancels the consumer then.
    this.#deleting = isConsumed;
    await this.#ask(() => this.#control.deleteQueue(name), {
      right: "configure",
      kind: "queue",
      name,
    });
  }

  /** Makes messages with `key` go to `queue`. `slot` is one of those that {@linkcode LinkOptions} asked for. */
  async bind(
    slot: number,
    { queue, key }: { queue: string; key: string },
  ): Promise<void> {
    const channel = this.#binders[slot]!;
    await this.#ask(() => channel.bindQueue(queue, this.#exchange, key), {
      right: "write",
      kind: "queue",
      name: queue,
    });
  }

  /** Ends what {@linkcode bind} began. */
  async unbind(
    slot: number,
    { queue, key }: { queue: string; key: string },
  ): Promise<void> {
    const channel = this.#binders[slot]!;
    await this.#ask(() => channel.unbindQueue(queue, this.#exchange, key), {
      right: "write",
      kind: "queue",
      name: queue,
    });
  }

  /** Begins to receive what is in `queue`. */
  async consume(queue: string): Promise<void> {
    await this.#guard(this.#control.prefetch(prefetch));
    const access = { right: "read", kind: "queue", name: queue } as const;
    await this.#ask(
      () => this.#control.consume(queue, (message) => this.#take(message)),
      access,
    );
  }

  /**
   * Sends a message, and gets its tag. Only while {@linkcode isReady}.
   *
   * `transient` messages don't outlive the broker; `mandatory` ones come back
   * if they have nowhere to go.
   */
  publish(
    { key, body }: {
      key: string;
      body: string | ArrayBuffer | Uint8Array<ArrayBuffer>;
    },
    options: EnvelopeProperties & { transient?: boolean; mandatory?: boolean },
  ): number {
    const { type, appId, messageId, transient, mandatory } = options;
    const room = this.#publisher.publish(this.#exchange, key, toBuffer(body), {
      type,
      appId,
      messageId,
      deliveryMode: transient ? 1 : 2,
      mandatory: mandatory === true,
    });
    if (!room) this.#full = true;
    return ++this.#tag;
  }

  /** Breaks both connections off; `reason` goes to {@linkcode down}. */
  destroy(reason: BrokerError): void {
    if (this.#isDown) return;
    this.#isDown = true;
    clearTimeout(this.#ackTimer);
    for (const model of this.#models) destroy(model);
    for (const reject of this.#waiting) reject(reason);
    this.#down.resolve(reason);
  }

  /** Closes both connections in good order, or breaks them off after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isDown) return;
    this.#acknowledge();
    const closing = Promise.all(this.#models.map((model) => model.close()));
    // From here on their end is no error.
    this.#isDown = true;
    try {
      await within(closing, { timeoutMs, what: "to close" });
    } catch {
      // Nothing is lost: the broker notices by itself.
    }
    this.#isDown = false;
    this.destroy(new BrokerError("closed"));
  }

  #listen(sender: ChannelModel, receiver: ChannelModel): void {
    for (const model of [sender, receiver]) {
      model.on("error", (error) => this.destroy(wrap(error)));
      model.on(
        "close",
        (error) => this.destroy(wrap(error ?? "connection closed")),
      );
    }
    // Before amqplib's own listener, which would only tell of a lost connection.
    const frames = receiver.connection as unknown as EventEmitter;
    frames.prependListener("frameError", (error: Error) =>
      this.destroy(
        new BrokerError(`a message can't be read: ${error.message}`, {
          cause: error,
          unreadable: true,
        }),
      ));
    const channels = [this.#publisher, this.#control, ...this.#binders];
    for (const channel of channels) {
      channel.on("error", (error) => {
        const access: Access | undefined = channel === this.#publisher
          ? { right: "write", kind: "exchange", name: this.#exchange }
          : undefined;
        // The error of an answer says more, and comes right behind this one.
        queueMicrotask(() => this.destroy(wrap(error, access)));
      });
      channel.on(
        "close",
        () =>
          queueMicrotask(() => this.destroy(new BrokerError("channel closed"))),
      );
    }
    sender.on("blocked", () => this.#listener.blocked());
    sender.on("unblocked", () => this.#listener.ready());
    this.#publisher.on("drain", () => {
      this.#full = false;
      this.#listener.ready();
    });
    this.#publisher.on("ack", ({ deliveryTag, multiple }) => {
      if (!this.#isDown) this.#listener.confirmed(deliveryTag, multiple);
    });
    this.#publisher.on("nack", ({ deliveryTag, multiple }) => {
      if (!this.#isDown) this.#listener.rejected(deliveryTag, multiple);
    });
    this.#publisher.on("return", () => this.#listener.returned());
  }

  #take(message: ConsumeMessage | null): void {
    if (this.#isDown) return;
    if (message === null) {
      if (!this.#deleting) {
        this.destroy(new BrokerError("the broker cancelled the consumer"));
      }
      return;
    }
    this.#listener.received({
      key: message.fields.routingKey,
      properties: message.properties,
      body: message.content as Uint8Array<ArrayBuffer>,
    });
    this.#unacked = message;
    if (++this.#unackedCount >= ackCount) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ackMs);
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (!this.#unacked || this.#isDown) return;
    this.#unackedCount = 0;
    const message = this.#unacked;
    this.#unacked = undefined;
    try {
      this.#control.ack(message, true);
    } catch (error) {
      this.destroy(wrap(error));
    }
  }

  /** Asks the broker for something that needs the right `access`. */
  async #ask<T>(question: () => Promise<T>, access: Access): Promise<T> {
    try {
      return await this.#guard(question());
    } catch (error) {
      const wrapped = wrap(error, access);
      // The channel is gone, and so is its order.
      this.destroy(wrapped);
      throw wrapped;
    }
  }

  /** Ends the wait for an answer when the link ends. */
  async #guard<T>(answer: Promise<T>): Promise<T> {
    const ended = Promise.withResolvers<never>();
    this.#waiting.add(ended.reject);
    try {
      return await within(Promise.race([answer, ended.promise]), {
        timeoutMs: answerTimeoutMs,
        what: "to answer",
      });
    } finally {
      this.#waiting.delete(ended.reject);
    }
  }
}

async function connectOnce(
  endpoint: Endpoint,
  options: LinkOptions,
  name: string,
): Promise<ChannelModel> {
  const { tls, hostname, port, user, password, vhost, ca } = endpoint;
  const opening = connect(
    {
      protocol: tls ? "amqps" : "amqp",
      hostname,
      port,
      username: user,
      password,
      // amqplib decodes it.
      vhost: encodeURIComponent(vhost),
      heartbeat: options.heartbeatS,
    },
    {
      noDelay: true,
      timeout: options.connectTimeoutMs,
      clientProperties: { connection_name: `staps ${name}` },
      ...(ca === undefined ? {} : { ca: [ca] }),
    },
  );
  // One that comes too late must not stay.
  let late = false;
  opening.then((model) => late && destroy(model), () => {});
  try {
    const model = await within(opening, {
      timeoutMs: options.connectTimeoutMs,
      what: "to connect",
    });
    // Without a listener the first error ends the process.
    model.on("error", () => {});
    return model;
  } catch (error) {
    late = true;
    throw wrap(error, undefined, true);
  }
}

/** Breaks a connection off at once; `close()` may wait for ever in a silent network. */
function destroy(model: ChannelModel): void {
  const { stream } = model.connection as unknown as {
    stream: { destroy(error: Error): void };
  };
  // With an error: amqplib takes no notice of an end without one, and goes on
  // with its heartbeats and with waiting for answers.
  stream.destroy(new Error("broken off"));
}

async function within<T>(
  promise: Promise<T>,
  { timeoutMs, what }: { timeoutMs: number; what: string },
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(
        new BrokerError(`Waited ${timeoutMs / 1000} s for the broker ${what}`),
      ),
    timeoutMs,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function wrap(error: unknown, access?: Access, opening = false): BrokerError {
  if (error instanceof BrokerError && (error.detail.access || !access)) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof BrokerError
    ? error.detail.code
    : (error as { code?: unknown } | null)?.code;
  return new BrokerError(message, {
    code: typeof code === "number" ? code : undefined,
    access,
    cause: error,
    opening,
  });
}

function toBuffer(body: string | ArrayBuffer | Uint8Array): Buffer {
  if (typeof body === "string") return Buffer.from(body);
  if (body instanceof ArrayBuffer) return Buffer.from(body);
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
