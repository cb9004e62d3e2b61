/** One connection: receives its messages, sends it those of others, ends it. */
import { Backlog } from "./backlog.ts";
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
import { closeAndLinger } from "./linger.ts";
import { type Message, messageBytes } from "./message.ts";
import type { Metrics } from "./metrics.ts";

/** How many times `clientBufferBytes` may wait with the overhead of small messages, for a moment. */
const maxFloodFactor = 4;
/** How often, and how far apart in milliseconds, it is looked whether the client takes some of it. */
const maxFloodTurns = 20;
const floodTurnMs = 100;

/** Where a client's messages go: its connection, or what stands in for one that isn't open yet. */
export type Sink = WebSocket | EarlyMessages;

/** Keeps the messages for a socket that isn't open yet. */
class EarlyMessages {
  readonly messages: Message[] = [];
  /** Their payload, in bytes. */
  bytes = 0;

  send(message: Message): void {
    this.messages.push(message);
    this.bytes += messageBytes(message);
  }
}

/** What a client needs of its node. */
export interface ClientOptions {
  readonly channels: Channels;
  readonly limits: Limits;
  readonly metrics: Metrics;
  /** Called once, when nothing of the connection is left. */
  readonly onReleased: (client: Client) => void;
}

let lastId = 0;

/**
 * A client, from its handshake to the end of its connection.
 *
 * It becomes a member of its channel first ({@linkcode join}), and gets its
 * socket then ({@linkcode attach}): what is published in between waits.
 */
export class Client {
  /** Names the client in logs; unique in this process. */
  readonly id: number = ++lastId;
  readonly #node: ClientOptions;
  readonly #allowance: Allowance;
  #channel: Channel | undefined;
  /** Of `#channel`. */
  #backlog: Backlog | undefined;
  #socket: WebSocket | undefined;
  /** What was published before the socket opened; undefined afterwards. */
  #early: EarlyMessages | undefined = new EarlyMessages();
  /** How staps ended it, if staps did. */
  #ended: Close | undefined;
  #released = false;
  /** Whether {@linkcode Client.#checkLater} is under way. */
  #isCheckDue = false;
  /** What was written to it at the last {@linkcode endIfStalled}, in bytes, if something waited then. */
  #stalledAtBytes: number | undefined;

  constructor(node: ClientOptions) {
    this.#node = node;
    this.#allowance = new Allowance(node.limits);
  }

  /**
   * Makes it a member of the channel `path`, at once on this node, and on the
   * others when the promise resolves.
   *
   * @throws {BridgeUnavailableError} If the others can't be reached now; it isn't a member then.
   */
  async join(path: string): Promise<void> {
    this.#channel = this.#node.channels.join(path, this);
    this.#backlog = new Backlog(this.#channel.traffic);
    try {
      await this.#channel.bridged;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Where its messages go. Changes when its socket opens: see {@linkcode Channel.replaceSink}. */
  get sink(): Sink {
    return this.#early ?? this.#socket!;
  }

  /** The payload that waits for it to read, in bytes; 0 once it is closing, for the runtime tells no more then. */
  get bufferedBytes(): number {
    return this.#early?.bytes ?? this.#socket?.bufferedAmount ?? 0;
  }

  /** Gives it the socket of its upgraded connection, which hasn't opened yet. */
  attach(socket: WebSocket): void {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    for (const type of ["open", "message", "error", "close"]) {
      socket.addEventListener(type, this);
    }
  }

  /** Takes the socket's events: one object for all, instead of a closure for each. */
  handleEvent(event: Event): void {
    switch (event.type) {
      case "message":
        this.#receive((event as MessageEvent<Message>).data);
        break;
      case "open":
        this.#open();
        break;
      case "close":
        // 0 where the connection broke.
        this.release((event as CloseEvent).code || undefined);
        break;
      case "error":
        // The client hung up before the 101; or a "close" follows.
        if (this.#early !== undefined) this.release();
        break;
    }
  }

  /**
   * Ends the client as slow if too much waits for it.
   *
   * More payload than `clientBufferBytes` is too much at once. The overhead of
   * small messages may make it more for a moment: while they come without a
   * pause, the runtime reads them all before it writes any.
   */
  checkBacklog(added: number | undefined): void {
    const waitingBytes = this.#waitingBytes(added);
    const { clientBufferBytes } = this.#node.limits;
    if (waitingBytes <= clientBufferBytes) return;
    if (
      waitingBytes <= clientBufferBytes * maxFloodFactor &&
      this.bufferedBytes <= clientBufferBytes
    ) {
      if (!this.#isCheckDue) this.#checkLater();
    } else this.#endBeyond("client_buffer_bytes");
  }

  /** Ends the connection and the membership for a reason of staps's. Does nothing the second time. */
  end(why: CloseName, close: Close = closes[why]): void {
    if (this.#ended !== undefined) return;
    this.#ended = close;
    this.#node.metrics.closes[why]++;
    log.info("client ended", { client: this.id, why, code: close.code });
    this.#leave();
    if (this.#early === undefined) closeAndLinger(this.#socket!, close);
  }

  /**
   * Ends the client as slow if something waited for it at the last call, and it
   * took nothing of that since.
   *
   * The runtime's ping would wait behind what waits, and its time-out with it:
   * a client that stopped reading would stay for ever.
   */
  endIfStalled(): void {
    if (this.#early !== undefined || this.#ended !== undefined) return;
    const { bufferedBytes } = this;
    if (bufferedBytes === 0) {
      this.#stalledAtBytes = undefined;
      return;
    }
    const writtenBytes = this.#backlog!.writtenBytes(bufferedBytes);
    // What waits now may have come a moment ago, to a client that was idle.
    if (writtenBytes === this.#stalledAtBytes) this.end("slow");
    this.#stalledAtBytes = writtenBytes;
  }

  /** Forgets the connection, which is no more: `code` is its close code, if there was one. */
  release(code?: number): void {
    if (this.#released) return;
    this.#released = true;
    this.#leave();
    if (this.#early === undefined) {
      this.#node.metrics.countDisconnect(code ?? 1006);
    }
    this.#early = undefined;
    this.#node.onReleased(this);
    log.info("client disconnected", { client: this.id, code });
  }

  #open(): void {
    const early = this.#early!;
    this.#early = undefined;
    this.#node.metrics.connects++;
    if (log.isEnabled("info")) {
      log.info("client connected", {
        client: this.id,
        channel: channelHash(this.#channel!.path),
      });
    }
    this.#channel!.replaceSink(this, early);
    for (const message of early.messages) this.#socket!.send(message);
    if (this.#ended !== undefined) closeAndLinger(this.#socket!, this.#ended);
  }

  #receive(message: Message): void {
    if (this.#ended !== undefined) return;
    const { metrics, channels } = this.#node;
    const bytes = messageBytes(message);
    metrics.messagesReceived++;
    metrics.bytesReceived += bytes;
    const limit = this.#allowance.spend(bytes);
    if (limit !== undefined) return this.#endBeyond(limit);
    if (log.isEnabled("debug")) {
      log.debug("message", { client: this.id, bytes });
    }
    this.#backlog!.skip(bytes);
    channels.publish(this.#channel!, { message, bytes, sender: this });
  }

  /**
   * Looks again in a moment, and ends the client as slow if too much waits and
   * it took nothing meanwhile, or if that goes on for too long.
   *
   * @param turns How often to look.
   * @param lastBytes What was written to it at the last look; none at first,
   * for that may come right after the flood, with nothing written yet.
   */
  #checkLater(turns = maxFloodTurns, lastBytes?: number): void {
    this.#isCheckDue = true;
    setTimeout(() => {
      this.#isCheckDue = false;
      if (this.#ended !== undefined || this.#released) return;
      const { clientBufferBytes } = this.#node.limits;
      if (this.#waitingBytes() <= clientBufferBytes) return;
      const writtenBytes = this.#backlog!.writtenBytes(this.bufferedBytes);
      if (turns > 1 && writtenBytes !== lastBytes) {
        this.#checkLater(turns - 1, writtenBytes);
      } else this.#endBeyond("client_buffer_bytes");
    }, floodTurnMs);
  }

  /** Ends the client for what it did beyond `limit`. */
  #endBeyond(limit: ClosingLimitName): void {
    this.#node.metrics.limitHits[limit]++;
    this.end(limitTable[limit].close);
  }

  /** What waits for it, without the message of `added` bytes that it is about to get; see {@linkcode Backlog.check}. */
  #waitingBytes(added?: number): number {
    const { limits } = this.#node;
    return this.#backlog!.check(added, {
      bufferedBytes: this.bufferedBytes,
      limitBytes: limits.clientBufferBytes,
      timeMs: performance.now(),
      emptyRunMs: limits.idleTimeoutS * 2000,
    });
  }

  #leave(): void {
    if (this.#channel !== undefined) {
      this.#node.channels.leave(this.#channel, this);
    }
  }
}
