/** Which clients are in which channel, and sending a message to all of them. */
import { Traffic } from "./backlog.ts";
import type { Bridge, BridgeListener } from "./bridge.ts";
import type { Client, Sink } from "./client.ts";
import type { Limits } from "./limits.ts";
import type { Message } from "./message.ts";
import type { Metrics } from "./metrics.ts";

/** Everyone on this node who is connected to one path. */
export class Channel {
  /** The URL's path. A secret: it goes to the bridge, and nowhere else. */
  readonly path: string;
  /**
   * The clients, some of whose handshakes may not be answered yet, by their
   * sinks: a message goes to those, and needs nothing else of a client.
   */
  readonly members = new Map<Sink, Client>();
  /** What was sent to them. */
  readonly traffic = new Traffic();
  /** Resolves when the bridge carries the channel; rejects with what {@linkcode Bridge.join} does. */
  readonly bridged: Promise<void>;

  constructor(path: string, bridged: Promise<void>) {
    this.path = path;
    this.bridged = bridged;
  }

  /** Sends what comes from now on to the new sink of `client`, instead of to `old`; not if it has left. */
  replaceSink(client: Client, old: Sink): void {
    if (this.members.delete(old)) this.members.set(client.sink, client);
  }
}

/** A node's channels, from the first client of each to the last. */
export class Channels implements BridgeListener {
  readonly #bridge: Bridge;
  readonly #metrics: Metrics;
  readonly #limits: Limits;
  readonly #channels = new Map<string, Channel>();

  constructor(
    options: { bridge: Bridge; metrics: Metrics; limits: Limits },
  ) {
    this.#bridge = options.bridge;
    this.#metrics = options.metrics;
    this.#limits = options.limits;
  }

  /** The number of channels with a client on this node. */
  get size(): number {
    return this.#channels.size;
  }

  /** Gets the number of clients that the channel `path` has on this node. */
  memberCount(path: string): number {
    return this.#channels.get(path)?.members.size ?? 0;
  }

  /**
   * Makes `client` a member of the channel `path`, which begins with its first.
   *
   * From now on `client` gets what clients of this node publish, and nobody can
   * end the channel under a newcomer. Once {@linkcode Channel.bridged} resolves,
   * it gets what clients of other nodes publish, too; if it rejects, `client`
   * has to leave.
   */
  join(path: string, client: Client): Channel {
    let channel = this.#channels.get(path);
    if (channel === undefined) {
      channel = new Channel(path, this.#bridge.join(path));
      this.#channels.set(path, channel);
    }
    channel.members.set(client.sink, client);
    return channel;
  }

  /** Ends a membership; the channel ends with its last one. Does nothing the second time. */
  leave(channel: Channel, client: Client): void {
    if (!channel.members.delete(client.sink) || channel.members.size > 0) {
      return;
    }
    this.#channels.delete(channel.path);
    this.#bridge.leave(channel.path);
  }

  /** Sends a message from `sender` to every other client, here and on other nodes. */
  publish(
    channel: Channel,
    { message, bytes, sender }: {
      message: Message;
      bytes: number;
      sender: Client;
    },
  ): void {
    this.#fanOut(channel, message, bytes, sender);
    this.#bridge.publish(channel.path, message, bytes);
  }

  /** Sends a message from another node to every client here. */
  deliver(path: string, message: Message, bytes: number): void {
    const channel = this.#channels.get(path);
    if (channel !== undefined) this.#fanOut(channel, message, bytes);
  }

  /** Ends every client that may have missed a message. */
  gap(paths: Iterable<string> | "all"): void {
    for (const path of paths === "all" ? [...this.#channels.keys()] : paths) {
      const members = this.#channels.get(path)?.members.values() ?? [];
      for (const client of members) client.end("gap");
    }
  }

  #fanOut(
    channel: Channel,
    message: Message,
    bytes: number,
    sender?: Client,
  ): void {
    const { members, traffic } = channel;
    if (traffic.add(bytes, this.#limits.clientBufferBytes)) {
      for (const client of members.values()) {
        client.checkBacklog(client === sender ? undefined : bytes);
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
