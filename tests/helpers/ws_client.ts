/** A comfortable WebSocket client, the runtime's own, over a unix socket or a URL. */
import { within } from "./eventually.ts";

/** A message as a client gets it. */
export type Received = string | Uint8Array<ArrayBuffer>;

/**
 * Connects clients to one server. Its disposal ends all of them and waits until
 * they are closed.
 */
export class Clients implements AsyncDisposable {
  #base: string;
  #http: Deno.HttpClient | undefined;
  #clients: Client[] = [];

  /**
   * @param server The path of a unix socket, or a base URL such as `ws://127.0.0.1:8080`.
   * @param options.caCerts Certificates to trust beside the usual ones, as PEM.
   */
  constructor(server: string, options: { caCerts?: string[] } = {}) {
    const onSocket = server.startsWith("/");
    this.#base = onSocket ? "ws://localhost" : server;
    if (onSocket) {
      this.#http = Deno.createHttpClient({
        proxy: { transport: "unix", path: server },
      });
    } else if (options.caCerts !== undefined) {
      this.#http = Deno.createHttpClient({ caCerts: options.caCerts });
    }
  }

  /**
   * Resolves with a client that has joined the channel `path`.
   *
   * @throws {Error} If the handshake fails.
   */
  async join(
    path: string,
    options: { protocols?: string[] } = {},
  ): Promise<Client> {
    const socket = new WebSocket(this.#base + path, {
      ...options,
      ...this.#http && { client: this.#http },
    });
    const client = new Client(socket);
    this.#clients.push(client);
    await within(client.opened, "a client's open event");
    return client;
  }

  /** Resolves with `count` clients that have joined the channel `path`. */
  joinMany(path: string, count: number): Promise<Client[]> {
    return Promise.all(Array.from({ length: count }, () => this.join(path)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(
      this.#clients.map((client) =>
        within(client.closed, "a client's close event")
      ),
    );
    this.#http?.close();
  }
}

/** One client, and the messages that it has got. */
export class Client {
  /** Resolves at the `open` event. @throws {Error} If the handshake fails. */
  readonly opened: Promise<void>;
  /** Resolves at the `close` event. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** The subprotocol that the server chose. */
  get protocol(): string {
    return this.#socket.protocol;
  }
  /** How many messages have come so far. */
  count = 0;
  #socket: WebSocket;
  #messages: Received[] = [];
  #waiting: PromiseWithResolvers<Received>[] = [];
  #end: { code: number; reason: string } | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const opened = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<{ code: number; reason: string }>();
    this.opened = opened.promise;
    this.closed = closed.promise;
    socket.onopen = () => opened.resolve();
    socket.onerror = (event) => {
      const cause = event instanceof ErrorEvent ? event.message : "";
      opened.reject(new Error(`Cannot connect a client: ${cause}`));
    };
    // Only somebody who waits for it minds a handshake that fails.
    this.opened.catch(() => {});
    socket.onclose = ({ code, reason }) => {
      this.#end = { code, reason };
      closed.resolve(this.#end);
      for (const waiting of this.#waiting) waiting.reject(this.#endError());
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      this.count++;
      const message = typeof data === "string" ? data : new Uint8Array(data);
      const waiting = this.#waiting.shift();
      if (waiting) waiting.resolve(message);
      else this.#messages.push(message);
    };
  }

  /** Publishes a message. */
  send(message: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(message);
  }

  /** How many bytes are still on their way to the server. */
  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  /** Tells whether the connection is open. */
  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** The messages that came and weren't taken. Empty if all were. */
  get untaken(): readonly Received[] {
    return this.#messages;
  }

  /** Takes the next message, waiting for it. @throws {Error} If the connection ends or none comes. */
  async next(): Promise<Received> {
    const message = this.#messages.shift();
    if (message !== undefined) return message;
    if (this.#end) throw this.#endError();
    const waiting = Promise.withResolvers<Received>();
    this.#waiting.push(waiting);
    return await within(waiting.promise, "a client's next message");
  }

  /** Takes the next `count` messages. */
  async take(count: number): Promise<Received[]> {
    const messages: Received[] = [];
    while (messages.length < count) messages.push(await this.next());
    return messages;
  }

  /** Begins to close; see {@linkcode closed}. */
  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  #endError(): Error {
    return new Error(
      `Expected a message, got the close ${JSON.stringify(this.#end)}`,
    );
  }
}

/** Checks that what one client sends reaches the other, both ways, and nothing else. */
export async function converse(a: Client, b: Client): Promise<void> {
  for (const [from, to] of [[a, b], [b, a]] as const) {
    const text = crypto.randomUUID();
    from.send(text);
    const got = await to.next();
    if (got !== text) {
      throw new Error(`Expected the message "${text}", got "${got}"`);
    }
  }
}
