/** A comfortable WebSocket client, over a unix socket or a URL. */
import { Connection, type Ending } from "./connection.ts";
import { within } from "./eventually.ts";
import type { Target } from "./raw_client.ts";

/** A message as a client gets it. */
export type Received = string | Uint8Array<ArrayBuffer>;

/**
 * Connects clients to one server. Its disposal ends all of them and waits until
 * they are closed.
 */
export class Clients implements AsyncDisposable {
  readonly #target: Target;
  readonly #host: string;
  readonly #clients: Client[] = [];

  /**
   * @param server The path of a unix socket, or a URL such as `ws://127.0.0.1:8080`.
   * @param options.caCerts Certificates to trust beside the usual ones, as PEM.
   */
  constructor(server: string, { caCerts = [] }: { caCerts?: string[] } = {}) {
    if (server.startsWith("/")) {
      this.#target = { socket: server };
      this.#host = "localhost";
      return;
    }
    const { protocol, host, hostname, port } = new URL(server);
    this.#host = host;
    this.#target = protocol === "wss:" || protocol === "https:"
      ? { hostname, port: Number(port || 443), tls: { caCerts } }
      : { hostname, port: Number(port || 80) };
  }

  /**
   * Resolves with a client that has joined the channel `path`.
   *
   * @throws {Error} If the handshake fails.
   */
  async join(
    path: string,
    { protocols = [] }: { protocols?: string[] } = {},
  ): Promise<Client> {
    const connection = await Connection.dial(this.#target, {
      path,
      headers: {
        "Host": this.#host,
        "Sec-WebSocket-Protocol": protocols.length > 0
          ? protocols.join(", ")
          : undefined,
      },
    });
    if (!(connection instanceof Connection)) {
      const { status, reason } = connection;
      throw new Error(`Cannot connect a client: ${status} ${reason}`);
    }
    const client = new Client(connection);
    this.#clients.push(client);
    return client;
  }

  /** Resolves with `count` clients that have joined the channel `path`. */
  joinMany(path: string, count: number): Promise<Client[]> {
    return Promise.all(Array.from({ length: count }, () => this.join(path)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(
      this.#clients.map((client) => within(client.closed, "a client's end")),
    );
  }
}

/** One client, and the messages that it has got. */
export class Client {
  /** Resolves when the connection has ended, with 1006 if no close frame came. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** How many messages have come so far. */
  count = 0;
  readonly #connection: Connection;
  readonly #messages: Received[] = [];
  readonly #waiting: PromiseWithResolvers<Received>[] = [];
  #end: Ending | undefined;

  /** Begins to read of a connection. */
  constructor(connection: Connection) {
    this.#connection = connection;
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.closed = promise;
    connection.listen({
      message: (kind, payload) =>
        this.#receive(kind === "text" ? textOf(payload) : payload.slice()),
      closed: (ending) => {
        this.#end = ending;
        resolve(ending);
        for (const waiting of this.#waiting) waiting.reject(this.#endError());
      },
    });
  }

  /** The subprotocol that the server chose; empty if it chose none. */
  get protocol(): string {
    return this.#connection.headers.get("sec-websocket-protocol") ?? "";
  }

  /** Publishes a message. */
  send(message: Received): void {
    const kind = typeof message === "string" ? "text" : "binary";
    this.#connection.send(kind, message);
  }

  /** Whether the connection is open. */
  get isOpen(): boolean {
    return this.#connection.isOpen;
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
    this.#connection.leave(code, reason);
  }

  #receive(message: Received): void {
    this.count++;
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve(message);
    else this.#messages.push(message);
  }

  #endError(): Error {
    return new Error(
      `Expected a message, got the close ${JSON.stringify(this.#end)}`,
    );
  }
}

/**
 * Gets the text in a message.
 *
 * @throws {SyntaxError} If it isn't UTF-8 (RFC 6455 section 8.1).
 */
function textOf(payload: Uint8Array): string {
  try {
    return utf8.decode(payload);
  } catch {
    throw new SyntaxError("a text that isn't UTF-8");
  }
}

/** The bytes as they are: neither replaced, nor a byte order mark taken away. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

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
