/** What goes to the broker: the outbox's entries, and the broker's answers to them. */
import { sleep } from "../common/timing.ts";
import type { Message } from "../relay/message.ts";
import { writeBatch } from "./batch.ts";
import { BrokerError, replyCodes } from "./broker_error.ts";
import type { Connector } from "./connector.ts";
import { type Entry, isNotice, type Numbered } from "./entry.ts";
import { type Envelope, readEnvelope, writeEnvelope } from "./envelope.ts";
import type { Link } from "./link.ts";
import type { Membership } from "./membership.ts";
import { nodeKey } from "./node_queue.ts";
import { Outbox } from "./outbox.ts";
import type { Posts } from "./posts.ts";
import { SentLog } from "./sent_log.ts";

/**
 * No more entries than this are on their way to the broker, or being written to
 * its disk. Far more than a steady flow needs; beyond it messages share entries.
 */
const maxUnconfirmed = 200;

/**
 * Messages that stay unconfirmed for so long mean that something is stuck;
 * sooner, if the broker has confirmed a later message to ourselves, or confirms
 * none at all. In milliseconds.
 */
const confirmTimeoutMs = {
  alone: 30_000,
  overtaken: 10_000,
  mute: 10_000,
} as const;

/** How often {@linkcode Sender.flush} looks whether all is sent. */
const flushLookMs = 20;

/** A message of a node to itself, see `probe.ts`. */
export interface ProbeMessage {
  readonly key: string;
  readonly number: number;
  /** Whether {@linkcode Probe.unroutable} is called if it has nowhere to go. */
  readonly mandatory: boolean;
  /** Called with whether the queues took it. */
  readonly onAnswer: (isTaken: boolean) => void;
}

/** What a node tells others of itself. */
export interface News {
  readonly kind:
    | "hello"
    | "digest"
    | "alive"
    | "bye"
    | "ask"
    | "answer"
    | "echo";
  readonly key: string;
  readonly body: Uint8Array<ArrayBuffer>;
  /** What the kind says with them, see `Envelope`; 0 if left out. */
  readonly sequence?: number;
  readonly since?: number;
}

/** What {@linkcode Sender} works with. */
export interface SenderOptions {
  readonly node: string;
  readonly connector: Pick<Connector, "link">;
  readonly outboxBytes: number;
  /** See {@linkcode BridgeListener.congested}; `key` is the channel's routing key. */
  readonly onCongested: (key: string, isCongested: boolean) => void;
  /** See {@linkcode Posts.answered}. */
  readonly onPostAnswered?: Posts["answered"];
}

/** What was published, and isn't confirmed. */
interface Unconfirmed {
  /** An entry, or what a message of the node to itself calls. */
  readonly what: Entry | ProbeMessage["onAnswer"];
  readonly sentMs: number;
  /** Whether the broker had nowhere to put it. */
  isReturned?: boolean;
}

/** Publishes what the other nodes are to get, in order, until the broker has it. */
export class Sender {
  /** See {@linkcode BridgeState}. */
  readonly counts = { rejected: 0 };
  readonly #node: string;
  readonly #connector: Pick<Connector, "link">;
  readonly #outbox: Outbox;
  readonly #sentLog = new SentLog();
  readonly #onCongested: SenderOptions["onCongested"];
  readonly #onPostAnswered: SenderOptions["onPostAnswered"];
  #answers = 0;
  #answeredMs = -Infinity;
  /** When the latest message to ourselves that was confirmed was sent. */
  #confirmedProbeMs = -Infinity;
  /** By tag, the oldest first. */
  readonly #unconfirmed = new Map<number, Unconfirmed>();

  constructor(options: SenderOptions) {
    const { node, connector, outboxBytes, onCongested } = options;
    this.#node = node;
    this.#onPostAnswered = options.onPostAnswered;
    this.#connector = connector;
    this.#outbox = new Outbox({
      maxBytes: outboxBytes,
      onCaughtUp: (key) => onCongested(key, false),
    });
    this.#onCongested = onCongested;
  }

  /** What waits for the broker. */
  get outbox(): Pick<Outbox, "bytes" | "messages" | "unsent"> {
    return this.#outbox;
  }

  /** How often the broker has answered. */
  get answers(): number {
    return this.#answers;
  }

  /** How many messages were published and not confirmed. */
  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  /** Sends a client's message as soon as may be. Gets `false` if it had to be given up. */
  publish(membership: Membership, message: Message): boolean {
    const hasRoom = this.#outbox.add(membership, message);
    if (hasRoom) this.pump();
    const { key } = membership;
    if (this.#outbox.isBehind(key)) this.#onCongested(key, true);
    return hasRoom;
  }

  /**
   * Sends a message as soon as may be, and asks who gets it. Gets the number of
   * its entry, or `undefined` if there is no room: then nothing was sent.
   */
  post(channel: Numbered, message: Message): number | undefined {
    if (!this.#outbox.hasRoom(channel.key, message)) return undefined;
    this.#outbox.add(channel, message, { isPosted: true });
    this.pump();
    return channel.lastSequence;
  }

  /** Tells the node that published `envelope` how many members got it. */
  publishReceipt(
    link: Link,
    { node, sequence }: Envelope,
    members: number,
  ): void {
    const receipt = {
      kind: "receipt",
      node: this.#node,
      sequence,
      since: members,
    } as const;
    const tag = link.publish({ key: nodeKey(node), body: nothing }, {
      ...writeEnvelope(receipt),
      transient: true,
    });
    // Without it, that node says that it doesn't know.
    this.#unconfirmed.set(tag, { what: () => {}, sentMs: performance.now() });
  }

  /** Takes note that the broker has nowhere to put an entry; its answer follows. */
  returned(properties: Parameters<typeof readEnvelope>[0]): void {
    const sequence = readEnvelope(properties)?.sequence;
    for (const unconfirmed of this.#unconfirmed.values()) {
      const { what } = unconfirmed;
      if (typeof what === "object" && what.sequence === sequence) {
        unconfirmed.isReturned = true;
      }
    }
  }

  /** Publishes what may be published now. */
  pump(): void {
    const { link } = this.#connector;
    while (link?.isReady && this.#unconfirmed.size < maxUnconfirmed) {
      const entry = this.#outbox.take();
      if (!entry) return;
      const { key, kind, sequence, since, isPosted = false } = entry;
      const envelope = { kind, node: this.#node, sequence, since };
      const tag = link.publish({ key, body: bodyOf(entry) }, {
        ...writeEnvelope(envelope),
        mandatory: isPosted,
        wantsReceipt: isPosted,
      });
      const sentMs = performance.now();
      this.#unconfirmed.set(tag, { what: entry, sentMs });
      if (!isNotice(kind)) this.#sentLog.add(sequence, sentMs);
    }
  }

  /** See {@linkcode Outbox.lastOf}. */
  lastOf(channel: Membership): number | undefined {
    return this.#outbox.lastOf(channel);
  }

  /** See {@linkcode Outbox.sentUpTo}. */
  get sentUpTo(): number {
    return this.#outbox.sentUpTo;
  }

  /** See {@linkcode SentLog.sentBefore}. */
  sentBefore(ms: number): number {
    return this.#sentLog.sentBefore(ms);
  }

  /** Publishes what this node tells others of itself on `link`, which has to be ready. */
  publishNews(
    link: Link,
    { kind, key, body, sequence = 0, since = 0 }: News,
  ): void {
    const envelope = { kind, node: this.#node, sequence, since };
    const tag = link.publish({ key, body }, {
      ...writeEnvelope(envelope),
      transient: true,
    });
    // It is told again.
    this.#unconfirmed.set(tag, { what: () => {}, sentMs: performance.now() });
  }

  /** Publishes a message to ourselves on `link`, which has to be ready. */
  publishProbe(
    link: Link,
    { key, number, mandatory, onAnswer }: ProbeMessage,
  ): void {
    const envelope = {
      kind: "probe",
      node: this.#node,
      sequence: number,
      since: 0,
    } as const;
    const tag = link.publish({ key, body: nothing }, {
      ...writeEnvelope(envelope),
      transient: true,
      mandatory,
    });
    this.#unconfirmed.set(tag, { what: onAnswer, sentMs: performance.now() });
  }

  /**
   * The broker answers the message `tag`, or all up to it that it hasn't
   * answered: every queue has it, or at least one didn't take it.
   */
  answered(
    { tag, upTo, isTaken }: { tag: number; upTo: boolean; isTaken: boolean },
  ): void {
    this.#answers++;
    this.#answeredMs = performance.now();
    if (upTo) {
      for (const earlier of this.#unconfirmed.keys()) {
        if (earlier > tag) break;
        this.#answer(earlier, isTaken);
      }
    } else this.#answer(tag, isTaken);
    this.pump();
  }

  #answer(tag: number, isTaken: boolean): void {
    const answered = this.#unconfirmed.get(tag);
    this.#unconfirmed.delete(tag);
    if (answered === undefined) return;
    const { what, sentMs, isReturned = false } = answered;
    if (typeof what === "function") {
      if (isTaken) this.#confirmedProbeMs = sentMs;
      what(isTaken);
      return;
    }
    if (isTaken) this.#outbox.confirm(what, { isReturned });
    else {
      this.counts.rejected += what.messages.length;
      this.#outbox.reject(what);
    }
    if (what.isPosted) {
      this.#onPostAnswered?.(what.sequence, { isTaken, isReturned });
    }
  }

  /** Publishes all that isn't confirmed again, now that there is a connection. */
  connected(): void {
    this.#outbox.rewind();
    this.pump();
  }

  /** Forgets what was on its way, after the connection was lost. */
  disconnected(reason: BrokerError): void {
    this.#unconfirmed.clear();
    if (!isTooBig(reason)) return this.#outbox.limitEntries(undefined);
    // Learnt once, or each letter of a backlog would cost a connection.
    const maxBytes = /max size (\d+)/.exec(reason.message)?.[1];
    if (maxBytes === undefined) this.#outbox.giveUpLargest();
    else this.#outbox.limitEntries(Number(maxBytes));
  }

  /** To be called about once a second: sends notices, and breaks off a link that confirms nothing. */
  tick(link: Link): void {
    this.#outbox.addRejectedNotices();
    this.pump();
    const [oldest] = this.#unconfirmed.values();
    if (!oldest || link.blocked !== undefined) return;
    const { sentMs } = oldest;
    const nowMs = performance.now();
    const isOvertaken = sentMs < this.#confirmedProbeMs;
    const timeoutMs = confirmTimeoutMs[isOvertaken ? "overtaken" : "alone"];
    const isMute =
      nowMs - Math.max(sentMs, this.#answeredMs) > confirmTimeoutMs.mute;
    if (!isMute && nowMs - sentMs <= timeoutMs) return;
    const reason = isMute
      ? "The broker confirms nothing"
      : "The broker confirms later messages, and not earlier ones";
    link.destroy(new BrokerError(reason, { late: isMute }));
  }

  /** Resolves when the broker has everything, or is away, or after `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    while (this.#connector.link && performance.now() < endMs) {
      // No other node can tell of what was rejected.
      this.#outbox.addRejectedNotices();
      this.pump();
      if (this.#outbox.isEmpty) return;
      await sleep(flushLookMs);
    }
  }
}

/** Whether the broker refused a message for its size: rabbitmq.conf, `max_message_size`. */
function isTooBig({ detail: { code, access } }: BrokerError): boolean {
  return code === replyCodes.preconditionFailed &&
    access?.right === "write" && access.kind === "exchange";
}

/** An entry's body. A notice's is the size of the largest entry concerned. */
function bodyOf({ kind, messages, bytes }: Entry): Uint8Array<ArrayBuffer> {
  if (kind === "batch") return writeBatch(messages);
  return messages[0]?.payload ?? new TextEncoder().encode(String(bytes));
}

const nothing = new Uint8Array(0);
