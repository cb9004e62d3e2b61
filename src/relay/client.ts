/** One connection: what it may send, what it is sent, and how it ends. */
import { Backlog } from "./backlog.ts";
import { channelHash } from "./channel_hash.ts";
import type { Channel, Channels, Member, Sink } from "./channels.ts";
import { type Close, type CloseName, closes } from "./close.ts";
import { closeSocket } from "./closing.ts";
import { log } from "../common/log.ts";
import { type Message, messageBytes } from "./message.ts";
import type { LimitName, Metrics } from "./metrics.ts";

/** What one client may do. A reload changes the object in place. */
export interface ClientLimits {
  /** The largest message, in bytes of payload. */
  messageBytes: number;
  /** What may wait for the client to read it, in bytes; see `backlog.ts` for how messages count. */
  clientBufferBytes: number;
  /** How many messages it may send in a second, and in one burst. 0 for any number. */
  messagesPerSecond: number;
  /** How long it may be silent until a ping, left without an answer, ends it; in seconds. */
  idleTimeoutS: number;
}

/** What a client needs of its server. */
export interface ClientContext {
  readonly channels: Channels;
  readonly limits: ClientLimits;
  readonly metrics: Metrics;
  /** Called once, when nothing of the connection is left. */
  released(client: Client): void;
}

/** The limits that close a client, by the close that they end in. */
const limitOfClose: Partial<Record<CloseName, LimitName>> = {
  rate: "messages_per_second",
  too_big: "message_bytes",
};

/** How many times `clientBufferBytes` may wait with the overhead of small messages, for a moment. */
const maxFloodFactor = 4;
/** How often, and how far apart in milliseconds, it is looked whether the client takes some of it. */
const maxFloodTurns = 20;
const floodTurnMs = 100;

let lastId = 0;

/** Stands in for a socket that isn't open yet. */
class EarlyMessages implements Sink {
  readonly messages: Message[] = [];

  /** Their payload, in bytes. */
  get bytes(): number {
    return this.messages.reduce(
      (sum, message) => sum + messageBytes(message),
      0,
    );
  }

  send(message: Message): void {
    this.messages.push(message);
  }
}

/**
 * A client, from its handshake to the end of its connection.
 *
 * It becomes a member of its channel first ({@linkcode join}), and gets its
 * socket then ({@linkcode attach}): what is published in between waits.
 */
export class Client implements Member {
  /** Names the client in logs; unique in this process. */
  readonly id: number = ++lastId;
  readonly #context: ClientContext;
  #channel: Channel | undefined;
  /** Of `#channel`. */
  #backlog: Backlog | undefined;
  #socket: WebSocket | undefined;
  /** What was published before the socket opened; undefined afterwards. */
  #early: EarlyMessages | undefined = new EarlyMessages();
  /** How staps ended it, if staps did. */
  #ended: Close | undefined;
  #released = false;
  /** Whether {@linkcode Client.#judgeLater} is about to look. */
  #judged = false;
  /** What was written to it at the last {@linkcode endIfStalled}, in bytes, if something waited then. */
  #stalledAtBytes: number | undefined;
  /** How many messages it may send at `#tokensAtMs`. */
  #tokens = 0;
  #tokensAtMs = -Infinity;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  /**
   * Makes it a member of the channel `path`, at once on this node, and on the
   * others when the promise resolves.
   *
   * @throws {BridgeUnavailableError} If the others can't be reached now; it isn't a member then.
   */
  async join(path: string): Promise<void> {
    this.#channel = this.#context.channels.join(path, this);
    this.#backlog = new Backlog(this.#channel.sent);
    try {
      await this.#channel.bridged;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  get sink(): Sink {
    return this.#early ?? this.#socket!;
  }

  /** The payload that waits for it to read, in bytes; 0 once it is closing, for the runtime tells no more then. */
  get bufferedBytes(): number {
    return this.#early === undefined
      ? this.#socket?.bufferedAmount ?? 0
      : this.#early.bytes;
  }

  /** Gives it the socket of its upgraded connection, which hasn't opened yet. */
  attach(socket: WebSocket): void {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", this);
    socket.addEventListener("message", this);
    socket.addEventListener("error", this);
    socket.addEventListener("close", this);
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
    const { clientBufferBytes } = this.#context.limits;
    if (waitingBytes <= clientBufferBytes) return;
    if (
      waitingBytes <= clientBufferBytes * maxFloodFactor &&
      this.bufferedBytes <= clientBufferBytes
    ) {
      if (!this.#judged) this.#judgeLater();
    } else this.#endAsSlow();
  }

  end(why: CloseName, close: Close = closes[why]): void {
    if (this.#ended !== undefined) return;
    this.#ended = close;
    const { metrics } = this.#context;
    metrics.closes[why]++;
    const limit = limitOfClose[why];
    if (limit !== undefined) metrics.limitHits[limit]++;
    log.info("client ended", { client: this.id, why, code: close.code });
    this.#leave();
    if (this.#early === undefined) closeSocket(this.#socket!, close);
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
      this.#context.metrics.countDisconnect(code ?? 1006);
    }
    this.#early = undefined;
    this.#context.released(this);
    log.info("client disconnected", { client: this.id, code });
  }

  #open(): void {
    const early = this.#early!;
    this.#early = undefined;
    this.#context.metrics.connects++;
    if (log.isEnabled("info")) {
      log.info("client connected", {
        client: this.id,
        channel: channelHash(this.#channel!.path),
      });
    }
    this.#context.channels.replaceSink(this.#channel!, this, early);
    for (const message of early.messages) this.#socket!.send(message);
    if (this.#ended !== undefined) closeSocket(this.#socket!, this.#ended);
  }

  #receive(message: Message): void {
    if (this.#ended !== undefined) return;
    const { limits, metrics, channels } = this.#context;
    const bytes = messageBytes(message);
    metrics.messagesReceived++;
    metrics.bytesReceived += bytes;
    if (bytes > limits.messageBytes) return this.end("too_big");
    if (limits.messagesPerSecond > 0 && !this.#takeToken()) {
      return this.end("rate");
    }
    if (log.isEnabled("debug")) {
      log.debug("message", { client: this.id, bytes });
    }
    this.#backlog!.skip(bytes);
    channels.publish(this.#channel!, { message, bytes, sender: this });
  }

  /** Counts a message against `messagesPerSecond`. Gets whether it is within it. */
  #takeToken(): boolean {
    const rate = this.#context.limits.messagesPerSecond;
    const nowMs = performance.now();
    const earned = (nowMs - this.#tokensAtMs) / 1000 * rate;
    this.#tokensAtMs = nowMs;
    this.#tokens = Math.min(rate, this.#tokens + earned);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /**
   * Looks again in a moment, and ends the client as slow if too much waits and
   * it took nothing meanwhile, or if that goes on for too long.
   *
   * @param turns How often to look.
   * @param lastBytes What was written to it at the last look; none at first,
   * for that may come right after the flood, with nothing written yet.
   */
  #judgeLater(turns = maxFloodTurns, lastBytes?: number): void {
    this.#judged = true;
    setTimeout(() => {
      this.#judged = false;
      if (this.#ended !== undefined || this.#released) return;
      const { clientBufferBytes } = this.#context.limits;
      if (this.#waitingBytes() <= clientBufferBytes) return;
      const writtenBytes = this.#backlog!.writtenBytes(this.bufferedBytes);
      if (turns > 1 && writtenBytes !== lastBytes) {
        this.#judgeLater(turns - 1, writtenBytes);
      } else this.#endAsSlow();
    }, floodTurnMs);
  }

  #endAsSlow(): void {
    this.#context.metrics.limitHits.client_buffer_bytes++;
    this.end("slow");
  }

  /** What waits for it, without the message of `added` bytes that it is about to get; see {@linkcode Backlog.check}. */
  #waitingBytes(added?: number): number {
    const { limits } = this.#context;
    return this.#backlog!.check(added, {
      bufferedBytes: this.bufferedBytes,
      limitBytes: limits.clientBufferBytes,
      timeMs: performance.now(),
      emptyRunMs: limits.idleTimeoutS * 2000,
    });
  }

  #leave(): void {
    if (this.#channel !== undefined) {
      this.#context.channels.leave(this.#channel, this);
    }
  }
}
