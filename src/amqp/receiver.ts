/** What comes from the broker: the other nodes' messages and notices, for the clients of this node. */
import { Buffer, isUtf8 } from "node:buffer";
import type { BridgeListener } from "../relay/bridge.ts";
import { makeMessage, makeMessages, type Message } from "../relay/message.ts";
import type { Agreement } from "./agreement.ts";
import type { Answers } from "./answers.ts";
import { readBatch } from "./batch.ts";
import {
  type Envelope,
  type EnvelopeProperties,
  readEnvelope,
} from "./envelope.ts";
import type { Membership } from "./membership.ts";
import type { Memberships } from "./memberships.ts";
import type { Numbers } from "./numbers.ts";
import { everyNode } from "./outbox.ts";
import type { Peers } from "./peers.ts";
import type { Posts } from "./posts.ts";
import type { Probe } from "./probe.ts";
import type { QueueWatch } from "./queue_watch.ts";

/** A message from the broker. Its body lasts. */
export interface Delivery {
  readonly key: string;
  readonly properties:
    & Record<keyof EnvelopeProperties, unknown>
    & { readonly replyTo?: unknown };
  readonly body: Uint8Array<ArrayBuffer>;
}

/** What {@linkcode Receiver} works with. */
export interface ReceiverOptions {
  /** This node's name. */
  readonly node: string;
  /** The routing key of the node's messages to itself. */
  readonly ownKey: string;
  readonly memberships: Memberships;
  readonly probe: Pick<Probe, "passed" | "returned">;
  readonly numbers: Pick<Numbers, "heard">;
  readonly agreement: Pick<Agreement, "answered" | "echoed" | "returned">;
  readonly answers: Pick<Answers, "asked">;
  readonly peers: Pick<Peers, "heard" | "noticed">;
  readonly watch: QueueWatch;
  readonly posts: Pick<Posts, "received">;
  /** Called when a message was handed over whose node wants to know how many members got it. */
  readonly onReceived: (envelope: Envelope, members: number) => void;
  /** Called when messages of a channel were lost, or may have been, with the reason. */
  readonly onGap: (membership: Membership, reason: string) => void;
}

type Body = Delivery["body"];

/** Hands over what other nodes published, each message once. */
export class Receiver {
  readonly #options: ReceiverOptions;
  /** See {@linkcode BridgeState}. */
  readonly counts = { received: 0, duplicates: 0 };
  #listener: BridgeListener | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /** Hands over messages to `listener` from now on. */
  start(listener: BridgeListener): void {
    this.#listener = listener;
  }

  /** Takes what came out of the node's queue. Never throws. */
  receive({ key, properties, body }: Delivery): void {
    const { node, ownKey, memberships, probe, watch } = this.#options;
    watch.receive(body.byteLength);
    const envelope = readEnvelope(properties);
    // Our own come back, too: the exchange has no way to leave one queue out.
    if (properties.appId === node && key !== ownKey) {
      if (envelope) this.#returned(envelope, key);
      return;
    }
    if (!envelope) return;
    if (envelope.kind === "probe") {
      if (envelope.node === node) probe.returned(envelope.sequence);
      return;
    }
    this.#options.peers.noticed(envelope.node);
    if (envelope.kind === "receipt") {
      const { sequence, since: members } = envelope;
      return this.#options.posts.received(sequence, members);
    }
    if (envelope.kind === "hello" || envelope.kind === "digest") {
      return this.#options.numbers.heard(envelope, body);
    }
    if (envelope.kind === "alive" || envelope.kind === "bye") {
      return this.#options.peers.heard(envelope, body);
    }
    const { agreement, answers } = this.#options;
    switch (envelope.kind) {
      case "ask":
        return answers.asked(envelope, body);
      case "answer":
        return agreement.answered(envelope, body);
      case "echo":
        return agreement.echoed(envelope, key, body);
    }
    if (key === everyNode) return this.#noticeForAll(envelope, body);
    const membership = memberships.byKey(key);
    if (!membership?.wanted) return;
    // It may be here before the broker's answer to the bind.
    if (membership.missed) {
      memberships.tellMissed(membership);
      // It may have made all leave: whoever comes next begins with a later one.
      if (!membership.wanted) return;
    }
    if (envelope.kind === "lost" || envelope.kind === "rejected") {
      return this.#notice(membership, envelope, body);
    }
    const isNew = this.#message(membership, envelope, body);
    if (properties.replyTo === undefined || !isNew) return;
    const members = this.#listener!.openCount(membership.path);
    if (members > 0) this.#options.onReceived(envelope, members);
  }

  /** Takes what this node sent through channels' bindings, or to all. */
  #returned({ kind, sequence }: Envelope, key: string): void {
    const { probe, agreement } = this.#options;
    if (kind === "probe") probe.passed(sequence, key);
    else if (kind === "ask") agreement.returned(sequence);
  }

  #notice(membership: Membership, envelope: Envelope, body: Body): void {
    const isMissing = membership.tracker.notice(
      envelope,
      () => this.#mayHaveBeenFull(membership, body),
    );
    if (!isMissing) return;
    this.#options.onGap(membership, `a node reports "${envelope.kind}"`);
  }

  #noticeForAll({ kind }: Envelope, body: Body): void {
    // Nodes tell everyone nothing else: somebody else wrote it.
    if (kind !== "lost" && kind !== "rejected") return;
    const { memberships, onGap } = this.#options;
    for (const membership of [...memberships.wanted()]) {
      if (kind === "lost" || this.#mayHaveBeenFull(membership, body)) {
        onGap(membership, `a node reports "${kind}" for many channels`);
      }
    }
  }

  /** Whether this node's queue may have rejected what a notice is about, which has the size as its body. */
  #mayHaveBeenFull({ joinedMs }: Membership, body: Body): boolean {
    const number = Number(toText(body));
    // If somebody else wrote it: be careful.
    const bytes = Number.isNaN(number) ? Infinity : number;
    return this.#options.watch.mayHaveBeenFull(joinedMs, bytes);
  }

  /** Says whether the message hadn't come before. */
  #message(membership: Membership, envelope: Envelope, body: Body): boolean {
    const { memberships, onGap } = this.#options;
    const verdict = membership.tracker.message(
      envelope,
      memberships.mayHaveLeftovers(membership),
    );
    if (verdict === "duplicate") {
      this.counts.duplicates++;
      return false;
    }
    if (verdict === "gap") onGap(membership, "messages are missing");
    const { path } = membership;
    switch (envelope.kind) {
      case "text":
        this.#deliver(path, makeMessage(asUtf8(body), { isText: true }));
        break;
      case "binary":
        this.#deliver(path, makeMessage(body, { isText: false }));
        break;
      case "batch":
        this.#deliverBatch(membership, body);
    }
    return true;
  }

  #deliverBatch(membership: Membership, body: Body): void {
    let messages;
    try {
      messages = readBatch(body);
    } catch {
      // Not written by staps.
      return this.#options.onGap(membership, "a batch can't be read");
    }
    const contents = messages.map(({ isText, payload }) => ({
      isText,
      payload: isText ? asUtf8(payload) : payload,
    }));
    for (const message of makeMessages(contents)) {
      this.#deliver(membership.path, message);
    }
  }

  #deliver(path: string, message: Message): void {
    this.counts.received++;
    this.#listener!.deliver(path, message);
  }
}

/** Gets `bytes`, or what is left of them if somebody else than staps wrote no UTF-8: clients get none. */
function asUtf8(bytes: Body): Body {
  return isUtf8(bytes) ? bytes : Buffer.from(toText(bytes));
}

/** Unlike TextDecoder's, this keeps a byte order mark. */
function toText(body: Body): string {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
}
