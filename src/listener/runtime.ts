/**
 * The listener's shape, made of the runtime's own `Deno.serve` and
 * `Deno.upgradeWebSocket`: a fall-back, and a second opinion for tests.
 *
 * It has the runtime's limits: half requests are neither counted nor ended, a
 * body may come byte by byte for as long as its sender likes, a message is measured when all of it is in
 * memory, no sender can be slowed down, and a peer that doesn't answer a close
 * frame keeps its connection.
 */
import { messageFrame, messagesIn } from "./frames.ts";
import { retain } from "../common/large_memory.ts";
import {
  assertHandshake,
  type Handler,
  type HttpServer,
  type ServeOptions,
  type Upgrade,
  type UpgradeOptions,
} from "./http.ts";
import { BodyError } from "./request_body.ts";
import { withBoundedBody } from "./runtime_body.ts";
import type {
  Socket,
  SocketFault,
  SocketHandler,
  SocketLimits,
  SocketState,
} from "./socket.ts";

/** How long after the end of a request its WebSocket may take to open, in milliseconds. */
const openTimeoutMs = 1000;
/** How often a socket looks whether it has caught up, in milliseconds. */
const caughtUpPollMs = 50;
/** Whose requests may still become WebSockets. */
const servers = new WeakMap<Request, RuntimeServer>();

const encoder = new TextEncoder();
/** A byte order mark is a part of the message. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Begins to listen; see {@linkcode ServeOptions}. `handshakeTimeoutS` has no effect. */
export function serve(options: ServeOptions, handler: Handler): HttpServer {
  return new RuntimeServer(options, handler);
}

/** Makes a WebSocket of a request that {@linkcode serve} handed over; see `Listener` in `http.ts`. */
export function upgradeWebSocket(
  request: Request,
  options: UpgradeOptions,
): Upgrade {
  assertHandshake(request);
  const server = servers.get(request);
  if (server === undefined) {
    throw new TypeError(
      "Cannot upgrade a request of another listener, or one that is answered",
    );
  }
  servers.delete(request);
  return server.upgrade(request, options);
}

class RuntimeServer implements HttpServer {
  readonly #options: ServeOptions;
  readonly #server: Deno.HttpServer;
  readonly #sockets = new Set<RuntimeSocket>();
  #requestCount = 0;
  #isStopping = false;
  #allSocketsClosed: (() => void) | undefined;

  constructor(options: ServeOptions, handler: Handler) {
    this.#options = options;
    const onError = (error: unknown): Response => {
      options.onError(error);
      return text(500, "The request failed");
    };
    const shared = { onListen: () => {}, onError };
    const answer = (request: Request): Promise<Response> =>
      this.#answer(request, handler);
    const { address } = options;
    this.#server = "path" in address
      ? Deno.serve({ path: address.path, ...shared }, answer)
      : Deno.serve({ ...address, ...shared }, answer);
  }

  get addr(): Deno.Addr {
    return this.#server.addr;
  }

  get connectionCount(): number {
    return this.#requestCount + this.#sockets.size;
  }

  get finished(): Promise<void> {
    return this.#server.finished;
  }

  /**
   * See `HttpServer`. First waits for the WebSockets, and refuses requests
   * meanwhile: the runtime (2.9.6) ends them by itself when it stops listening,
   * with 1001 or without any close frame, whatever they were closed with.
   */
  async shutdown(): Promise<void> {
    this.#isStopping = true;
    if (this.#sockets.size > 0) {
      await new Promise<void>((resolve) => this.#allSocketsClosed = resolve);
    }
    await this.#server.shutdown();
  }

  /** Makes a WebSocket of `request`. */
  upgrade(
    request: Request,
    { handler, limits, protocol }: UpgradeOptions,
  ): Upgrade {
    const { socket: runtimes, response } = Deno.upgradeWebSocket(request, {
      idleTimeout: limits.idleTimeoutS,
    });
    // Not left to the runtime, which finds a protocol only after ", ".
    if (protocol !== undefined) {
      response.headers.set("Sec-WebSocket-Protocol", protocol);
    }
    const socket = new RuntimeSocket(runtimes, {
      ...{ handler, limits, signal: request.signal },
      onEnded: (ended) => this.#remove(ended),
      onHandlerError: this.#options.onError,
    });
    this.#sockets.add(socket);
    return { socket, response };
  }

  async #answer(request: Request, handler: Handler): Promise<Response> {
    const { bodyBytes, maxConnections, overloaded } = this.#options;
    if (this.#isStopping || this.connectionCount >= maxConnections()) {
      return overloaded();
    }
    const maxBytes = bodyBytes(request.method);
    if (Number(request.headers.get("content-length") ?? 0) > maxBytes) {
      return text(413, `The body has more than ${maxBytes} bytes`);
    }
    this.#requestCount++;
    // What has a body is no handshake.
    if (request.body === null) servers.set(request, this);
    else request = withBoundedBody(request, maxBytes);
    try {
      return await handler(request);
    } catch (error) {
      if (error instanceof BodyError) return text(error.status, error.message);
      throw error;
    } finally {
      servers.delete(request);
      this.#requestCount--;
    }
  }

  #remove(socket: RuntimeSocket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size === 0) this.#allSocketsClosed?.();
  }
}

/** What a {@linkcode RuntimeSocket} is made of. */
interface RuntimeSocketOptions {
  readonly handler: SocketHandler;
  readonly limits: SocketLimits;
  /** The request's. The runtime aborts it when the client hangs up before the 101, but also after the 101. */
  readonly signal: AbortSignal;
  /** Called once, after `handler.closed()`. */
  readonly onEnded: (socket: RuntimeSocket) => void;
  readonly onHandlerError: (error: unknown) => void;
}

class RuntimeSocket implements Socket {
  /** The runtime hands over what comes, and as fast as it comes. */
  readonly canWait = false;
  readonly #socket: WebSocket;
  readonly #options: RuntimeSocketOptions;
  #state: SocketState = "open";
  /** What was sent before the 101 was. */
  #early: Uint8Array<ArrayBuffer>[] | undefined = [];
  /** Waits until it is open, then until it has caught up. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: WebSocket, options: RuntimeSocketOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code }) => this.#ended(this.#codeSent(code));
    socket.onerror = (event) => this.#failed((event as ErrorEvent).message);
    options.signal.addEventListener("abort", () => this.#requestEnded());
    if (options.signal.aborted) this.#requestEnded();
  }

  get state(): SocketState {
    return this.#state;
  }

  get queuedBytes(): number {
    return this.#state === "closed" ? 0 : this.#socket.bufferedAmount;
  }

  send(frames: Uint8Array<ArrayBuffer>): void {
    if (this.#state !== "open") return;
    if (this.#early !== undefined) {
      retain(frames);
      this.#early.push(frames);
      return;
    }
    for (const { isText, payload } of messagesIn(frames)) {
      this.#socket.send(isText ? decoder.decode(payload) : payload);
    }
  }

  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#socket.close(code, reason);
  }

  /** Nothing ever waits here. */
  resume(): void {}

  tellBelow(bytes: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#state === "closed") return;
      if (this.queuedBytes > bytes) this.tellBelow(bytes);
      else this.#call((handler) => handler.caughtUp());
    }, caughtUpPollMs);
  }

  /** In 2.9.6, nothing else tells of a client that hung up before the 101. */
  #requestEnded(): void {
    if (this.#early === undefined) return;
    this.#timer = setTimeout(() => this.#ended(undefined), openTimeoutMs);
  }

  #opened(): void {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#call((handler) => handler.opened());
    for (const frames of early) this.send(frames);
  }

  #received(data: string | ArrayBuffer): void {
    if (this.#state !== "open") return;
    const isText = typeof data === "string";
    const bytes = isText ? encoder.encode(data) : new Uint8Array(data);
    const { messageBytes } = this.#options.limits;
    if (bytes.length > messageBytes) {
      this.#fault("too_big");
      return this.close(1009, `message over ${messageBytes} bytes`);
    }
    const frame = messageFrame(bytes, { isText });
    const payload = frame.subarray(frame.length - bytes.length);
    this.#call((handler) => handler.message({ isText, payload, frame }));
  }

  /** The runtime has ended the connection, and says why in words only. */
  #failed(message: string): void {
    if (this.#state === "open" && /ping/.test(message)) this.#fault("idle");
    // If the client hung up before the 101, nothing else comes.
    if (this.#early !== undefined) this.#ended(undefined);
  }

  /** Gets the client's code, if it sent one; a client that breaks off while it is closed has 1005 in 2.9.6. */
  #codeSent(code: number): number | undefined {
    const none = this.#state === "closing" ? [0, 1005, 1006] : [0, 1006];
    return none.includes(code) ? undefined : code;
  }

  #ended(code: number | undefined): void {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    this.#state = "closed";
    this.#call((handler) => handler.closed(code));
    this.#options.onEnded(this);
  }

  #fault(why: SocketFault): void {
    this.#call((handler) => handler.faulted(why));
  }

  #call(call: (handler: SocketHandler) => void): void {
    try {
      call(this.#options.handler);
    } catch (error) {
      this.#options.onHandlerError(error);
      if (this.#state !== "open") return;
      this.#fault("handler");
      this.close(1011, "internal error");
    }
  }
}

function text(status: number, message: string): Response {
  return new Response(`${message}\n`, {
    status,
    headers: {
      "Connection": "close",
      "Content-Type": "text/plain; charset=utf-8",
    },
  });
}
