/** A network that misbehaves on demand: a TCP proxy on 127.0.0.1. */
import { once } from "node:events";
import { type AddressInfo, createServer, Socket } from "node:net";

/** One client's connection, and the one to the target for it. */
interface Pair {
  readonly client: Socket;
  readonly target: Socket;
}

/** Called for each connection; gets what is then called with all that the client sends. */
type Watch = () => (bytes: Uint8Array) => void;

/** Passes connections on to a port, until it is told not to. */
export class FaultyProxy implements AsyncDisposable {
  readonly #server = createServer(
    { pauseOnConnect: true },
    (client) => this.#connect(client),
  );
  readonly #target: { readonly host: string; readonly port: number };
  readonly #watch: Watch;
  readonly #pairs = new Set<Pair>();
  #silent = false;
  #delayMs: () => number = () => 0;

  private constructor(target: { host: string; port: number }, watch: Watch) {
    this.#target = target;
    this.#watch = watch;
  }

  /** Starts a proxy to `port` of `host`. `watch` sees what clients send. */
  static async start(
    port: number,
    host = "127.0.0.1",
    watch: Watch = () => () => {},
  ): Promise<FaultyProxy> {
    const proxy = new FaultyProxy({ host, port }, watch);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  /** Where to connect to. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The number of connections. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Ends every connection with a reset (RST), on both sides. */
  reset(): void {
    for (const { client, target } of this.#pairs) {
      client.resetAndDestroy();
      target.resetAndDestroy();
    }
  }

  /**
   * Resets every connection on the client's side only: the target hears
   * nothing, as if the client's machine had lost its power.
   */
  halfOpen(): void {
    for (const pair of this.#pairs) {
      pair.target.pause();
      pair.client.removeAllListeners("close");
      pair.client.resetAndDestroy();
    }
  }

  /** Passes nothing on and answers nobody from now on, in neither direction, while connections stay open. */
  blackHole(): void {
    this.#silent = true;
    for (const { client, target } of this.#pairs) {
      client.pause();
      target.pause();
    }
  }

  /** Ends {@linkcode blackHole}. What was sent meanwhile arrives, as TCP sends it again. */
  heal(): void {
    this.#silent = false;
    for (const { client, target } of this.#pairs) {
      client.resume();
      target.resume();
    }
  }

  /**
   * Delays everything that is passed on from now on by `ms` milliseconds, or by
   * what a function says each time. The order of bytes stays, as TCP keeps it.
   */
  delay(ms: number | (() => number)): void {
    this.#delayMs = typeof ms === "number" ? () => ms : ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const { client, target } of this.#pairs) {
      client.destroy();
      target.destroy();
    }
    await closed;
  }

  #connect(client: Socket): void {
    const target = new Socket();
    const pair = { client, target };
    this.#pairs.add(pair);
    client.setNoDelay(true);
    target.setNoDelay(true);
    client.on("data", this.#watch());
    this.#pass(client, target);
    this.#pass(target, client);
    client.on("error", () => {});
    target.on("error", () => {});
    this.#endWith(client, target);
    this.#endWith(target, client);
    const forget = (): void => {
      if (client.destroyed && target.destroyed) this.#pairs.delete(pair);
    };
    client.on("close", forget);
    target.on("close", forget);
    target.on("connect", () => {
      if (!this.#silent) client.resume();
    });
    // In a black hole nobody gets an answer; here that is the target's greeting.
    if (this.#silent) target.pause();
    target.connect(this.#target);
  }

  /** Ends `to` as `from` ends: with what is still to be written, or at once. */
  #endWith(from: Socket, to: Socket): void {
    from.on("close", (hadError) => {
      if (hadError) to.resetAndDestroy();
      else if (!from.readableEnded) to.destroy();
    });
  }

  #pass(from: Socket, to: Socket): void {
    /** When the last bytes in {@linkcode line} are due. */
    let lastDueMs = 0;
    const line: Uint8Array[] = [];
    const pass = (bytes: Uint8Array): void => {
      if (to.destroyed || to.write(bytes)) return;
      from.pause();
      to.once("drain", () => this.#silent || from.resume());
    };
    from.on("data", (bytes: Uint8Array) => {
      const delayMs = this.#delayMs();
      if (delayMs === 0 && line.length === 0) return pass(bytes);
      const nowMs = performance.now();
      lastDueMs = Math.max(lastDueMs, nowMs + delayMs);
      // Whichever timer fires first: the oldest bytes go first.
      line.push(bytes);
      setTimeout(() => pass(line.shift()!), lastDueMs - nowMs);
    });
    from.on("end", () => {
      if (line.length === 0) to.end();
      else setTimeout(() => to.end(), lastDueMs - performance.now() + 1);
    });
  }
}
