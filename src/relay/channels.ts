/** Who is in which channel, and the fan-out of a message to them. */
import { Sent } from "./backlog.ts";
import type { Bridge, BridgeListener } from "./bridge.ts";
import type { CloseName } from "./close.ts";
import type { Message } from "./message.ts";
import type { Metrics } from "./metrics.ts";

/** Where a member's messages go: its connection, or what stands in for one that isn't open yet. */
export interface Sink {
  /** Takes a message. Must neither wait nor throw. */
  send(message: Message): void;
}

/** Somebody who gets what is published in a channel. */
export interface Member {
  readonly sink: Sink;

  /**
   * Leaves the channel if too much waits for it. Called now and then, before a message is sent.
   *
   * @param added The payload of that message in bytes, if this member is to get it.
   */
  checkBacklog(added: number | undefined): void;

  /** Ends the membership for a reason of staps's. */
  end(why: CloseName): void;
}

/** Everyone on this node who is connected to one path. */
export class Channel {
  /** The URL's path. A secret: it goes to the bridge, and nowhere else. */
  readonly path: string;
  /**
   * Those who get messages, some of whose handshakes may not be answered yet.
   * By their sinks: a message goes to those, and needs nothing else of a member.
   */
  readonly members = new Map<Sink, Member>();
  /** What was sent to them. */
  readonly sent = new Sent();
  /** Resolves when the bridge carries the channel; rejects with what {@linkcode Bridge.join} does. */
  readonly bridged: Promise<void>;

  constructor(path: string, bridged: Promise<void>) {
    this.path = path;
    this.bridged = bridged;
  }
}

/** A node's channels, from the first member of each to the last. */
export class Channels implements BridgeListener {
  readonly #bridge: Bridge;
  readonly #metrics: Metrics;
  readonly #limits: { readonly clientBufferBytes: number };
  readonly #channels = new Map<string, Channel>();

  constructor(
    options: {
      bridge: Bridge;
      metrics: Metrics;
      /** A reload changes the object in place. */
      limits: { readonly clientBufferBytes: number };
    },
  ) {
    this.#bridge = options.bridge;
    this.#metrics = options.metrics;
    this.#limits = options.limits;
  }

  /** The number of channels with a member on this node. */
  get size(): number {
    return this.#channels.size;
  }

  /** Gets the number of members that the channel `path` has on this node. */
  memberCount(path: string): number {
    return this.#channels.get(path)?.members.size ?? 0;
  }

  /**
   * Makes `member` a member of the channel `path`, which begins with its first.
   *
   * From now on `member` gets what clients of this node publish, and nobody can
   * end the channel under a newcomer. Once {@linkcode Channel.bridged} resolves,
   * it gets what clients of other nodes publish, too; if it rejects, `member`
   * has to leave.
   */
  join(path: string, member: Member): Channel {
    let channel = this.#channels.get(path);
    if (channel === undefined) {
      channel = new Channel(path, this.#bridge.join(path));
      this.#channels.set(path, channel);
    }
    channel.members.set(member.sink, member);
    return channel;
  }

  /** Sends what comes from now on to the new sink of `member`, instead of to `old`. */
  replaceSink(channel: Channel, member: Member, old: Sink): void {
    if (channel.members.delete(old)) channel.members.set(member.sink, member);
  }

  /** Ends a membership; the channel ends with its last one. Does nothing the second time. */
  leave(channel: Channel, member: Member): void {
    if (!channel.members.delete(member.sink) || channel.members.size > 0) {
      return;
    }
    this.#channels.delete(channel.path);
    this.#bridge.leave(channel.path);
  }

  /** Sends a message from `sender` to every other member, here and on other nodes. */
  publish(
    channel: Channel,
    { message, bytes, sender }: {
      message: Message;
      bytes: number;
      sender: Member;
    },
  ): void {
    this.#fanOut(channel, message, bytes, sender);
    this.#bridge.publish(channel.path, message, bytes);
  }

  /** Sends a message from another node to every member here. */
  deliver(path: string, message: Message, bytes: number): void {
    const channel = this.#channels.get(path);
    if (channel !== undefined) this.#fanOut(channel, message, bytes, undefined);
  }

  /** Ends the memberships of everyone who may have missed a message. */
  gap(paths: Iterable<string> | "all"): void {
    for (const path of paths === "all" ? [...this.#channels.keys()] : paths) {
      const members = this.#channels.get(path)?.members.values() ?? [];
      for (const member of members) member.end("gap");
    }
  }

  #fanOut(
    channel: Channel,
    message: Message,
    bytes: number,
    sender: Member | undefined,
  ): void {
    const { members, sent } = channel;
    if (sent.add(bytes, this.#limits.clientBufferBytes)) {
      for (const member of members.values()) {
        member.checkBacklog(member === sender ? undefined : bytes);
      }
    }
    const own = sender?.sink;
    let receivers = 0;
    for (const sink of members.keys()) {
      if (sink === own) continue;
      sink.send(message);
      receivers++;
    }
    this.#metrics.fanOut.observe(receivers);
    this.#metrics.bytesDelivered += receivers * bytes;
  }
}
