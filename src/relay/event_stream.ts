/**
 * A member that only listens: its socket is the body of an HTTP response, an
 * event stream. The listener takes a part of it when the kernel has taken the
 * one before.
 */
import { BodyError } from "../listener/request_body.ts";
import { noCode } from "../listener/frames.ts";
import type {
  Socket,
  SocketHandler,
  SocketLimits,
  SocketState,
} from "../listener/socket.ts";
import { pieceOverheadBytes } from "../listener/write_queue.ts";
import { closeEvent, comment, eventsOf, firstLines } from "./event_format.ts";

/** The most that the listener gets at a time, in bytes. */
const maxPartBytes = 16 * 1024;
/** In so many halves of `idle_timeout_s` a client has to take a part. */
const maxStalledTicks = 2;

/** Tells whether `request` asks for an event stream. */
export function asksForEvents({ method, headers }: Request): boolean {
  return method === "GET" && !headers.has("upgrade") &&
    /(?:^|,)\s*text\/event-stream\s*(?:$|[,;])/i.test(
      headers.get("accept") ?? "",
    );
}

/** What an {@linkcode EventStream} is made of. */
export interface EventStreamOptions {
  readonly handler: SocketHandler;
  readonly limits: Pick<SocketLimits, "idleTimeoutS" | "closeTimeoutS">;
  /** When to come back if the connection is lost, in milliseconds. */
  readonly retryMs: number;
}

/** An event stream as a socket on which nothing ever comes. */
export class EventStream implements Socket {
  readonly canWait = true;
  /** To be answered with. */
  readonly response: Response;
  readonly #options: EventStreamOptions;
  #state: SocketState = "open";
  #isOpen = false;
  /** What the listener hasn't got yet: whole events, of which the first may be begun. */
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #queuedBytes = 0;
  /** Of that: what the listener has, and the kernel may not. */
  #writingBytes = 0;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  /** Lets the listener go on that waits for a part. */
  #wake: (() => void) | undefined;
  #tellBelow: number | undefined;
  #stalledTicks = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => this.#end(this.#state === "open" ? noCode : undefined),
    }, { highWaterMark: 0 });
    this.response = new Response(body, {
      headers: {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-store",
        // For nginx: pass it on as it comes.
        "X-Accel-Buffering": "no",
        "Connection": "close",
      },
    });
    this.#push(firstLines(options.retryMs));
    this.#startTimer();
  }

  get state(): SocketState {
    return this.#state;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  send(frames: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "open") this.#push(eventsOf(frames));
  }

  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#push(closeEvent(code, reason));
    clearTimeout(this.#timer);
    const { closeTimeoutS } = this.#options.limits;
    this.#timer = setTimeout(() => this.#destroy(), closeTimeoutS * 1000);
  }

  /** Nothing ever waits here. */
  resume(): void {}

  tellBelow(bytes: number): void {
    this.#tellBelow = bytes;
    queueMicrotask(() => this.#checkQueue());
  }

  #push(events: Uint8Array<ArrayBuffer>): void {
    this.#pieces.push(events);
    this.#queuedBytes += events.length + pieceOverheadBytes;
    this.#wake?.();
  }

  /** The kernel has all that the listener got, which wants the next part. */
  async #pull(): Promise<void> {
    this.#written();
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#options.handler.opened();
    }
    if (this.#pieces.length === 0 && this.#state === "open") {
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
    }
    if (this.#state === "closed") return;
    if (this.#pieces.length > 0) return this.#controller.enqueue(this.#part());
    this.#controller.close();
    this.#end(undefined);
  }

  /** Takes the next part: several events, or a part of a large one. */
  #part(): Uint8Array<ArrayBuffer> {
    const first = this.#pieces[0]!;
    if (first.length > maxPartBytes) {
      this.#pieces[0] = first.subarray(maxPartBytes);
      this.#writingBytes = maxPartBytes;
      return first.subarray(0, maxPartBytes);
    }
    let count = 0;
    let bytes = 0;
    for (const { length } of this.#pieces) {
      if (bytes + length > maxPartBytes) break;
      bytes += length;
      count++;
    }
    const part = new Uint8Array(bytes);
    let at = 0;
    for (const piece of this.#pieces.splice(0, count)) {
      part.set(piece, at);
      at += piece.length;
    }
    this.#writingBytes = bytes + count * pieceOverheadBytes;
    return part;
  }

  #written(): void {
    this.#queuedBytes -= this.#writingBytes;
    this.#writingBytes = 0;
    this.#stalledTicks = 0;
    this.#checkQueue();
  }

  #checkQueue(): void {
    if (this.#tellBelow === undefined || this.#state === "closed") return;
    if (this.#queuedBytes > this.#tellBelow) return;
    this.#tellBelow = undefined;
    this.#options.handler.caughtUp();
  }

  /** Not an interval: after the process stood still, one tick is one tick. */
  #startTimer(): void {
    const { idleTimeoutS } = this.#options.limits;
    this.#timer = setTimeout(() => this.#tick(), idleTimeoutS * 500);
  }

  /** Says something to a client that hears nothing, and gives up one that takes nothing. */
  #tick(): void {
    if (this.#queuedBytes === 0) this.#push(comment);
    else if (++this.#stalledTicks > maxStalledTicks) {
      this.#options.handler.faulted("idle");
      return this.#destroy();
    }
    this.#startTimer();
  }

  /** Breaks the connection off: the listener ends one whose body fails. */
  #destroy(): void {
    if (this.#state === "closed") return;
    this.#controller.error(new BodyError(408, "The client takes too long"));
    this.#end(undefined);
  }

  #end(code: number | undefined): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    this.#pieces = [];
    this.#queuedBytes = 0;
    this.#wake?.();
    this.#options.handler.closed(code);
  }
}
