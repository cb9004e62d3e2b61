import assert from "node:assert/strict";
import { joinStatus } from "../../../src/commands/join/ending.ts";
import {
  Session,
  type SessionOptions,
} from "../../../src/commands/join/session.ts";
import type { Output } from "../../../src/commands/subcommand.ts";
import { StartupError } from "../../../src/common/errors.ts";
import { commandContext } from "../../helpers/command_line.ts";
import { eventually, pause, within } from "../../../tools/eventually.ts";
import { TempFolder } from "../../../tools/folder.ts";
import { startServer, type TestServer } from "../../helpers/server.ts";
import type { Received } from "../../../tools/ws_client.ts";
import { serveHttp } from "../http_server.ts";

const path = "/11111111-2222-4333-8444-555555555555";

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** A `staps join` in this process, on streams of the test's own. */
class Run {
  stdout = "";
  stderr = "";
  readonly interruption = new AbortController();
  readonly #input = new TransformStream<Uint8Array, Uint8Array>();
  readonly #writer = this.#input.writable.getWriter();
  readonly #status: Promise<number>;

  constructor(
    { socket }: { readonly socket?: string },
    options: Partial<SessionOptions> = {},
    { isTerminal = false, write }: {
      isTerminal?: boolean;
      write?: (bytes: Uint8Array) => Promise<number>;
    } = {},
  ) {
    const output = (add: (text: string) => void): Output => ({
      write(bytes: Uint8Array): Promise<number> {
        add(new TextDecoder("latin1").decode(bytes));
        return Promise.resolve(bytes.length);
      },
      isTerminal: () => isTerminal,
    });
    const stdout = output((text) => this.stdout += text);
    const context = commandContext({
      stdin: { readable: this.#input.readable, isTerminal: () => false },
      stdout: write ? { ...stdout, write } : stdout,
      stderr: output((text) => this.stderr += text),
      interruption: () => this.interruption.signal,
    });
    this.#status = new Session({
      url: `ws://localhost${path}`,
      ...socket !== undefined && { socket },
      ...options,
    }, context).run();
    this.#status.catch(() => {});
  }

  async type(...parts: (string | Uint8Array)[]): Promise<void> {
    for (const part of parts) {
      await this.#writer.write(typeof part === "string" ? bytes(part) : part);
    }
  }

  async endInput(): Promise<void> {
    // Input that can't be published is given up.
    await this.#writer.close().catch(() => {});
  }

  end(): Promise<number> {
    return within(this.#status, "the end of staps join");
  }
}

async function joined(server: TestServer, count: number): Promise<void> {
  await eventually(
    () => server.server.channels.memberCount(path) === count,
    `${count} members`,
  );
}

/** What is given to a session beside a peer in the same channel, and what comes of it. */
interface Exchange {
  readonly options?: Partial<SessionOptions>;
  readonly isTerminal?: true;
  /** All that is typed; without it, the input stays open. */
  readonly input?: readonly string[];
  /** What the peer gets. */
  readonly publishes?: readonly Received[];
  /** What the peer sends then. */
  readonly receives?: readonly Received[];
  readonly stdout: string;
  readonly stderr?: RegExp;
}

const exchanges: Readonly<Record<string, Exchange>> = {
  "publishes lines, and ends with the input": {
    input: ["one\n\ntw", "o\r\nthree"],
    publishes: ["one", "", "two\r", "three"],
    stdout: "",
  },
  "sends its input, and ends after as many messages as it is told": {
    options: { count: 2 },
    input: ["question\n"],
    publishes: ["question"],
    receives: ["one", "", "three"],
    stdout: "one\n\n",
  },
  "publishes the whole input as one binary message, and prints bytes": {
    options: { binary: true, count: 2 },
    input: ["a\n", "b"],
    publishes: [bytes("a\nb")],
    receives: [new Uint8Array([0, 255, 10]), "text"],
    stdout: "\x00\xff\ntext",
  },
  "tells about binary messages that it doesn't print": {
    options: { count: 1 },
    receives: [new Uint8Array(3), "text"],
    stdout: "text\n",
    stderr: /^staps: 3 bytes of binary data .*--binary/,
  },
  "lets no message steer a terminal": {
    options: { count: 2 },
    isTerminal: true,
    receives: ["\x1b[2Jtwo\nlines", new Uint8Array(3)],
    stdout: "\x1b[32m<\x1b[0m \\u001b[2Jtwo\n  lines\n" +
      "\x1b[32m<\x1b[0m (3 bytes of binary data)\n",
    stderr: /./,
  },
};

for (const [name, exchange] of Object.entries(exchanges)) {
  Deno.test(`Session ${name}`, async () => {
    await using server = await startServer();
    const peer = await server.connect(path);
    const { options, isTerminal = false, input, stdout, stderr } = exchange;
    const { publishes = [], receives = [] } = exchange;
    const run = new Run(server, options, { isTerminal });
    await run.type(...input ?? []);
    if (input) await run.endInput();
    assert.deepEqual(await peer.take(publishes.length), publishes);
    if (receives.length > 0) await joined(server, 2);
    for (const message of receives) peer.send(message);
    assert.equal(await run.end(), joinStatus.done);
    assert.equal(run.stdout, stdout);
    assert.match(run.stderr, stderr ?? /^$/);
    assert.equal(peer.count, publishes.length);
  });
}

Deno.test("Session refuses input that is no text", async () => {
  await using server = await startServer();
  const run = new Run(server);
  await run.type(new Uint8Array([0xff]));
  await assert.rejects(run.end(), { name: "InputError", exitCode: 65 });
});

Deno.test("Session tells by its status that a message was refused", async () => {
  // What is published last must not hide it behind a close of its own.
  await using server = await startServer({ limits: { messageBytes: 10 } });
  for (const binary of [false, true]) {
    // It won't be taken the next time either.
    const run = new Run(server, { binary, reconnect: true });
    await run.type("x".repeat(11));
    await run.endInput();
    assert.equal(await run.end(), joinStatus.refused);
    assert.equal(
      run.stderr,
      "staps: closed by the server: 1009 message over 10 bytes\n",
    );
  }
});

Deno.test("Session gives a distant server time to refuse its last message", async () => {
  // A close that overtakes the refusal would make it look published.
  await using distant = serveHttp(async (request) => {
    await pause(100);
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = () =>
      setTimeout(() => socket.close(1008, "too many"), 20);
    return response;
  });
  const run = new Run({}, { url: `ws://127.0.0.1:${distant.addr.port}/` });
  await run.type("x\n");
  await run.endInput();
  assert.equal(await run.end(), joinStatus.refused);
});

Deno.test("Session tries again until there is a server, if it is told to", async () => {
  await using folder = await TempFolder.make();
  const socket = `${folder.path}/s`;
  const run = new Run({ socket }, { reconnect: true, count: 1 });
  await eventually(() => run.stderr.includes("Cannot connect"), "a failure");
  await using server = await startServer({ socket });
  await joined(server, 1);
  (await server.connect(path)).send("here you are");
  assert.equal(await run.end(), joinStatus.done);
  assert.equal(run.stdout, "here you are\n");
});

Deno.test("Session tries again when a refusal asks for it, whatever it would do by itself", async () => {
  // As often it would take minutes.
  let refusals = 9;
  const headers = { "Retry-After": "0" };
  await using frontend = serveHttp((request) =>
    refusals-- === 0
      ? Deno.upgradeWebSocket(request).response
      : new Response("full", { status: 503, headers })
  );
  const url = `ws://127.0.0.1:${frontend.addr.port}${path}`;
  const run = new Run({}, { url, reconnect: true });
  await run.endInput();
  assert.equal(await run.end(), joinStatus.done);
  assert.equal(refusals, -1);
});

Deno.test("Session says why it can't connect, without the path, where it isn't to try again or that makes no sense", async () => {
  await using refuser = serveHttp(() => new Response(null, { status: 404 }));
  const url = `ws://127.0.0.1:${refuser.addr.port}${path}`;
  const cases: [Run, RegExp][] = [
    [new Run({}, { url, reconnect: true }), /HTTP status 404, expected 101$/],
    [new Run({ socket: "/none" }), /there is no such socket$/],
  ];
  for (const [run, message] of cases) {
    const error = await run.end().catch((error) => error);
    assert.ok(error instanceof StartupError, String(error));
    assert.equal(error.exitCode, 1);
    assert.match(error.message, message);
    assert.ok(!error.message.includes(path));
  }
});

Deno.test("Session tells by its status that the server stops", async () => {
  await using server = await startServer();
  const run = new Run(server);
  await joined(server, 1);
  await server.server.stop();
  assert.equal(await run.end(), joinStatus.comeBack);
  assert.match(run.stderr, /1001 service restart, retry=[0-9]+\n$/);
});

Deno.test("Session comes back when it is told to, and goes on", async () => {
  await using server = await startServer({ limits: { shutdownSpreadMs: 100 } });
  const { socket } = server;
  const run = new Run(server, { reconnect: true, count: 1 });
  await joined(server, 1);
  await server.server.stop();
  await run.type("while nobody is there\n");
  await using again = await startServer({ socket });
  const { metrics } = again.server;
  await eventually(() => metrics.messagesReceived === 1, "what was typed");
  (await again.connect(path)).send("welcome back");
  assert.equal(await run.end(), joinStatus.done);
  assert.equal(run.stdout, "welcome back\n");
});

Deno.test("Session ends with the signal's status", async () => {
  await using server = await startServer();
  const run = new Run(server);
  await joined(server, 1);
  // The server counts it before it knows that it has joined.
  (await server.connect(path)).send("x");
  await eventually(() => run.stdout === "x\n", "the message");
  run.interruption.abort(130);
  assert.equal(await run.end(), 130);
  await joined(server, 1);
});

Deno.test("Session ends in peace when nobody reads what it prints", async () => {
  await using server = await startServer();
  const write = (): Promise<never> =>
    Promise.reject(new Deno.errors.BrokenPipe());
  const run = new Run(server, {}, { write });
  await joined(server, 1);
  (await server.connect(path)).send("x");
  assert.equal(await run.end(), joinStatus.done);
});

Deno.test("Session bounds what waits to be printed", async () => {
  await using server = await startServer({
    limits: { messageBytes: 64 << 20, clientBufferBytes: 256 << 20 },
  });
  const run = new Run(server, {}, { write: () => new Promise(() => {}) });
  await joined(server, 1);
  const peer = await server.connect(path);
  const message = "x".repeat(33 << 20);
  peer.send(message);
  peer.send(message);
  await assert.rejects(run.end(), /the output is read too slowly/);
});
