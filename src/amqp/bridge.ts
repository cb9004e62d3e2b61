/**
 * The bridge between nodes through RabbitMQ, docs/bridge.md: every node has a
 * durable queue, and the queue a binding for every channel that the node is in.
 *
 * Here is what connects the parts: `outbox.ts` (what the others are to get),
 * `tracker.ts` (what was got from them), `memberships.ts` (which channels) and
 * `connection.ts` (AMQP).
 */
import { Buffer } from "node:buffer";
import {
  type Bridge,
  type BridgeHealth,
  type BridgeListener,
  type BridgeState,
  BridgeUnavailableError,
} from "../relay/bridge.ts";
import { channelHash } from "../relay/channel_hash.ts";
import { ConfigError } from "../common/errors.ts";
import {
  defaultBrokerPort,
  formatHostPort,
  type HostPort,
} from "../common/host_port.ts";
import { log } from "../common/log.ts";
import type { Message } from "../relay/message.ts";
import {
  BrokerError,
  type BrokerHost,
  type BrokerUrl,
  type Delivery,
  Link,
  type LinkListener,
  replyCodes,
} from "./link.ts";
import { readBatch, writeBatch } from "./batch.ts";
import { Doubts } from "./doubts.ts";
import { type Envelope, readEnvelope, writeEnvelope } from "./envelope.ts";
import { type Membership, Memberships } from "./memberships.ts";
import { everyNode, type Letter, Outbox } from "./outbox.ts";
import { NodeQueue } from "./node_queue.ts";
import { Probes } from "./probes.ts";
import { explainRefusal } from "./refusal.ts";
import { QueueWatch } from "./tracker.ts";

/** Settings of {@linkcode AmqpBridge}: `amqp` in `[staps]`, and `[bridge]`. */
export interface AmqpBridgeOptions {
  /** The broker's URL. */
  readonly amqp: BrokerUrl;
  readonly exchange: string;
  /** Brokers to try in turn; empty: the one in `amqp`. */
  readonly hosts: readonly BrokerHost[];
  /** A PEM file with the authorities to trust. */
  readonly ca?: string | undefined;
  readonly onOutage: "local" | "refuse";
  /** Whether clients are told when messages of their channel may be lost. */
  readonly onGap: "close" | "continue";
  readonly outboxBytes: number;
  readonly queueBytes: number;
  readonly queueExpiresS: number;
  readonly heartbeatS: number;
  readonly joinTimeoutS: number;
}

/**
 * No more letters than this are on their way to the broker, or being written to
 * its disk. Far more than a steady flow needs; beyond it messages share letters.
 */
const maxUnconfirmed = 200;

/** How many channel joins and leaves are under way at once. */
const binders = 8;

const connectTimeoutMs = 5_000;

/** The wait before the next try doubles between these, and varies by a fifth. */
const retryMs = { first: 200, last: 2_000, jitter: 0.2 } as const;

/** How often the bridge sends itself a message, and looks whether something is stuck. */
const tickMs = 1_000;

/** Messages that stay unconfirmed for so long mean that something is stuck. */
const confirmTimeoutMs = 30_000;

/** How long the closing bridge tries to send what waits, and to end in good order. */
const closing = {
  flushMs: 2_000,
  lookMs: 20,
  deleteMs: 1_000,
  linkMs: 1_000,
} as const;

/** What was sent with a tag: a letter, or a message to ourselves by its number. */
interface Sent {
  readonly letter?: Letter;
  readonly probe?: number;
  readonly ms: number;
}

/** Joins this node with all others that use the same exchange. */
export class AmqpBridge implements Bridge, BridgeHealth {
  readonly #options: AmqpBridgeOptions;
  readonly #hosts: readonly HostPort[];
  /** Names the node among the others; random, so that a restarted one is another. */
  readonly #node = randomHex(8);
  readonly #queue: NodeQueue;
  readonly #outbox: Outbox;
  readonly #memberships: Memberships;
  #watch: QueueWatch;
  #ca: string | undefined;
  #host = 0;
  #listener: BridgeListener | undefined;
  #link: Link | undefined;
  /** The link is made, and the queue and its bindings are known to be there. */
  #connected = false;
  #closed = false;
  #stop = Promise.withResolvers<void>();
  #running: Promise<void> = Promise.resolve();
  /** By tag, the oldest first. */
  #sent = new Map<number, Sent>();
  readonly #probes = new Probes();
  #probeNumber = 0;
  readonly #doubts: Doubts;
  /** Channels whose clients here know that messages were dropped in the present outage. */
  #told = new Set<string>();
  #lastTrouble = "";
  readonly #counts = {
    published: 0,
    received: 0,
    duplicates: 0,
    gaps: 0,
    dropped: 0,
    rejected: 0,
    connects: 0,
  };

  /** Makes a bridge that isn't connected. */
  constructor(options: AmqpBridgeOptions) {
    this.#options = options;
    this.#hosts = brokerHosts(options);
    this.#outbox = new Outbox(options.outboxBytes);
    this.#queue = new NodeQueue(this.#node, options);
    this.#watch = new QueueWatch(options.queueBytes);
    this.#memberships = new Memberships({
      onOutage: options.onOutage,
      joinTimeoutMs: options.joinTimeoutS * 1000,
      onMissed: (membership) =>
        this.#gap(membership, "the queue or its binding was lost"),
      nowMs: () => performance.now(),
      latestProbe: () => this.#probeNumber,
    });
    this.#doubts = new Doubts(this.#memberships);
  }

  /** What the bridge is doing. */
  state(): BridgeState {
    return {
      connected: this.#connected,
      broker: this.#connected ? formatHostPort(this.#place) : undefined,
      problem: this.#connected || this.#lastTrouble === ""
        ? undefined
        : this.#lastTrouble,
      blocked: this.#link?.blocked,
      outboxBytes: this.#outbox.bytes,
      outboxMessages: this.#outbox.messages,
      unconfirmed: this.#sent.size,
      channels: this.#memberships.size,
      joinsWaiting: this.#memberships.waiting,
      roundTripMs: this.#probes.roundTripMs,
      ...this.#counts,
    };
  }

  /**
   * Sends a message through the broker to this node itself, and gets how many
   * milliseconds it took.
   *
   * @throws {Error} If it doesn't come back within `timeoutMs`, or can't be sent.
   */
  async probe(timeoutMs: number): Promise<number> {
    const returned = this.#sendProbe();
    if (!returned) throw new Error(this.#whyNot());
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error("The broker doesn't return a message")),
      timeoutMs,
    );
    try {
      return await Promise.race([returned, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async start(listener: BridgeListener): Promise<void> {
    this.#listener = listener;
    await this.#readCa();
    let link: Link | undefined;
    // Every host once, as the first may be down and the second may refuse.
    for (let tries = 0; tries < this.#hosts.length && !link; tries++) {
      link = await Promise.race([
        this.#tryConnect({ first: true }),
        this.#stop.promise.then(() => undefined),
      ]);
      if (this.#closed) {
        throw new BridgeUnavailableError("The bridge is closed");
      }
    }
    if (!link) {
      log.warn("broker out of reach: the bridge keeps trying", {
        clients: this.#options.onOutage === "local"
          ? "served by this node alone"
          : "refused",
      });
    }
    this.#running = this.#run(link);
  }

  async join(path: string): Promise<void> {
    await this.#memberships.join(path);
  }

  leave(path: string): void {
    this.#memberships.leave(path);
  }

  publish(path: string, message: Message, bytes: number): void {
    const membership = this.#memberships.byPath(path);
    // A client publishes where it is, so there is a membership.
    if (!membership || this.#closed) return;
    this.#counts.published++;
    if (this.#outbox.add(membership, message, { bytes })) this.#pump();
    else this.#drop(membership);
  }

  async close(): Promise<void> {
    if (this.#closed) return await this.#running;
    const endMs = performance.now() + closing.flushMs;
    while (this.#connected && performance.now() < endMs) {
      // Nobody else can tell of what was rejected.
      this.#outbox.tellRejected();
      this.#pump();
      if (this.#outbox.isEmpty) break;
      await new Promise((resolve) => setTimeout(resolve, closing.lookMs));
    }
    this.#closed = true;
    if (this.#outbox.messages > 0) {
      log.warn("the bridge ends with messages that the broker didn't get", {
        messages: this.#outbox.messages,
      });
    }
    const link = this.#link;
    if (link) {
      await this.#deleteQueue(link);
      await link.close(closing.linkMs);
    }
    this.#stop.resolve();
    // It may be connecting, which ends by itself and finds the bridge closed.
    await Promise.race([
      this.#running,
      new Promise((resolve) => setTimeout(resolve, closing.linkMs)),
    ]);
  }

  get #place(): HostPort {
    return this.#hosts[this.#host % this.#hosts.length]!;
  }

  #whyNot(): string {
    if (this.#link?.blocked !== undefined) {
      return `The broker takes no messages: ${this.#link.blocked}`;
    }
    return this.#connected
      ? "The broker is slow"
      : "The broker can't be reached";
  }

  async #readCa(): Promise<void> {
    const { ca } = this.#options;
    if (ca === undefined) return;
    try {
      this.#ca = await Deno.readTextFile(ca);
    } catch (error) {
      throw new ConfigError(
        `Cannot read "ca" in [bridge]: ${
          error instanceof Deno.errors.NotFound
            ? `there is no file "${ca}"`
            : `the file "${ca}" can't be read`
        }`,
        { cause: error },
      );
    }
  }

  /** Stays connected until the bridge is closed. Never rejects. */
  async #run(first: Link | undefined): Promise<void> {
    let link = first;
    let delayMs: number = retryMs.first;
    while (!this.#closed) {
      link ??= await this.#tryConnect({ first: false });
      if (link) {
        delayMs = retryMs.first;
        await this.#serve(link);
        link = undefined;
        if (this.#closed) break;
      }
      const jitter = 1 + retryMs.jitter * (2 * Math.random() - 1);
      await this.#pause(delayMs * jitter);
      delayMs = Math.min(delayMs * 2, retryMs.last);
    }
  }

  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<void>((resolve) =>
      timer = setTimeout(resolve, ms)
    );
    await Promise.race([over, this.#stop.promise]);
    clearTimeout(timer);
  }

  /** Gets a link on which everything is ready, or `undefined` if that failed. */
  async #tryConnect({ first }: { first: boolean }): Promise<Link | undefined> {
    const endpoint = { ...this.#options.amqp, ...this.#place, ca: this.#ca };
    let link: Link | undefined;
    try {
      link = await Link.open(endpoint, {
        heartbeatS: this.#options.heartbeatS,
        connectTimeoutMs,
        binders,
        exchange: this.#options.exchange,
        listener: this.#linkListener(),
      });
      if (this.#closed) throw new BrokerError("closed");
      this.#link = link;
      this.#sent.clear();
      await this.#setUp(link);
      log.info("bridge connected", { broker: formatHostPort(endpoint) });
      this.#lastTrouble = "";
      return link;
    } catch (error) {
      const reason = error instanceof BrokerError
        ? error
        : new BrokerError(String(error), { cause: error });
      link?.destroy(reason);
      this.#disconnected(reason);
      const refusal = explainRefusal(reason, endpoint);
      if (first && refusal) throw refusal;
      this.#host++;
      const trouble = refusal?.message ?? reason.message;
      // Once is enough, as this comes every two seconds.
      if (trouble !== this.#lastTrouble && !this.#closed) {
        log.warn("bridge can't connect", {
          broker: formatHostPort(endpoint),
          reason: trouble,
        });
      }
      this.#lastTrouble = trouble;
      return undefined;
    }
  }

  /** Makes sure of exchange, queue and bindings, and that messages come through. */
  async #setUp(link: Link): Promise<void> {
    await link.declareExchange();
    await this.#queue.prepare(link, {
      isBound: () => this.#ownKeyIsBound(link),
      onLost: () => {
        log.error("the broker lost this node's queue or its bindings", {
          queue: this.#queue.name,
        });
        this.#watch = new QueueWatch(this.#options.queueBytes);
        this.#memberships.loseBindings();
      },
    });
    await link.consume(this.#queue.name);
    // Shows at the start that this node may publish.
    if (this.#counts.connects === 0) await this.#ownKeyIsBound(link);
  }

  /** Tells whether messages to ourselves have somewhere to go. */
  async #ownKeyIsBound(link: Link): Promise<boolean> {
    const answer = this.#ownKey = Promise.withResolvers<boolean>();
    // While the broker takes no messages there is no answer. Then the first
    // probe after that shows it.
    if (!this.#sendProbe(link)) return true;
    const timer = setTimeout(() => answer.resolve(true), connectTimeoutMs);
    void link.down.then((reason) => answer.reject(reason));
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#ownKey = undefined;
    }
  }

  /** The answer to a mandatory message to ourselves. */
  #ownKey: PromiseWithResolvers<boolean> | undefined;

  /** Uses a link until it is gone. */
  async #serve(link: Link): Promise<void> {
    this.#connected = true;
    this.#counts.connects++;
    const queue = this.#queue.name;
    this.#memberships.attach(
      Array.from({ length: binders }, (_, slot) => ({
        bind: (key) => link.bind(slot, { queue, key }),
        unbind: (key) => link.unbind(slot, { queue, key }),
      })),
    );
    this.#outbox.rewind();
    this.#pump();
    this.#sendProbe();
    const timer = setInterval(() => this.#tick(link), tickMs);
    const reason = await link.down;
    clearInterval(timer);
    this.#doubts.disconnected(performance.now());
    this.#disconnected(reason);
    if (isTooBig(reason)) this.#outbox.giveUpLargest();
    if (!this.#closed) {
      this.#lastTrouble = reason.message;
      log.warn("bridge connection lost", {
        broker: formatHostPort(this.#place),
        reason: reason.message,
      });
    }
  }

  #disconnected({ detail }: BrokerError): void {
    if (detail.unreadable) this.#queue.giveUp();
    this.#connected = false;
    this.#link = undefined;
    this.#sent.clear();
    this.#probes.clear();
    this.#memberships.detach();
  }

  #tick(link: Link): void {
    this.#outbox.tellRejected();
    this.#pump();
    const [oldest] = this.#sent.values();
    const nowMs = performance.now();
    if (
      oldest && link.blocked === undefined &&
      nowMs - oldest.ms > confirmTimeoutMs
    ) {
      link.destroy(new BrokerError("The broker confirms nothing"));
      return;
    }
    if (this.#probes.size === 0) this.#sendProbe();
    // All that waited is sent: the outage is over.
    if (this.#outbox.unsent === 0) this.#told.clear();
  }

  #linkListener(): LinkListener {
    return {
      confirmed: (tag, upTo) =>
        this.#answered(tag, upTo, ({ letter }) => {
          if (letter) this.#outbox.confirm(letter);
          else this.#ownKey?.resolve(true);
        }),
      rejected: (tag, upTo) =>
        this.#answered(tag, upTo, ({ letter, probe = 0 }) => {
          if (letter) {
            this.#counts.rejected += letter.messages.length;
            this.#outbox.reject(letter);
          } else {
            this.#probes.failed(probe, "This node's queue is full");
            this.#ownKey?.resolve(true);
          }
        }),
      returned: () => {
        if (this.#ownKey) this.#ownKey.resolve(false);
        // Set up again, which finds what is missing.
        else this.#link?.destroy(new BrokerError("bindings are gone"));
      },
      blocked: () => this.#ownKey?.resolve(true),
      ready: () => this.#pump(),
      received: (delivery) => this.#receive(delivery),
    };
  }

  /** Sends what may be sent. */
  #pump(): void {
    const link = this.#link;
    if (!this.#connected || !link) return;
    try {
      while (link.isReady && this.#sent.size < maxUnconfirmed) {
        const letter = this.#outbox.take();
        if (!letter) return;
        const { key, kind, sequence, since } = letter;
        const envelope = { kind, node: this.#node, sequence, since };
        const tag = link.publish(
          { key, body: bodyOf(letter) },
          writeEnvelope(envelope),
        );
        this.#sent.set(tag, { letter, ms: performance.now() });
      }
    } catch (error) {
      // The letter counts as sent, and is sent again on the next link.
      link.destroy(new BrokerError(String(error), { cause: error }));
    }
  }

  #answered(
    tag: number,
    upTo: boolean,
    answer: (sent: Sent) => void,
  ): void {
    const one = (tag: number): void => {
      const sent = this.#sent.get(tag);
      this.#sent.delete(tag);
      if (sent) answer(sent);
    };
    if (!upTo) one(tag);
    else {
      for (const earlier of this.#sent.keys()) {
        if (earlier > tag) break;
        one(earlier);
      }
    }
    this.#pump();
  }

  /** Sends a message to ourselves; gets when it is back, or `undefined` if that can't be now. */
  #sendProbe(
    link = this.#connected ? this.#link : undefined,
  ): Promise<number> | undefined {
    if (!link?.isReady) return undefined;
    const sequence = ++this.#probeNumber;
    const ms = performance.now();
    const envelope = {
      kind: "probe",
      node: this.#node,
      sequence,
      since: 0,
    } as const;
    const properties = { ...writeEnvelope(envelope), transient: true };
    try {
      for (const key of this.#connected ? this.#doubts.ask(sequence) : []) {
        this.#sent.set(link.publish({ key, body: "" }, properties), { ms });
      }
      const tag = link.publish({ key: this.#queue.ownKey, body: "" }, {
        ...properties,
        mandatory: true,
      });
      this.#sent.set(tag, { probe: sequence, ms });
    } catch (error) {
      link.destroy(new BrokerError(String(error), { cause: error }));
      return undefined;
    }
    return this.#probes.sent(sequence, { ms, received: this.#watch.received });
  }

  /** Takes a message from the broker. Never throws. */
  #receive({ key, properties, body }: Delivery): void {
    this.#watch.receive(body.byteLength);
    const envelope = readEnvelope(properties);
    // Our own come back, too: the exchange has no way to leave one queue out.
    if (properties.appId === this.#node && key !== this.#queue.ownKey) {
      if (envelope?.kind === "probe") {
        this.#doubts.answered(envelope.sequence, key);
      }
      return;
    }
    if (!envelope) return;
    if (envelope.kind === "probe") return this.#probeReturned(envelope);
    if (key === everyNode) return this.#noticeForAll(envelope, body);
    const membership = this.#memberships.byKey(key);
    if (!membership) return;
    // It may be here before the broker's answer to the bind.
    if (membership.missed) this.#memberships.tellMissed(membership);
    if (envelope.kind === "lost" || envelope.kind === "rejected") {
      const missing = membership.tracker.notice(
        envelope,
        () => this.#mayHaveBeenFull(membership, body),
      );
      if (missing) this.#gap(membership, `a node reports "${envelope.kind}"`);
      return;
    }
    const verdict = membership.tracker.message(
      envelope,
      this.#memberships.mayHaveLeftovers(membership),
    );
    if (verdict === "duplicate") {
      this.#counts.duplicates++;
      return;
    }
    if (verdict === "gap") this.#gap(membership, "messages are missing");
    const { path } = membership;
    switch (envelope.kind) {
      case "text":
        return this.#deliver(path, toText(body), body.byteLength);
      case "binary":
        return this.#deliver(path, body, body.byteLength);
      case "batch":
        return this.#deliverBatch(membership, body);
    }
  }

  #deliver(path: string, message: Message, bytes: number): void {
    this.#counts.received++;
    this.#listener!.deliver(path, message, bytes);
  }

  #deliverBatch(membership: Membership, body: Uint8Array<ArrayBuffer>): void {
    let messages;
    try {
      messages = readBatch(body);
    } catch {
      // Not written by staps.
      return this.#gap(membership, "a batch can't be read");
    }
    for (const { message, bytes } of messages) {
      this.#deliver(membership.path, message, bytes);
    }
  }

  #probeReturned({ node, sequence }: Envelope): void {
    if (node !== this.#node) return;
    this.#memberships.probed(sequence);
    this.#doubts.end(sequence);
    const probe = this.#probes.returned(sequence);
    if (probe) this.#watch.probed(probe);
  }

  #noticeForAll({ kind }: Envelope, body: Uint8Array<ArrayBuffer>): void {
    // Nodes tell everyone nothing else: somebody else wrote it.
    if (kind !== "lost" && kind !== "rejected") return;
    for (const membership of [...this.#memberships.wanted()]) {
      if (kind === "lost" || this.#mayHaveBeenFull(membership, body)) {
        this.#gap(membership, `a node reports "${kind}" for many channels`);
      }
    }
  }

  /** Whether this node's queue may have rejected what a notice is about, which has the size as its body. */
  #mayHaveBeenFull(
    { joinedMs }: Membership,
    body: Uint8Array<ArrayBuffer>,
  ): boolean {
    const bytes = Number(toText(body));
    return this.#watch.mayHaveBeenFull(
      joinedMs,
      // Somebody else wrote it: be careful.
      Number.isNaN(bytes) ? Infinity : bytes,
    );
  }

  /** The outbox had no room for a message of this channel. */
  #drop(membership: Membership): void {
    this.#counts.dropped++;
    // A notice follows to the other nodes. Clients of this one are told once an
    // outage, or they would be closed again and again while it lasts.
    if (this.#told.has(membership.key) || this.#told.size >= maxTold) return;
    this.#told.add(membership.key);
    this.#gap(membership, "the outbox is full");
  }

  #gap({ path }: Membership, reason: string): void {
    this.#counts.gaps++;
    log.warn("messages of a channel may be lost", {
      channel: channelHash(path),
      reason,
    });
    if (this.#options.onGap === "close") this.#listener!.gap([path]);
  }

  async #deleteQueue(link: Link): Promise<void> {
    if (!this.#queue.exists) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) =>
      timer = setTimeout(resolve, closing.deleteMs)
    );
    // If it fails the queue expires by itself.
    await Promise.race([
      link.deleteQueue(this.#queue.name, { isConsumed: true }).catch(() => {}),
      late,
    ]);
    clearTimeout(timer);
  }
}

/** Gets the brokers to try in turn, each with its port. */
export function brokerHosts(
  { amqp, hosts }: Pick<AmqpBridgeOptions, "amqp" | "hosts">,
): HostPort[] {
  const some = hosts.length > 0 ? hosts : [amqp];
  return some.map(({ hostname, port = defaultBrokerPort(amqp) }) => ({
    hostname,
    port,
  }));
}

/** Whether the broker refused a message for its size: rabbitmq.conf, `max_message_size`. */
function isTooBig({ detail }: BrokerError): boolean {
  return detail.code === replyCodes.preconditionFailed &&
    detail.access?.right === "write" && detail.access.kind === "exchange";
}

/** So many channels whose clients were told are remembered. */
const maxTold = 100_000;

/** A letter's body. A notice's is the size of the largest letter concerned. */
function bodyOf({ kind, messages, bytes }: Letter): Message {
  if (kind === "batch") return writeBatch(messages, bytes);
  return messages[0] ?? String(bytes);
}

/** Unlike TextDecoder's, this keeps a byte order mark. */
function toText(body: Uint8Array<ArrayBuffer>): string {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
}

function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)))
    .toString("hex");
}
