/**
 * One connection to the listener: a request, its response, the end; or a
 * WebSocket from there on.
 *
 * There are no timers here: the listener calls `tick()`.
 */
import { bodyReadBytes, BodyReader } from "./body_reader.ts";
import { Deadline } from "./deadline.ts";
import { HandshakeAnswer } from "./handshake_answer.ts";
import type { Handler, ServeOptions, Upgrade, UpgradeOptions } from "./http.ts";
import { BodyDecoder, BodyError } from "./request_body.ts";
import {
  type HeadRefusal,
  type RequestHead,
  RequestHeadParser,
} from "./request_head.ts";
import { refusalOf, textResponse } from "./refusal.ts";
import { writeResponse } from "./response.ts";
import { WebSocketConnection } from "./websocket.ts";
import { Wire } from "./wire.ts";

/** Whom connections belong to. */
export interface HttpConnectionOwner {
  readonly limits: Pick<ServeOptions, "bodyBytes" | "handshakeTimeoutS">;
  /** Gets what a handler threw, or the body of its response. */
  onError(error: unknown): void;
  /** Called once for each connection, when it is closed. */
  onClosed(connection: HttpConnection): void;
}

/** How far a connection is. */
type Phase = "head" | "response" | "drain" | "websocket" | "closed";

/** How long the peer may take for each 16 KiB of a response, in seconds. */
const stallTimeoutS = 10;
/** How long a handler may go on for a peer that has ended its side, in seconds. It may have ended the other, too. */
const endedTimeoutS = 1;
/** How long what comes behind a refused request is dropped, in seconds. */
const drainTimeoutS = 2;
/** How much of it is dropped, in bytes: a frontend reads the answer only when it has sent a whole body. */
const drainBytes = 16 * 1024 * 1024;
/** How long half a head has when the listener stops, in seconds. */
const shutdownTimeoutS = 1;

/** How much of a head is read at a time, in bytes: one read for a browser's. */
const headReadBytes = 2 * 1024;

const continueBytes = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

/** The connections of requests that may still become WebSockets. */
const connections = new WeakMap<Request, HttpConnection>();

/** Gets the connection that `request` came by, while its handler works. */
export function connectionOf(request: Request): HttpConnection | undefined {
  return connections.get(request);
}

/** A connection; see the head of this file. */
export class HttpConnection {
  readonly #owner: HttpConnectionOwner;
  readonly #handler: Handler;
  readonly #wire: Wire;
  #phase: Phase = "head";
  /** For what is read of the peer. */
  readonly #reading = new Deadline();
  /** For what the peer is to read. */
  readonly #writing = new Deadline();
  /** For the handler, once the peer has ended its side. */
  readonly #ended = new Deadline();
  /** Aborted when the connection closes before the response is written. */
  #gone: AbortController | undefined = new AbortController();
  #body: BodyReader | undefined;
  /** Whether a 100 is due when the body is wanted; not inside of a response. */
  #expectsContinue = false;
  #socket: WebSocketConnection | undefined;
  /** What opens `#socket`. */
  #answer101: HandshakeAnswer | undefined;

  constructor(
    conn: Deno.Conn,
    { owner, handler }: { owner: HttpConnectionOwner; handler: Handler },
  ) {
    this.#owner = owner;
    this.#handler = handler;
    this.#wire = new Wire(conn);
    this.#reading.start(owner.limits.handshakeTimeoutS());
  }

  /** Serves the connection to its end, or until it is a WebSocket. Never rejects. */
  async run(): Promise<void> {
    try {
      const head = await this.#readHead();
      if (head === undefined) return;
      if ("status" in head) await this.#refuse(head);
      else await this.#answer(head);
    } catch {
      // The peer is gone, or too slow, or the body of the response failed: that was told.
    } finally {
      if (this.#phase !== "websocket") {
        this.close();
        // Made by a handler that went on after the connection was closed.
        this.#socket?.destroy();
      }
    }
  }

  /** Counts the time: called by the listener each `tickMs`. */
  tick(): void {
    if (this.#phase === "websocket") return this.#socket!.tick();
    if (this.#phase === "response") this.#watch();
    this.#body?.tick();
    if (this.#reading.tick() || this.#writing.tick() || this.#ended.tick()) {
      this.close();
    }
  }

  /** Closes it soon if no request has come: the listener stops. */
  hurry(): void {
    if (this.#phase === "head") this.#reading.shorten(shutdownTimeoutS);
  }

  /** Closes it at once. Does nothing the second time. */
  close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#wire.close();
    this.#gone?.abort(new Deno.errors.ConnectionAborted("The client is gone"));
    this.#socket?.destroy();
    this.#owner.onClosed(this);
  }

  /**
   * Makes a WebSocket of the connection, which begins when the handler has
   * returned the response.
   *
   * @throws {TypeError} If that was done before, or the protocol is none.
   */
  upgrade(request: Request, options: UpgradeOptions): Upgrade {
    if (this.#socket !== undefined) {
      throw new TypeError("Cannot upgrade a request twice");
    }
    const { handler, limits, protocol } = options;
    // First: it throws if the protocol can't stand in a header.
    const answer101 = new HandshakeAnswer(request, protocol);
    this.#socket = new WebSocketConnection({
      ...{ conn: this.#wire, rest: new Uint8Array(0), handler, limits },
      onEnded: () => this.close(),
      onHandlerError: (error) => this.#owner.onError(error),
    });
    this.#answer101 = answer101;
    return { socket: this.#socket, response: answer101.response };
  }

  async #readHead(): Promise<RequestHead | HeadRefusal | undefined> {
    const parser = new RequestHeadParser();
    while (true) {
      const buffer = new Uint8Array(headReadBytes);
      const count = await this.#wire.read(buffer);
      if (count === null) return undefined;
      const result = parser.push(buffer.subarray(0, count));
      if (result === undefined) continue;
      if ("status" in result) return result;
      this.#wire.unread(result.rest);
      return result.head;
    }
  }

  async #answer(head: RequestHead): Promise<void> {
    this.#reading.stop();
    this.#phase = "response";
    let body;
    try {
      const maxBytes = this.#owner.limits.bodyBytes(head.method);
      body = new BodyDecoder(head.bodyLength, maxBytes);
    } catch (error) {
      return await this.#refuse(refusalOf(error));
    }
    this.#expectsContinue = head.expectsContinue;
    const headers = headersOf(head);
    const wantsUpgrade = headers.some(([name]) => name === "upgrade");
    this.#body = new BodyReader({
      decoder: body,
      wire: this.#wire,
      onWanted: () => this.#askForBody(),
    });
    const request = new Request(head.url, {
      method: head.method,
      headers,
      // Two thirds of a Request's cost. A WebSocket's end is told by its socket.
      signal: wantsUpgrade ? null : this.#gone!.signal,
      // A Request can have no body with these.
      ...(body.isDone || head.method === "GET" || head.method === "HEAD"
        ? {}
        : { body: this.#body.stream() }),
    });
    const response = await this.#handle(request);
    if (this.#socket === undefined) {
      await this.#write(response, head);
      if (!body.isDone || this.#wire.hasAhead) await this.#drain();
    } else if (response === this.#answer101?.response) {
      await this.#open(this.#socket, this.#answer101);
    }
  }

  async #handle(request: Request): Promise<Response> {
    connections.set(request, this);
    try {
      const handler = this.#handler;
      const response = await handler(request);
      if (response.status < 200 || response.bodyUsed) {
        throw new TypeError("The response can't be sent");
      }
      if (
        this.#answer101 !== undefined && response !== this.#answer101.response
      ) {
        throw new TypeError("The request was upgraded and answered otherwise");
      }
      return response;
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.status === 500) this.#owner.onError(error);
      return textResponse(refusal);
    } finally {
      connections.delete(request);
    }
  }

  async #open(
    socket: WebSocketConnection,
    answer: HandshakeAnswer,
  ): Promise<void> {
    if (this.#wire.hasEnded) return;
    await this.#send(answer.bytes());
    // The listener may have closed it meanwhile.
    if (this.#phase !== "response") return;
    this.#phase = "websocket";
    this.#gone = undefined;
    this.#answer101 = undefined;
    socket.start();
  }

  /** Refuses a request that no handler sees. */
  async #refuse(refusal: HeadRefusal): Promise<void> {
    this.#reading.stop();
    this.#phase = "response";
    const context = { method: "", minorVersion: 0 } as const;
    await this.#write(textResponse(refusal), context);
    await this.#drain();
  }

  async #write(
    response: Response,
    { method, minorVersion }: Pick<RequestHead, "method" | "minorVersion">,
  ): Promise<void> {
    let isSending = false;
    const write = async (
      bytes: Uint8Array,
      isStream = false,
    ): Promise<void> => {
      isSending = true;
      this.#expectsContinue = false;
      await this.#send(bytes, isStream ? Infinity : stallTimeoutS);
      isSending = false;
    };
    const { signal } = this.#gone!;
    try {
      await writeResponse(response, write, {
        ...{ method, minorVersion, signal },
        onFailed: () => {
          if (isSending) this.close();
        },
      });
      this.#gone = undefined;
    } catch (error) {
      // The peer's fault is no error of the handler's.
      const isPeers = isSending || signal.aborted || error instanceof BodyError;
      if (!isPeers) this.#owner.onError(error);
      throw error;
    }
  }

  async #send(bytes: Uint8Array, stallS = stallTimeoutS): Promise<void> {
    this.#writing.start(stallS);
    for (let sent = 0; sent < bytes.length;) {
      const count = await this.#wire.write(bytes.subarray(sent));
      sent += count;
      this.#writing.moved(count);
    }
    this.#writing.stop();
    // A peer that takes what it gets is there.
    this.#ended.stop();
  }

  async #askForBody(): Promise<void> {
    if (!this.#expectsContinue) return;
    this.#expectsContinue = false;
    await this.#send(continueBytes);
  }

  /** Looks whether the peer is still there while nothing is read of it. */
  #watch(): void {
    if (!this.#body?.isReading) this.#wire.watch();
    if (!this.#wire.hasEnded) return;
    // While something is written, that tells.
    if (this.#writing.isRunning) this.#ended.stop();
    else if (!this.#ended.isRunning) this.#ended.start(endedTimeoutS);
  }

  /**
   * Reads and drops what the peer still sends: a connection that is closed with
   * something unread is reset, and the response with it (RFC 9112 section 9.6).
   */
  async #drain(): Promise<void> {
    this.#phase = "drain";
    this.#ended.stop();
    this.#reading.start(drainTimeoutS);
    await this.#wire.closeWrite();
    const buffer = new Uint8Array(bodyReadBytes);
    for (let dropped = 0; dropped < drainBytes;) {
      const count = await this.#wire.read(buffer);
      if (count === null) return;
      dropped += count;
    }
  }
}

/** RFC 9110 section 7.8: in HTTP/1.0, nothing can be upgraded. */
function headersOf(
  { headers, minorVersion }: RequestHead,
): [name: string, value: string][] {
  return minorVersion === 1
    ? headers
    : headers.filter(([name]) => name !== "upgrade");
}
