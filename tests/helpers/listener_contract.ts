/** What every listener does, whatever it is made of. */
import assert from "node:assert/strict";
import type {
  Handler,
  HttpServer,
  Listener,
  ServeOptions,
} from "../../src/listener/http.ts";
import { messageFrame } from "../../src/listener/frames.ts";
import type {
  Message,
  Socket,
  SocketFault,
  SocketHandler,
} from "../../src/listener/socket.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { crlf } from "./crlf.ts";
import { TempFolder } from "../../tools/folder.ts";
import {
  closePayload,
  concat,
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
  type Response as RawResponse,
  type Target,
} from "../../tools/raw_client.ts";

/** The limits of the WebSockets here. */
export const socketLimits = {
  messageBytes: 1000,
  idleTimeoutS: 30,
  closeTimeoutS: 5,
};

/** A server on a unix socket of its own, stopped on disposal. */
export class TestServer implements AsyncDisposable {
  readonly target: Target;
  readonly errors: unknown[] = [];
  readonly server: HttpServer;
  readonly #folder: TempFolder;

  private constructor(
    folder: TempFolder,
    { listener, handler, options }: {
      listener: Listener;
      handler: Handler;
      options: Partial<ServeOptions>;
    },
  ) {
    this.#folder = folder;
    const path = `${folder.path}/socket`;
    this.server = listener.serve({
      address: { path },
      handshakeTimeoutS: () => 30,
      bodyBytes: () => 100_000,
      maxConnections: () => 1000,
      maxOverloaded: 4,
      overloaded: () => new Response("full\n", { status: 503 }),
      onError: (error) => this.errors.push(error),
      ...options,
    }, handler);
    const { addr } = this.server;
    this.target = addr.transport === "tcp"
      ? { port: addr.port }
      : { socket: path };
  }

  /** Starts `listener`. */
  static async start(
    listener: Listener,
    handler: Handler,
    options: Partial<ServeOptions> = {},
  ): Promise<TestServer> {
    const folder = await TempFolder.make();
    return new TestServer(folder, { listener, handler, options });
  }

  /** Connects. */
  connect(): Promise<RawClient> {
    return RawClient.connect(this.target);
  }

  /** Connects and sends a request; of text, see {@linkcode crlf}. */
  async send(request: string | Uint8Array): Promise<RawClient> {
    const client = await this.connect();
    await client.write(typeof request === "string" ? crlf(request) : request);
    return client;
  }

  /** Sends such a request, and gets the response. */
  async ask(request: string | Uint8Array): Promise<RawResponse> {
    using client = await this.send(request);
    return await client.readResponse();
  }

  /** Connects with a WebSocket. */
  join(): Promise<RawClient> {
    return RawClient.join(this.target, "/");
  }

  /** Resolves when it has so many connections. */
  async has(count: number): Promise<void> {
    await eventually(
      () => this.server.connectionCount === count,
      () => `${count} connections, got ${this.server.connectionCount}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.server.shutdown(), "the end of all connections");
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** A handler of sockets that remembers what it was told, in order. */
export class Recorder implements SocketHandler {
  socket: Socket | undefined;
  /** Messages as they are, behind their kind; all else by name. */
  readonly events: string[] = [];
  readonly messages: Message[] = [];
  /** Resolves to the code with which it was closed. */
  readonly ended: Promise<number | undefined>;
  /** Sent before the 101. */
  early: Uint8Array<ArrayBuffer> | undefined;
  /** Called for each message; says whether that is taken. */
  onMessage: () => boolean = () => true;
  onFaulted: () => void = () => {};
  readonly #ended = Promise.withResolvers<number | undefined>();

  constructor() {
    this.ended = this.#ended.promise;
  }

  /** Makes a WebSocket of a request. */
  upgrade(listener: Listener, request: Request): Response {
    const { socket, response } = listener.upgradeWebSocket(request, {
      limits: socketLimits,
      handler: this,
      protocol: request.headers.get("sec-websocket-protocol") ?? undefined,
    });
    this.socket = socket;
    response.headers.set("X-Test", "yes");
    if (this.early !== undefined) socket.send(this.early);
    return response;
  }

  opened(): void {
    this.events.push("opened");
  }
  message(message: Message): boolean {
    const text = new TextDecoder().decode(message.payload);
    this.events.push(`${message.isText ? "text" : "binary"} ${text}`);
    this.messages.push(message);
    return this.onMessage();
  }
  caughtUp(): void {
    this.events.push("caught up");
  }
  saidGoodbye(): void {
    this.events.push("goodbye");
  }
  faulted(why: SocketFault): void {
    this.events.push(`faulted ${why}`);
    this.onFaulted();
  }
  closed(code: number | undefined): void {
    this.events.push(`closed ${code}`);
    this.#ended.resolve(code);
  }

  /** Resolves when `event` has happened. */
  async saw(event: string): Promise<void> {
    await eventually(
      () => this.events.includes(event),
      () => `"${event}", got ${this.events.join(", ")}`,
    );
  }
}

/** Registers the tests that `listener`, called `name`, passes. */
export function testListener(name: string, listener: Listener): void {
  const test = (what: string, run: () => Promise<void>): void =>
    Deno.test(`${name}: ${what}`, run);
  const start = (
    handler: Handler,
    options?: Partial<ServeOptions>,
  ): Promise<TestServer> => TestServer.start(listener, handler, options);
  const startSockets = (
    recorder: Recorder,
    options?: Partial<ServeOptions>,
  ): Promise<TestServer> =>
    start((request) => recorder.upgrade(listener, request), options);

  test("a handler gets the request, and the client its response", async () => {
    await using server = await start(async (request) => {
      const { method, url, headers } = request;
      const { pathname, search } = new URL(
        url.replace(/^http\+unix:\/\/[^/]*/, "http://h"),
      );
      const seen = [method, pathname + search, headers.get("x-a")];
      return new Response([...seen, await request.text()].join(" "), {
        ...{ status: 202, headers: { "X-B": "c" } },
      });
    });
    const response = await server.ask(
      "POST /a/b?c HTTP/1.1\nHost: h\nX-A: 1\nX-A: 2\nContent-Length: 4\n\nbody",
    );
    assert.equal(response.status, 202);
    assert.equal(response.headers.get("x-b"), "c");
    assert.equal(response.headers.get("content-length"), "21");
    assert.ok(response.headers.has("date"));
    assert.equal(response.body, "POST /a/b?c 1, 2 body");
  });

  test("a response to HEAD has no body", async () => {
    await using server = await start(() => new Response("hello"));
    using client = await server.send("HEAD / HTTP/1.0\n\n");
    const { headers } = await client.readResponse({ toHead: true });
    assert.equal(headers.get("content-length"), "5");
    assert.deepEqual(await client.readToEnd(), []);
  });

  test("a handler that throws or rejects is answered for with 500, and nothing of the error", async () => {
    const secret = new Error("secret");
    await using server = await start((request) => {
      if (request.url.endsWith("/throw")) throw secret;
      return Promise.reject(secret);
    });
    for (const path of ["/throw", "/reject"]) {
      const request = `GET ${path} HTTP/1.1\nHost: h\n\n`;
      const { status, head, body } = await server.ask(request);
      assert.equal(status, 500);
      assert.match(body, /^[^\n]+\n$/);
      assert.doesNotMatch(head + body, /secret|throw|reject/);
    }
    assert.deepEqual(server.errors, [secret, secret]);
  });

  test("a body that is announced to be too large is refused", async () => {
    await using server = await start(() => new Response("taken"));
    const { status } = await server.ask(
      "POST / HTTP/1.1\nHost: h\nContent-Length: 100001\n\nab",
    );
    assert.equal(status, 413);
  });

  test("bodies stream in both directions at once", async () => {
    await using server = await start(({ body }) => new Response(body));
    using client = await server.send(
      "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n3\none\n",
    );
    const texts = await client.readResponse({ toHead: true });
    assert.equal(texts.headers.get("transfer-encoding"), "chunked");
    assert.equal(await client.readText(8), "3\r\none\r\n");
    await client.write(crlf("5\nthree\n"));
    assert.equal(await client.readText(10), "5\r\nthree\r\n");
    await client.write(crlf("0\n\n"));
    assert.equal(await client.readText(5), "0\r\n\r\n");
  });

  test("more connections than there may be are told so, until others end", async () => {
    let limit = 2;
    await using server = await startSockets(new Recorder(), {
      maxConnections: () => limit,
    });
    using _one = await server.join();
    using two = await server.join();
    assert.equal(server.server.connectionCount, 2);
    const request = "GET / HTTP/1.1\nHost: h\n\n";
    assert.equal((await server.ask(request)).status, 503);
    limit = 3;
    using three = await server.join();
    assert.equal((await server.ask(request)).status, 503);
    two.close();
    three.close();
    await server.has(1);
    using _four = await server.join();
  });

  test("a WebSocket opens, takes and gives messages, and closes", async () => {
    const recorder = new Recorder();
    await using server = await startSockets(recorder);
    using client = await server.send(
      handshakeBytes({ headers: { "Sec-WebSocket-Protocol": "chat" } }),
    );
    const { headers } = await client.upgraded();
    assert.equal(headers.get("sec-websocket-protocol"), "chat");
    assert.equal(headers.get("x-test"), "yes");
    assert.equal(server.server.connectionCount, 1);
    const cases = [
      ...[[opcodes.text, "grüße"], [opcodes.binary, "A"], [opcodes.text, ""]],
    ] as [opcode: number, text: string][];
    for (const [i, [opcode, text]] of cases.entries()) {
      await client.send(opcode, text);
      await eventually(() => recorder.messages.length > i, "the message");
      recorder.socket!.send(recorder.messages[i]!.frame);
      const frame = (await client.readFrame())!;
      assert.equal(frame.opcode, opcode);
      assert.equal(new TextDecoder().decode(frame.payload), text);
    }
    await client.send(opcodes.close, closePayload(4321));
    assert.equal((await client.readFrame())!.opcode, opcodes.close);
    await recorder.saw("closed 4321");
    // Only the own listener tells.
    const events = recorder.events.filter((event) => event !== "goodbye");
    assert.deepEqual(events, [
      ...["opened", "text grüße", "binary A", "text ", "closed 4321"],
    ]);
    assert.equal(recorder.socket!.state, "closed");
    assert.equal(recorder.socket!.queuedBytes, 0);
    await server.has(0);
  });

  test("send() sends several frames at once, also before the 101; close() comes behind them", async () => {
    const recorder = new Recorder();
    const frames = (...texts: string[]): Uint8Array<ArrayBuffer> =>
      concat(texts.map((text) => messageFrame(crlf(text), { isText: true })));
    recorder.early = frames("a", "b".repeat(200));
    await using server = await startSockets(recorder);
    using client = await server.join();
    await recorder.saw("opened");
    const { socket } = recorder;
    socket!.send(frames("c".repeat(70_000), "d"));
    socket!.tellBelow(0);
    const lengths = [];
    for (let i = 0; i < 4; i++) {
      lengths.push((await client.readFrame())!.payload.length);
    }
    assert.deepEqual(lengths, [1, 200, 70_000, 1]);
    await recorder.saw("caught up");
    socket!.close(4000, "why");
    assert.equal(socket!.state, "closing");
    const { opcode, payload } = (await client.readFrame())!;
    assert.equal(opcode, opcodes.close);
    assert.deepEqual(readClose(payload), { code: 4000, reason: "why" });
    await client.send(opcodes.close, closePayload(4000));
    await eventually(() => socket!.state === "closed", "the end");
  });

  test("a client that breaks its connection is gone, without a code, also while it is closed", async () => {
    for (const isClosed of [false, true]) {
      const recorder = new Recorder();
      await using server = await startSockets(recorder);
      const client = await server.join();
      await recorder.saw("opened");
      if (isClosed) {
        recorder.socket!.close(4000, "why");
        assert.equal((await client.readFrame())!.opcode, opcodes.close);
      }
      client.close();
      await recorder.saw("closed undefined");
      await server.has(0);
    }
  });

  test("a message that is too big ends its WebSocket with 1009", async () => {
    const recorder = new Recorder();
    await using server = await startSockets(recorder);
    using client = await server.join();
    await client.send(opcodes.text, "a".repeat(socketLimits.messageBytes + 1));
    assert.equal(readClose((await client.readFrame())!.payload).code, 1009);
    assert.ok(recorder.events.includes("faulted too_big"));
  });

  test("upgradeWebSocket() takes handshakes only, once, and none of others", async () => {
    let refusals = 0;
    const attempt = (request: Request): Response => {
      try {
        return new Recorder().upgrade(listener, request);
      } catch (error) {
        assert.ok(error instanceof TypeError);
        refusals++;
        return new Response("refused");
      }
    };
    await using server = await start((request) => {
      const response = attempt(request);
      attempt(request);
      return response;
    });
    const { body } = await server.ask("GET / HTTP/1.1\nHost: h\n\n");
    assert.equal(body, "refused");
    assert.equal(refusals, 2);
    using _joined = await server.join();
    assert.equal(refusals, 3);
    const headers = { "Upgrade": "websocket", "Sec-WebSocket-Key": "a" };
    attempt(new Request("http://h/", { headers }));
    assert.equal(refusals, 4);
  });

  test("shutdown() removes the socket file, lets requests end, and resolves `finished`", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
    const server = await start(async () => {
      begin();
      await goOn;
      return new Response("done");
    });
    const path = (server.target as { socket: string }).socket;
    using client = await server.send("GET / HTTP/1.1\nHost: h\n\n");
    await begun;
    const down = server.server.shutdown();
    letGo();
    assert.equal((await client.readResponse()).body, "done");
    client.close();
    await within(down, "shutdown()");
    await within(server.server.finished, "`finished`");
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
    await server[Symbol.asyncDispose]();
  });

  test("it listens on TCP, and says on which port", async () => {
    await using server = await start(() => new Response("hi"), {
      address: { hostname: "127.0.0.1", port: 0 },
    });
    assert.ok("port" in server.target && server.target.port > 0);
    assert.equal((await server.ask("GET / HTTP/1.0\n\n")).body, "hi");
  });
}
