/** Channels, and clients in them whose sockets do what a test says. */
import type {
  Message,
  Socket,
  SocketHandler,
  SocketState,
} from "../../src/listener/socket.ts";
import { type Bridge, NoBridge } from "../../src/relay/bridge.ts";
import { Channels } from "../../src/relay/channels.ts";
import { Client } from "../../src/relay/client.ts";
import type { Close } from "../../src/relay/close.ts";
import type { Limits } from "../../src/relay/limits.ts";
import { Metrics } from "../../src/relay/metrics.ts";
import { type Content, contentsIn, messageOf } from "../helpers/messages.ts";
import { testLimits } from "../helpers/server.ts";

/**
 * A socket without a connection. What is sent stays queued until {@linkcode take};
 * what a test lets come waits as in a real one.
 */
export class StubSocket implements Socket {
  canWait = true;
  state: SocketState = "open";
  queuedBytes = 0;
  /** What each `send` was given. */
  readonly pieces: Uint8Array[] = [];
  /** How it was closed from here. */
  closed: Close | undefined;
  readonly #handler: SocketHandler;
  readonly #coming: Message[] = [];
  #tellBelow: number | undefined;

  constructor(handler: SocketHandler) {
    this.#handler = handler;
  }

  /** What was sent. */
  get got(): Content[] {
    return this.pieces.flatMap(contentsIn);
  }

  /** How many messages came that weren't taken. */
  get waiting(): number {
    return this.#coming.length;
  }

  send(frames: Uint8Array<ArrayBuffer>): void {
    if (this.state !== "open") return;
    this.pieces.push(frames);
    this.queuedBytes += frames.length;
  }

  close(code: number, reason: string): void {
    if (this.state !== "open") return;
    this.state = "closing";
    this.closed = { code, reason };
    this.#coming.length = 0;
  }

  resume(): void {
    while (this.#coming.length > 0 && this.state === "open") {
      if (!this.#handler.message(this.#coming[0]!)) return;
      this.#coming.shift();
    }
  }

  tellBelow(bytes: number): void {
    this.#tellBelow = bytes;
  }

  /** The client sends these. */
  receive(...contents: Content[]): void {
    const mayGoOn = this.#coming.length === 0;
    this.#coming.push(...contents.map(messageOf));
    if (mayGoOn) this.resume();
  }

  /** The client reads until no more than `rest` bytes are queued. */
  take(rest = 0): void {
    this.queuedBytes = Math.min(rest, this.queuedBytes);
    if (this.#tellBelow === undefined || rest > this.#tellBelow) return;
    this.#tellBelow = undefined;
    this.#handler.caughtUp();
  }

  /** The client sends a close frame, and has still to take what is queued. */
  sayGoodbye(): void {
    if (this.state !== "open") return;
    this.state = "closing";
    this.#handler.saidGoodbye();
  }

  /** The client is gone. */
  hangUp(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.queuedBytes = 0;
    this.#coming.length = 0;
    this.#handler.closed(undefined);
  }
}

/** A client whose socket is open. */
export interface StubClient {
  readonly client: Client;
  readonly socket: StubSocket;
}

/** Channels, and what makes clients in them. Disposal lets all of them hang up. */
export class StubNode implements Disposable {
  readonly metrics = new Metrics();
  readonly channels: Channels;
  readonly limits: Limits;
  readonly #sockets: StubSocket[] = [];

  constructor(
    { bridge = new NoBridge(), limits = {} }: {
      bridge?: Bridge;
      limits?: Partial<Limits>;
    } = {},
  ) {
    this.limits = { ...testLimits, ...limits };
    const { metrics } = this;
    this.channels = new Channels({ bridge, metrics, limits: this.limits });
  }

  /** Makes a client that has neither joined nor a socket. */
  newClient(): Client {
    const { channels, limits, metrics } = this;
    return new Client({ channels, limits, metrics, onReleased: () => {} });
  }

  /** Makes a client in the channel `path` whose socket is open. */
  async join(path: string): Promise<StubClient> {
    const client = this.newClient();
    await client.join(path);
    return { client, socket: this.attach(client) };
  }

  /** Gives `client` an open socket. */
  attach(client: Client): StubSocket {
    const socket = new StubSocket(client);
    this.#sockets.push(socket);
    client.attach(socket);
    client.opened();
    return socket;
  }

  /** Makes `count` clients in the channel `path`. */
  joinMany(path: string, count: number): Promise<StubClient[]> {
    return Promise.all(Array.from({ length: count }, () => this.join(path)));
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.hangUp();
  }
}

/** Resolves when what a turn brought has gone out, and those who were let go have gone on. */
export function turnOver(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
