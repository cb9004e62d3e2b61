/** Who is in which channel, and the fan-out of a message to them. */
import { payloadBytes } from "../listener/frames.ts";
import type { Bridge, BridgeListener } from "./bridge.ts";
import { Brake, type HeldSender } from "./brake.ts";
import type { Client } from "./client.ts";
import type { Limits } from "./limits.ts";
import type { Message } from "./message.ts";
import type { Metrics } from "./metrics.ts";
import { maxTurnBytes, Turn } from "./turn.ts";

/** How often it is looked for how long readers, or the bridge, have been behind, in milliseconds. */
const tickMs = 250;

/** Everyone on this node who is connected to one path. */
export class Channel {
  /** The URL's path. A secret: it goes to the bridge, and nowhere else. */
  readonly path: string;
  /** Those who get messages, some of whose handshakes may not be answered yet. */
  readonly members = new Set<Client>();
  /** Resolves when the bridge carries the channel; rejects with what {@linkcode Bridge.join} does. */
  readonly bridged: Promise<void>;
  /** What nobody got yet. */
  readonly turn = new Turn();
  /** Only there once a member was behind, or the bridge. */
  brake: Brake | undefined;

  constructor(path: string, bridged: Promise<void>) {
    this.path = path;
    this.bridged = bridged;
  }
}

/** A node's channels, from the first member of each to the last. */
export class Channels implements BridgeListener {
  readonly #bridge: Bridge;
  readonly #metrics: Metrics;
  readonly #limits: Limits;
  readonly #channels = new Map<string, Channel>();
  /** Those with a turn that isn't over. */
  #turns: Channel[] = [];
  /** Those whose brake is on. */
  readonly #braked = new Set<Channel>();
  /** Called when a member of the channel opens, by path. */
  readonly #awaited = new Map<string, Set<() => void>>();
  /** Runs while somebody is behind. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    { bridge, metrics, limits }: {
      bridge: Bridge;
      metrics: Metrics;
      /** A reload changes the object in place. */
      limits: Limits;
    },
  ) {
    this.#bridge = bridge;
    this.#metrics = metrics;
    this.#limits = limits;
  }

  /** The number of channels with a member on this node. */
  get size(): number {
    return this.#channels.size;
  }

  /** Gets the number of members that the channel `path` has on this node. */
  memberCount(path: string): number {
    return this.#channels.get(path)?.members.size ?? 0;
  }

  /** Gets how many of them have opened: those are there, whatever becomes of the others' handshakes. */
  openCount(path: string): number {
    let count = 0;
    for (const { isOpen } of this.#channels.get(path)?.members ?? []) {
      if (isOpen) count++;
    }
    return count;
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
    // What was published before isn't for the newcomer.
    this.#endTurn(channel);
    channel.members.add(client);
    return channel;
  }

  /** Ends a membership; the channel ends with its last one. Does nothing the second time. */
  leave(channel: Channel, client: Client): void {
    if (!channel.members.delete(client)) return;
    channel.brake?.forget(client);
    if (channel.members.size > 0) return;
    this.#channels.delete(channel.path);
    this.#bridge.leave(channel.path);
  }

  /**
   * Gets whether `sender` has to wait with its next message: somebody in its
   * channel is behind, or the bridge. {@linkcode Client.resume} ends it.
   */
  holds({ brake }: Channel, sender: Client): boolean {
    if (!brake?.isOn) return false;
    brake.hold(sender);
    return true;
  }

  /** Sends a message of `sender` to every other member, here and on other nodes. */
  publish(channel: Channel, message: Message, sender: Client): void {
    this.#fanOut(channel, message, sender);
    this.#bridge.publish(channel.path, message);
  }

  /** Does what {@linkcode holds} does, for somebody who isn't a member of the channel `path`; {@linkcode forgetPost} ends it. */
  holdPost(path: string, sender: HeldSender): boolean {
    const brake = this.#channels.get(path)?.brake;
    if (!brake?.isOn) return false;
    brake.hold(sender);
    return true;
  }

  /** Ends what {@linkcode holdPost} began. */
  forgetPost(path: string, sender: HeldSender): void {
    this.#channels.get(path)?.brake?.unhold(sender);
  }

  /** Sends a message of somebody who isn't a member to every member here. */
  post(path: string, message: Message): void {
    const channel = this.#channels.get(path);
    if (channel !== undefined) this.#fanOut(channel, message, undefined);
  }

  /** Takes note that a member's handshake is answered. */
  opened({ path }: Channel): void {
    for (const tell of this.#awaited.get(path) ?? []) tell();
  }

  /** Gets a promise that resolves when a member of the channel `path` opens; `forget` has to be called once it isn't needed. */
  nextOpening(path: string): { promise: Promise<void>; forget: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#awaited.get(path) ?? new Set();
    this.#awaited.set(path, waiting.add(resolve));
    const forget = (): void => {
      waiting.delete(resolve);
      if (waiting.size === 0) this.#awaited.delete(path);
    };
    return { promise, forget };
  }

  /** Sends a message from another node to every member here. */
  deliver(path: string, message: Message): void {
    const channel = this.#channels.get(path);
    if (channel !== undefined) this.#fanOut(channel, message, undefined);
  }

  /** Ends the memberships of everyone who may have missed a message. */
  gap(paths: Iterable<string> | "all"): void {
    for (const path of paths === "all" ? [...this.#channels.keys()] : paths) {
      const members = this.#channels.get(path)?.members ?? [];
      for (const member of [...members]) member.end("gap");
    }
  }

  /** Takes note whether the bridge is behind with what the channel `path` has for it. */
  congested(path: string, isCongested: boolean): void {
    const channel = this.#channels.get(path);
    if (channel === undefined) return;
    if (isCongested) this.#brakeOf(channel).bridgeFellBehind();
    else channel.brake?.bridgeCaughtUp();
  }

  /** Takes note that `reader` has more than `brake_bytes` queued. Gets whether that is new. */
  fellBehind(channel: Channel, reader: Client): boolean {
    return this.#brakeOf(channel).addReader(reader);
  }

  /** Sends everybody what the present turn has brought. */
  endTurns(): void {
    const channels = this.#turns;
    this.#turns = [];
    for (const channel of channels) this.#endTurn(channel);
  }

  /** Lets the timer run while somebody waits. Not an interval: after the process stood still, one tick is one tick. */
  #setTimer(): void {
    if (this.#braked.size > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#tick();
        this.#setTimer();
      }, tickMs);
    } else {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  /** Ends readers who have been behind for too long, and lets no sender wait longer for the bridge. */
  #tick(): void {
    const slowAfterMs = this.#limits.slowAfterS * 1000;
    for (const { brake } of [...this.#braked]) brake!.tick(tickMs, slowAfterMs);
  }

  #brakeOf(channel: Channel): Brake {
    return channel.brake ??= new Brake({
      metrics: this.#metrics,
      onChange: (isOn) => {
        if (isOn) this.#braked.add(channel);
        else this.#braked.delete(channel);
        this.#setTimer();
      },
    });
  }

  #fanOut(
    channel: Channel,
    message: Message,
    sender: Client | undefined,
  ): void {
    const { members, turn } = channel;
    const receivers = members.size - (sender === undefined ? 0 : 1);
    this.#metrics.fanOut.observe(receivers);
    this.#metrics.bytesDelivered += receivers * payloadBytes(message.frame);
    if (turn.bytes + message.frame.length > maxTurnBytes) {
      this.#endTurn(channel);
    }
    if (turn.bytes === 0) {
      if (this.#turns.length === 0) queueMicrotask(() => this.endTurns());
      this.#turns.push(channel);
    }
    turn.add(message, sender);
  }

  #endTurn({ turn, members }: Channel): void {
    turn.sendTo(members, sendFrames);
  }
}

function sendFrames(member: Client, frames: Uint8Array<ArrayBuffer>): void {
  member.send(frames);
}
