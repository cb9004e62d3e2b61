/** One client: what it sends, what it is sent, and how it ends. */
import { payloadBytes } from "../listener/frames.ts";
import { retain } from "../common/large_memory.ts";
import type { Socket, SocketFault, SocketHandler } from "../listener/socket.ts";
import { pieceOverheadBytes } from "../listener/write_queue.ts";
import { channelHash } from "./channel_hash.ts";
import type { Channel, Channels } from "./channels.ts";
import { type Close, type CloseName, closes } from "./close.ts";
import { log } from "../common/log.ts";
import {
  Allowance,
  type ClosingLimitName,
  type Limits,
  limitTable,
} from "./limits.ts";
import type { Message } from "./message.ts";
import type { Metrics } from "./metrics.ts";

/** What a client needs of its node. */
export interface ClientOptions {
  readonly channels: Channels;
  readonly limits: Limits;
  readonly metrics: Metrics;
  /** Called once, when nothing of the connection is left. */
  readonly onReleased: (client: Client) => void;
}

/** How the listener's faults are called in logs and metrics. */
const closeOfFault = {
  protocol: "protocol",
  not_utf8: "not_text",
  too_big: "too_big",
  idle: "idle",
  handler: "fault",
} as const satisfies Record<SocketFault, CloseName>;

let lastId = 0;

/**
 * A client, from its handshake to the end of its connection.
 *
 * It becomes a member of its channel first ({@linkcode join}), and gets its
 * socket then ({@linkcode attach}): what is published in between is kept.
 */
export class Client implements SocketHandler {
  /** Names the client in logs; unique in this process. */
  readonly id: number = ++lastId;
  readonly #node: ClientOptions;
  readonly #allowance: Allowance;
  #channel: Channel | undefined;
  #socket: Socket | undefined;
  /** What was published before there was a socket. */
  #early: Uint8Array<ArrayBuffer>[] = [];
  #earlyBytes = 0;
  #isOpen = false;
  /** How staps ended it, if staps did. */
  #ended: Close | undefined;
  /** Whether the client ended it first. */
  #hasSaidGoodbye = false;
  #isReleased = false;

  constructor(node: ClientOptions) {
    this.#node = node;
    this.#allowance = new Allowance(node.limits);
  }

  /** Whether its handshake is answered. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** What it was sent and the kernel hasn't taken yet, in bytes; see {@linkcode Socket.queuedBytes}. */
  get queuedBytes(): number {
    return this.#socket?.queuedBytes ?? this.#earlyBytes;
  }

  /**
   * Makes it a member of the channel `path`, at once on this node, and on the
   * others when the promise resolves.
   *
   * @throws {BridgeUnavailableError} If the others can't be reached now; it isn't a member then.
   */
  async join(path: string): Promise<void> {
    this.#channel = this.#node.channels.join(path, this);
    try {
      await this.#channel.bridged;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Gives it the socket of its upgraded connection, which hasn't opened yet. */
  attach(socket: Socket): void {
    this.#socket = socket;
    const early = this.#early;
    this.#early = [];
    for (const frames of early) this.send(frames);
    if (this.#ended !== undefined) {
      socket.close(this.#ended.code, this.#ended.reason);
    }
  }

  /**
   * Sends it `frames`, whole messages. One for which too much is queued is
   * ended as slow instead, or makes the channel's senders wait; see `brake.ts`.
   */
  send(frames: Uint8Array<ArrayBuffer>): void {
    const { brakeBytes, clientBufferBytes } = this.#node.limits;
    const queuedBytes = this.queuedBytes;
    if (queuedBytes > clientBufferBytes) {
      return this.endBeyond("client_buffer_bytes");
    }
    const socket = this.#socket;
    if (socket === undefined) {
      retain(frames);
      this.#early.push(frames);
      this.#earlyBytes += frames.length + pieceOverheadBytes;
      return;
    }
    socket.send(frames);
    const bytes = queuedBytes + frames.length;
    if (bytes > brakeBytes || bytes > clientBufferBytes / 2) {
      this.#fallBehind(socket, Math.min(brakeBytes, clientBufferBytes / 2));
    }
  }

  /** Goes on with the message that {@linkcode message} did not take. */
  resume(): void {
    this.#socket!.resume();
  }

  opened(): void {
    this.#isOpen = true;
    this.#node.channels.opened(this.#channel!);
    this.#node.metrics.connects++;
    if (log.isEnabled("info")) {
      log.info("client connected", {
        client: this.id,
        channel: channelHash(this.#channel!.path),
      });
    }
  }

  message(message: Message): boolean {
    if (this.#ended !== undefined) return true;
    const { metrics, channels } = this.#node;
    const socket = this.#socket!;
    if (socket.canWait && channels.holds(this.#channel!, this)) {
      // Of two that only write and never read, both are behind.
      const { brakeBytes, clientBufferBytes } = this.#node.limits;
      const bytes = Math.min(brakeBytes, clientBufferBytes / 2);
      if (socket.queuedBytes > bytes / 2) this.#fallBehind(socket, bytes);
      return false;
    }
    const bytes = payloadBytes(message.frame);
    metrics.messagesReceived++;
    metrics.bytesReceived += bytes;
    const limit = this.#allowance.spend();
    if (limit !== undefined) {
      this.endBeyond(limit);
      return true;
    }
    if (log.isEnabled("debug")) {
      log.debug("message", { client: this.id, bytes });
    }
    channels.publish(this.#channel!, message, this);
    return true;
  }

  caughtUp(): void {
    this.#channel!.brake?.caughtUp(this);
  }

  /** Leaves at once: what is still queued for it must not make others wait. */
  saidGoodbye(): void {
    this.#hasSaidGoodbye = true;
    this.#leave();
  }

  faulted(why: SocketFault): void {
    if (this.#ended !== undefined) return;
    if (why === "too_big") this.#node.metrics.limitHits.message_bytes++;
    this.#ended = closes[closeOfFault[why]];
    this.#countEnd(closeOfFault[why]);
    this.#leave();
  }

  closed(code: number | undefined): void {
    this.release(code);
  }

  /** Ends it for a limit that closes. */
  endBeyond(limit: ClosingLimitName): void {
    if (this.#ended !== undefined) return;
    this.#node.metrics.limitHits[limit]++;
    this.end(limitTable[limit].close);
  }

  /**
   * Ends the connection and the membership for a reason of staps's. Does
   * nothing the second time, nor for a client that has said goodbye itself.
   */
  end(why: CloseName, close: Close = closes[why]): void {
    if (this.#ended !== undefined || this.#hasSaidGoodbye) return;
    this.#ended = close;
    this.#countEnd(why);
    this.#leave();
    this.#socket?.close(close.code, close.reason);
  }

  /** Forgets the connection, which is no more: `code` is its close code, if there was one. */
  release(code?: number): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#leave();
    if (this.#isOpen) {
      this.#node.metrics.countDisconnect(code ?? this.#unansweredCode);
    }
    this.#node.onReleased(this);
    log.info("client disconnected", { client: this.id, code });
  }

  /** Brakes the channel's senders until at most half of `brakeBytes` is queued. */
  #fallBehind(socket: Socket, brakeBytes: number): void {
    if (!socket.canWait || socket.state !== "open") return;
    // Ended before it had a socket.
    if (this.#ended !== undefined) return;
    const isNew = this.#node.channels.fellBehind(this.#channel!, this);
    if (isNew) socket.tellBelow(brakeBytes / 2);
  }

  /**
   * The code that stands for a connection whose client sent none: that of
   * staps's close, or 1006 if it was lost (RFC 6455 section 7.4.1), as one is
   * on which no ping is answered, whatever is said at its end.
   */
  get #unansweredCode(): number {
    const ended = this.#ended;
    return ended === undefined || ended === closes.idle ? 1006 : ended.code;
  }

  #countEnd(why: CloseName): void {
    const { code } = closes[why];
    this.#node.metrics.closes[why]++;
    log.info("client ended", { client: this.id, why, code });
  }

  #leave(): void {
    if (this.#channel !== undefined) {
      this.#node.channels.leave(this.#channel, this);
    }
  }
}
