/** One WebSocket connection after its 101: reading, writing, waiting, closing. */
import { FairShare } from "./fair_share.ts";
import type { FaultEvent } from "./frame_head.ts";
import {
  type FrameEvent,
  FrameReader,
  maxBufferBytes,
  type MessageEvent,
} from "./frame_reader.ts";
import { closeFrame, frameOf, opcodes } from "./frames.ts";
import type { Phase } from "./phase.ts";
import { ReadBuffers } from "./read_buffers.ts";
import { Silence, ticksPerS } from "./silence.ts";
import type {
  Socket,
  SocketFault,
  SocketHandler,
  SocketLimits,
  SocketState,
} from "./socket.ts";
import { noteRead } from "./write_pace.ts";
import { WriteQueue, type WriteQueueOwner } from "./write_queue.ts";

/** What a {@linkcode WebSocketConnection} is made of. */
export interface WebSocketConnectionOptions {
  /** The connection that the request came by. It belongs to the WebSocket from here on. */
  readonly conn: Pick<Deno.Conn, "read" | "write" | "close" | "closeWrite">;
  /** What was read of the connection beyond the request's head; at most 64 KiB. */
  readonly rest: Uint8Array;
  readonly handler: SocketHandler;
  readonly limits: SocketLimits;
  /** Called once, when the connection is closed and nothing of it is left; after `handler.closed()`. */
  readonly onEnded: () => void;
  /** Gets what a call of the handler threw, for the log. */
  readonly onHandlerError: (error: unknown) => void;
}

/**
 * How much is read of a client that broke a rule, in bytes, so that it gets the
 * close frame: a connection that is closed with something unread is reset, and
 * the client loses what it didn't read.
 */
const maxDrainedBytes = 16 * 1024 * 1024;

/** After so many messages or control frames it is somebody else's turn: 64 KiB can hold 10,922. */
const maxEventsAtOnce = 256;

/** A WebSocket on a connection whose handshake is done by somebody else. */
export class WebSocketConnection implements Socket, WriteQueueOwner {
  readonly canWait = true;
  readonly #options: WebSocketConnectionOptions;
  readonly #reader: FrameReader;
  readonly #queue: WriteQueue;
  readonly #buffers: ReadBuffers;
  readonly #silence = new Silence();
  #phase: Phase = "new";
  #isReading = false;
  /** Whether the client sends nothing more: an end, not an error. */
  #isAtEnd = false;
  /** Not taken by the handler, until {@linkcode resume}. */
  #held: MessageEvent | undefined;
  #tellBelow: number | undefined;
  #closeCode: number | undefined;
  #drainedBytes = 0;
  /** Ticks since it is closing, in whatever way. */
  #endingTicks = 0;
  #hasFault = false;

  constructor(options: WebSocketConnectionOptions) {
    if (options.rest.length > maxBufferBytes) {
      throw new RangeError(
        `Cannot begin with ${options.rest.length} bytes, expected at most ${maxBufferBytes}`,
      );
    }
    this.#options = options;
    this.#reader = new FrameReader(options.limits);
    this.#buffers = new ReadBuffers(this.#reader);
    this.#queue = new WriteQueue(options.conn, this);
  }

  get state(): SocketState {
    const phase = this.#phase;
    if (phase === "new" || phase === "open") return "open";
    return phase === "closed" ? "closed" : "closing";
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  /** Begins to read and write: call it once the 101 is written. What was sent before goes out now. */
  start(): void {
    if (this.#phase === "closed") return;
    if (this.#phase === "new") {
      this.#phase = "open";
      this.#call(() => this.#options.handler.opened());
    }
    this.#queue.start();
    // The handler may have ended it.
    if (this.state === "closed") return;
    this.#buffers.fill(this.#options.rest);
    this.#handle();
  }

  /** Judges what has become of the client: call it every `tickMs`, from one timer for all connections. */
  tick(): void {
    if (this.#phase === "new" || this.#phase === "closed") return;
    const { idleTimeoutS, closeTimeoutS } = this.#options.limits;
    if (this.#phase !== "open") {
      if (++this.#endingTicks > closeTimeoutS * ticksPerS) this.destroy();
      return;
    }
    const todo = this.#silence.tick(idleTimeoutS, this.#queue);
    if (todo === "ask") this.#queue.push(ping);
    else if (todo === "give up") {
      // A client that waits for us can't be heard; a ping still finds out if it hung up.
      if (this.#held !== undefined) this.#silence.heard();
      else this.#giveUp();
    }
  }

  /**
   * Closes the connection at once, without a close frame. Also before
   * {@linkcode start}, if the peer hung up. Does nothing the second time.
   */
  destroy(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#held = undefined;
    this.#queue.drop();
    this.#reader.discardMessages();
    this.#options.conn.close();
    // A read under way still has the buffer.
    if (!this.#isReading) this.#buffers.release();
    try {
      this.#options.handler.closed(this.#closeCode);
    } catch (error) {
      this.#options.onHandlerError(error);
    }
    this.#options.onEnded();
  }

  send(frames: Uint8Array<ArrayBuffer>): void {
    if (this.#phase === "open" || this.#phase === "new") {
      this.#queue.push(frames);
    }
  }

  close(code: number, reason: string): void {
    if (this.#phase !== "open" && this.#phase !== "new") return;
    this.#beginClosing("closing");
    this.#queue.push(closeFrame(code, reason));
    if (this.#held === undefined) return;
    // Nobody reads on: the client's answer is behind what was held.
    this.#held = undefined;
    this.#handle();
  }

  resume(): void {
    if (this.#held === undefined) return;
    this.#silence.heard();
    share.run(this.#onTurn);
  }

  tellBelow(bytes: number): void {
    this.#tellBelow = bytes;
    if (this.queuedBytes <= bytes) queueMicrotask(() => this.#checkQueue());
  }

  /** For the queue. */
  written(): void {
    this.#checkQueue();
    if (this.queuedBytes > 0) return;
    if (this.#phase === "answering" || this.#isAtEnd) this.destroy();
    else if (this.#phase === "draining") this.#endWriting();
  }

  /** For the queue. */
  writeFailed(): void {
    if (this.#isAtEnd || this.#phase === "answering") return this.destroy();
    // Draining and closing need no more words either: what is left is to read to the end.
    if (this.#phase === "open") this.#phase = "lost";
    else this.#drain();
    this.#endingTicks = 0;
    this.#checkQueue();
  }

  // One function each for all reads, as for writes.
  readonly #onRead = (bytes: number | null): void => {
    this.#isReading = false;
    if (this.#phase === "closed") return this.#buffers.release();
    if (bytes === null) return this.#readEnd();
    noteRead();
    this.#silence.heard();
    this.#buffers.wasRead(bytes);
    if (this.#phase === "answering" || this.#phase === "draining") {
      this.#drainedBytes += bytes;
      if (this.#drainedBytes > maxDrainedBytes) return this.destroy();
    } else this.#reader.filled(bytes);
    this.#buffers.wasFilled ? share.run(this.#onTurn) : this.#handle();
  };

  readonly #onTurn = (): void => this.#handle();

  readonly #onReadFailed = (): void => {
    this.#isReading = false;
    if (this.#phase === "closed") this.#buffers.release();
    else this.destroy();
  };

  #readEnd(): void {
    this.#isAtEnd = true;
    // A client that has said goodbye may still want to read the answer.
    const isDeaf = this.#phase === "open" || this.#phase === "lost";
    if (isDeaf || this.queuedBytes === 0) this.destroy();
  }

  /** Handles what the reader has, and reads on if the handler took it. */
  #handle(): void {
    for (
      let count = 0;
      this.#phase === "open" || this.#phase === "lost" ||
      this.#phase === "closing";
      count++
    ) {
      if (count === maxEventsAtOnce) return share.run(this.#onTurn);
      const event = this.#held ?? this.#reader.next();
      if (event === undefined) break;
      this.#held = undefined;
      if (!this.#handleEvent(event)) return this.#hold(event as MessageEvent);
    }
    if (this.#phase !== "closed" && !this.#isAtEnd) this.#readOn();
  }

  /** Says whether that was done; only messages may have to wait. */
  #handleEvent(event: FrameEvent): boolean {
    if (event.kind === "message") return this.#takeMessage(event);
    if (event.kind === "ping") {
      if (this.#phase === "open") this.#queue.pushPong(event.payload);
    } else if (event.kind === "close") this.#closedByPeer(event.code);
    else if (event.kind === "fault") this.#fail(event);
    return true;
  }

  #takeMessage(message: MessageEvent): boolean {
    try {
      const isTaken = this.#options.handler.message(message);
      // A handler that closes the connection needs no message again.
      return isTaken || this.#phase !== "open" && this.#phase !== "lost";
    } catch (error) {
      this.#handlerFailed(error);
      return true;
    }
  }

  /** Waits with `message`, and keeps no more memory than is needed for what came behind it. */
  #hold(message: MessageEvent): void {
    this.#held = message;
    this.#buffers.shrink();
  }

  #readOn(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#options.conn.read(this.#buffers.space())
      .then(this.#onRead, this.#onReadFailed);
  }

  #closedByPeer(code: number): void {
    this.#closeCode = code;
    if (this.#phase === "open") {
      this.#beginClosing("answering");
      this.#queue.push(closeFrame(code));
      this.#call(() => this.#options.handler.saidGoodbye());
    } else if (this.queuedBytes === 0) this.destroy();
    else this.#phase = "answering";
    this.#reader.discardAll();
  }

  #fail({ fault, code, reason }: FaultEvent): void {
    if (this.#phase === "open") {
      this.#tellFault(fault);
      this.close(code, reason);
    }
    // Also if it was closing: its answer can't be found any more.
    if (this.state !== "closed") this.#drain();
  }

  #drain(): void {
    this.#phase = "draining";
    this.#reader.discardAll();
    if (this.queuedBytes === 0) this.#endWriting();
  }

  /** Lets the client see the end behind the close frame, so that it ends its side. */
  #endWriting(): void {
    this.#options.conn.closeWrite().catch(() => {});
  }

  /** Ends what is dead, most likely; a close frame is tried all the same. */
  #giveUp(): void {
    const isStuck = this.queuedBytes > 0;
    this.#tellFault("idle");
    if (isStuck) return this.destroy();
    this.close(1001, "no answer to a ping");
    // The next tick is the end.
    this.#endingTicks = Infinity;
  }

  #handlerFailed(error: unknown): void {
    this.#options.onHandlerError(error);
    if (this.#phase === "lost") return this.destroy();
    if (this.#phase !== "open") return;
    this.#tellFault("handler");
    this.close(1011, "internal error");
  }

  #tellFault(why: SocketFault): void {
    if (this.#hasFault) return;
    this.#hasFault = true;
    this.#call(() => this.#options.handler.faulted(why));
  }

  #call(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#handlerFailed(error);
    }
  }

  #beginClosing(phase: Phase): void {
    this.#phase = phase;
    this.#endingTicks = 0;
    this.#reader.discardMessages();
  }

  #checkQueue(): void {
    if (this.#tellBelow === undefined || this.#phase === "closed") return;
    if (this.queuedBytes > this.#tellBelow) return;
    this.#tellBelow = undefined;
    this.#call(() => this.#options.handler.caughtUp());
  }
}

/** Of all connections of this process. */
const share = new FairShare();

const ping = frameOf(opcodes.ping, new Uint8Array(0));
