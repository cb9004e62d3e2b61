/**
 * The bridge between nodes through RabbitMQ, docs/bridge.md: every node has a
 * durable queue, and the queue a binding for every channel that the node is in.
 *
 * This connects the parts: `connector.ts` (a link to a broker, and the next one
 * when it is lost), `sender.ts` (to the other nodes), `receiver.ts` (from them),
 * `memberships.ts` (which channels), `probe.ts` (whether all that works),
 * `peers.ts` (whether the others are there), `agreement.ts` (whether their
 * messages come here) and `posts.ts` (what became of a POST).
 */
import { Buffer } from "node:buffer";
import { log } from "../common/log.ts";
import { within } from "../common/timing.ts";
import type {
  Bridge,
  BridgeHealth,
  BridgeListener,
  BridgeState,
  Posted,
} from "../relay/bridge.ts";
import { channelHash } from "../relay/channel_hash.ts";
import type { Message } from "../relay/message.ts";
import { Agreement } from "./agreement.ts";
import { Answers } from "./answers.ts";
import type { BrokerError } from "./broker_error.ts";
import { Connector, type ConnectorOptions } from "./connector.ts";
import { Link } from "./link.ts";
import type { Membership } from "./membership.ts";
import { Memberships } from "./memberships.ts";
import { NodeQueue, type NodeQueueOptions } from "./node_queue.ts";
import { Numbers } from "./numbers.ts";
import { Peers } from "./peers.ts";
import { Posts } from "./posts.ts";
import { Preparation } from "./preparation.ts";
import { Probe } from "./probe.ts";
import { QueueWatch } from "./queue_watch.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";

/** Settings of {@linkcode AmqpBridge}: `amqp` in `[staps]`, and `[bridge]`. */
export interface AmqpBridgeOptions extends ConnectorOptions, NodeQueueOptions {
  readonly hosts: ConnectorOptions["hosts"];
  readonly exchange: string;
  /** Whether clients are told when messages of their channel may be lost. */
  readonly onGap: "close" | "continue";
  readonly outboxBytes: number;
  readonly heartbeatS: number;
  readonly joinTimeoutS: number;
  /** See {@linkcode PostsOptions}. */
  readonly settleMs?: number;
}

/** How often the bridge sends itself a message, and looks whether something is stuck. */
const tickMs = 1_000;

/** How long a join waits for the other nodes in a cluster, if `join_timeout_s` allows that. */
const maxAgreementMs = 1_000;

/** How long the closing bridge tries to send what waits, and to delete its queue. */
const closing = { flushMs: 2_000, deleteMs: 1_000 } as const;

/** So many channels whose clients were told of dropped messages are remembered. */
const maxTold = 100_000;

/** Joins this node with all others that use the same exchange. */
export class AmqpBridge implements Bridge, BridgeHealth {
  readonly #options: AmqpBridgeOptions;
  readonly #connector: Connector;
  readonly #queue: NodeQueue;
  readonly #preparation: Preparation;
  readonly #memberships: Memberships;
  readonly #sender: Sender;
  readonly #probe: Probe;
  readonly #numbers: Numbers;
  readonly #agreement: Agreement;
  readonly #answers: Answers;
  readonly #peers: Peers;
  readonly #receiver: Receiver;
  readonly #posts: Posts;
  #listener: BridgeListener | undefined;
  #isClosed = false;
  #ticks: ReturnType<typeof setInterval> | undefined;
  /** Keys of channels whose clients here know that messages were dropped in the present outage. */
  readonly #told = new Set<string>();
  readonly #counts = { published: 0, gaps: 0, dropped: 0 };

  /** Makes a bridge that isn't connected. */
  constructor(options: AmqpBridgeOptions) {
    // Random, so that a restarted node is another one.
    const node = Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .toString("hex");
    this.#options = options;
    const connector = this.#connector = new Connector(options, {
      open: (endpoint) =>
        Link.open(endpoint, {
          heartbeatS: options.heartbeatS,
          exchange: options.exchange,
          sender: this.#sender,
          receiver: this.#receiver,
          probe: this.#probe,
        }),
      prepare: (link) => this.#preparation.prepare(link),
      begin: (link) => this.#begin(link),
      end: (reason) => this.#end(reason),
    });
    const queue = this.#queue = new NodeQueue(node, options);
    const { ownKey } = queue;
    const watch = new QueueWatch(options.queueBytes);
    const joinTimeoutMs = options.joinTimeoutS * 1000;
    const memberships = this.#memberships = new Memberships({
      onOutage: options.onOutage,
      joinTimeoutMs,
      onMissed: (membership) =>
        this.#gap(membership, "the queue or its binding was lost"),
      onDoubtful: (membership) => this.#probe.doubt(membership),
      onBound: (membership) => {
        this.#numbers.joined(membership);
        return this.#agreement.reach(membership);
      },
      latestProbe: () => this.#probe.latest,
    });
    const { outboxBytes } = options;
    const sender = this.#sender = new Sender({
      ...{ node, connector, outboxBytes },
      onCongested: (key, isCongested) => {
        const path = memberships.byKey(key)?.path;
        if (path !== undefined) this.#listener!.congested(path, isCongested);
      },
      onPostAnswered: (sequence, answer) =>
        this.#posts.answered(sequence, answer),
    });
    const { settleMs } = options;
    const posts = this.#posts = new Posts({
      ...{ connector, sender, memberships, settleMs },
    });
    const probe = this.#probe = new Probe({
      ownKey,
      connector,
      sender,
      memberships,
      watch,
      isOnlyConsumer: (link, hasTurn) =>
        this.#preparation.isOnlyConsumer(link, hasTurn),
    });
    this.#preparation = new Preparation({
      ...{ connector, queue, memberships, sender, probe, watch },
    });
    const numbers = this.#numbers = new Numbers({
      connector,
      sender,
      memberships,
      probe,
      onGap: (membership) =>
        this.#gap(membership, "the last messages are missing"),
    });
    const peers = this.#peers = new Peers({
      connector,
      sender,
      queue: () => queue.name,
      hears: () => probe.roundTripMs !== undefined,
      onReturn: (node, startMs) => this.#agreement.nodeReturned(node, startMs),
    });
    const agreement = this.#agreement = new Agreement({
      ...{ node, connector, sender, probe, peers, memberships },
      isCluster: options.hosts.length > 1 || queue.isQuorum,
      waitMs: Math.min(maxAgreementMs, joinTimeoutMs / 2),
      onGap: (membership, reason) => this.#gap(membership, reason),
    });
    const answers = this.#answers = new Answers({
      ...{ connector, sender, memberships },
    });
    this.#receiver = new Receiver({
      node,
      ownKey,
      memberships,
      probe,
      numbers,
      agreement,
      answers,
      peers,
      watch,
      posts,
      onReceived: (envelope, members) => {
        const { link } = connector;
        if (link?.isReady) sender.publishReceipt(link, envelope, members);
      },
      onGap: (membership, reason) => this.#gap(membership, reason),
    });
  }

  state(): BridgeState {
    const { link, broker, problem, connects } = this.#connector;
    const { outbox, unconfirmed } = this.#sender;
    return {
      connected: link !== undefined,
      broker,
      problem,
      blocked: link?.blocked,
      outboxBytes: outbox.bytes,
      outboxMessages: outbox.messages,
      unconfirmed,
      channels: this.#memberships.size,
      joinsWaiting: this.#memberships.waiting,
      roundTripMs: this.#probe.roundTripMs,
      nodes: this.#peers.size,
      isCutOff: this.#peers.isCutOff,
      connects,
      ...this.#counts,
      ...this.#agreement.counts,
      ...this.#sender.counts,
      ...this.#receiver.counts,
    };
  }

  async probe(timeoutMs: number): Promise<number> {
    return await this.#probe.measure(timeoutMs);
  }

  async start(listener: BridgeListener): Promise<void> {
    this.#listener = listener;
    this.#receiver.start(listener);
    await this.#connector.start();
  }

  async join(path: string): Promise<void> {
    await this.#memberships.join(path);
  }

  leave(path: string): void {
    this.#memberships.leave(path);
  }

  publish(path: string, message: Message): void {
    const membership = this.#memberships.byPath(path);
    // A client publishes where it is, so there is a membership.
    if (!membership || this.#isClosed) return;
    this.#counts.published++;
    this.#numbers.sent(membership);
    const hasRoom = this.#sender.publish(membership, message);
    if (!hasRoom) this.#dropped(membership);
  }

  async post(
    path: string,
    message: Message,
    { isReached }: { isReached: boolean },
  ): Promise<Posted> {
    const posted = await this.#posts.post(path, message, { isReached });
    const membership = this.#memberships.byPath(path);
    if (!posted.isGone) {
      this.#counts.published++;
      if (membership?.wanted) this.#numbers.sent(membership);
    } // Members here got it, so the other nodes must get it, too, or be told.
    else if (isReached) this.publish(path, message);
    return posted;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return await this.#connector.ended;
    await this.#sender.flush(closing.flushMs);
    this.#isClosed = true;
    const { link } = this.#connector;
    if (link) this.#peers.leave(link);
    const { messages } = this.#sender.outbox;
    if (messages > 0) {
      log.warn("the bridge ends with messages that the broker didn't get", {
        messages,
      });
    }
    await this.#connector.close((link) => this.#deleteQueue(link));
  }

  #begin(link: Link): void {
    this.#memberships.connected(link, this.#queue.name);
    this.#sender.connected();
    this.#probe.connected(link);
    this.#numbers.connected();
    this.#peers.connected(link);
    this.#answers.flush();
    this.#posts.connected();
    this.#ticks = setInterval(() => this.#tick(link), tickMs);
  }

  #tick(link: Link): void {
    this.#sender.tick(link);
    this.#probe.tick(link);
    this.#numbers.tick();
    this.#peers.tick(link);
    this.#answers.flush();
    this.#agreement.tick();
    this.#endOutage();
  }

  #end(reason: BrokerError): void {
    clearInterval(this.#ticks);
    if (reason.detail.unreadable) this.#queue.giveUp();
    // Another outage may have begun before a tick.
    this.#endOutage();
    this.#sender.disconnected(reason);
    this.#probe.disconnected();
    this.#numbers.disconnected();
    this.#agreement.disconnected();
    this.#posts.disconnected();
    this.#memberships.disconnected();
  }

  async #deleteQueue(link: Link): Promise<void> {
    const { exists, name } = this.#queue;
    if (!exists) return;
    // If it fails the queue expires by itself.
    const deleted = link.deleteQueue(name, { isConsumed: true })
      .catch(() => {});
    await within(deleted, closing.deleteMs);
  }

  /** The outbox had no room for a message of this channel. */
  #dropped(membership: Membership): void {
    this.#counts.dropped++;
    // A notice follows to the other nodes. Clients of this one are told once an
    // outage, or they would be closed again and again while it lasts.
    if (this.#told.has(membership.key) || this.#told.size >= maxTold) return;
    this.#told.add(membership.key);
    this.#gap(membership, "the outbox has no room for a message");
  }

  /** Takes note that the outage is over, if all that waited is sent. */
  #endOutage(): void {
    if (this.#sender.outbox.unsent === 0) this.#told.clear();
  }

  #gap({ path, joins }: Membership, reason: string): void {
    // Nobody is in the channel yet.
    if (joins.length > 0) return;
    this.#counts.gaps++;
    log.warn("messages of a channel may be lost", {
      channel: channelHash(path),
      reason,
    });
    if (this.#options.onGap === "close") this.#listener!.gap([path]);
  }
}
