import assert from "node:assert/strict";
import type { Handler, ServeOptions } from "../../src/listener/http.ts";
import * as own from "../../src/listener/serve.ts";
import { boundSockets } from "./unix_sockets.ts";
import { eventually, pause, within } from "../../tools/eventually.ts";
import { crlf } from "../helpers/crlf.ts";
import { TempFolder } from "../../tools/folder.ts";
import { Process } from "../../tools/process.ts";
import {
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
} from "../../tools/raw_client.ts";
import {
  Recorder,
  socketLimits,
  testListener,
  TestServer,
} from "../helpers/listener_contract.ts";

testListener("the own listener", own);

function start(
  handler: Handler,
  options?: Partial<ServeOptions>,
): Promise<TestServer> {
  return TestServer.start(own, handler, options);
}

const hello = "GET / HTTP/1.1\nHost: h\n\n";

Deno.test("serve() has no time limit for a handler", async () => {
  await using server = await start(async () => {
    await pause(1500);
    return new Response("late");
  }, { handshakeTimeoutS: () => 0.25 });
  assert.equal((await server.ask(hello)).body, "late");
});

Deno.test("serve() answers a bad head with what is wrong, also while the client still sends", async () => {
  await using server = await start(() => new Response("hi"));
  using client = await server.send(
    `GET / HTTP/1.1\nCookie: ${"a".repeat(200_000)}\n\n`,
  );
  const { status, headers, body } = await client.readResponse();
  assert.equal(status, 431);
  assert.equal(headers.get("connection"), "close");
  assert.match(body, /^The head .*\n$/);
  assert.equal(await client.readText(1), "");
});

Deno.test("serve() doesn't lose a response to a body that nobody reads, on TCP", async () => {
  await using server = await start(() => new Response("no"), {
    address: { hostname: "127.0.0.1", port: 0 },
  });
  for (let i = 0; i < 20; i++) {
    const head = "POST / HTTP/1.1\nHost: h\nContent-Length: 99999\n\n";
    assert.equal((await server.ask(head + "a".repeat(99_999))).body, "no");
  }
});

Deno.test("serve() doesn't wait for ever for a peer that keeps a refused connection", async () => {
  await using server = await start(() => new Response("hi"));
  using client = await server.send("nonsense\n\n");
  assert.equal((await client.readResponse()).status, 400);
  await server.has(0);
});

Deno.test("serve() asks for the body when it is read, and not before", async () => {
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  await using server = await start(async (request) => {
    if (request.url.endsWith("/no")) return new Response("no");
    await asked;
    return new Response(await request.text());
  });
  const request = (path: string): string =>
    `POST ${path} HTTP/1.1\nHost: h\nContent-Length: 4\nExpect: 100-continue\n\n`;
  assert.equal((await server.ask(request("/no"))).body, "no");

  using client = await server.send(request("/"));
  ask();
  const asking = "HTTP/1.1 100 Continue\r\n\r\n";
  assert.equal(await client.readText(asking.length), asking);
  await client.write(crlf("bo"));
  await pause(20);
  // Not asked for again.
  await client.write(crlf("dy"));
  assert.equal((await client.readResponse()).body, "body");
});

Deno.test("serve() tells a handler that its body is malformed, cut off or too large, and answers so unless that does", async () => {
  await using server = await start(
    async (request) => new Response(await request.text()),
    { bodyBytes: () => 10 },
  );
  const post = "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n";
  for (const body of ["x\n", "5\nab", "b\n"]) {
    using client = await server.send(post + body);
    await client.closeWrite();
    const { status } = await client.readResponse();
    assert.equal(status, body === "b\n" ? 413 : 400);
  }
  assert.deepEqual(server.errors, []);
});

Deno.test("serve() ignores what comes behind a request", async () => {
  let requests = 0;
  await using server = await start(() => {
    requests++;
    return new Response("hi");
  });
  using client = await server.send(hello + hello);
  assert.equal((await client.readResponse()).body, "hi");
  assert.equal(await client.readText(1), "");
  assert.equal(requests, 1);
});

Deno.test("serve() answers a client that has ended its side", async () => {
  await using server = await start(() => new Response("hi"));
  using client = await server.send(hello);
  await client.closeWrite();
  assert.equal((await client.readResponse()).body, "hi");
});

Deno.test("serve() aborts the request's signal when the client goes while the handler works", async () => {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  await using server = await start(async ({ signal }) => {
    signal.addEventListener("abort", () => resolve());
    await aborted;
    return new Response("for nobody");
  });
  const client = await server.send(hello);
  client.close();
  await aborted;
  await server.has(0);
  assert.deepEqual(server.errors, []);
});

Deno.test("serve() cancels a response that its client doesn't wait for", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  await using server = await start(() =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(Uint8Array.of(65)),
        cancel: () => resolve(),
      }),
    )
  );
  const client = await server.send(hello);
  await client.readResponse({ toHead: true });
  client.close();
  await within(cancelled, "the stream to be cancelled");
});

Deno.test("serve() reports a handler that upgrades and answers otherwise, and the socket's handler is told", async () => {
  const recorder = new Recorder();
  await using server = await start((request) => {
    recorder.upgrade(own, request);
    return new Response("otherwise");
  });
  using client = await server.send(handshakeBytes());
  assert.equal(await client.readText(1), "");
  assert.deepEqual(recorder.events, ["closed undefined"]);
  assert.equal(server.errors.length, 1);
});

const cases = [
  ["in HTTP/1.0", handshakeBytes({ version: "HTTP/1.0" })],
  ["with a body", handshakeBytes({ headers: { "Content-Length": "2" } })],
  [
    "with a body in chunks",
    handshakeBytes({ headers: { "Transfer-Encoding": "chunked" } }),
  ],
] as const;
for (const [what, handshake] of cases) {
  Deno.test(`upgradeWebSocket() takes no handshake ${what}`, async () => {
    const recorder = new Recorder();
    await using server = await start((request) => {
      assert.throws(() => recorder.upgrade(own, request), TypeError);
      return new Response("no", { status: 400 });
    });
    assert.equal((await server.ask(handshake)).status, 400);
    assert.deepEqual(recorder.events, []);
  });
}

Deno.test("upgradeWebSocket() puts no line end of a protocol into a header", async () => {
  await using server = await start((request) => {
    assert.throws(
      () =>
        own.upgradeWebSocket(request, {
          limits: socketLimits,
          handler: new Recorder(),
          protocol: "a\r\nX-Injected: b",
        }),
      TypeError,
    );
    return new Response("no", { status: 400 });
  });
  const { status, head } = await server.ask(handshakeBytes());
  assert.equal(status, 400);
  assert.doesNotMatch(head, /injected/i);
});

Deno.test("serve() keeps frames that come with the handshake, or before the 101", async () => {
  const recorder = new Recorder();
  await using server = await start(async (request) => {
    // Longer than it takes to begin to watch the connection.
    await pause(600);
    return recorder.upgrade(own, request);
  });
  const frame = frameBytes(opcodes.text, "one");
  using client = await server.send(concat([handshakeBytes(), frame]));
  await pause(500);
  await client.write(frameBytes(opcodes.text, "two"));
  await client.write(frameBytes(opcodes.text, "3".repeat(600)));
  await client.upgraded();
  await recorder.saw(`text ${"3".repeat(600)}`);
  const events = recorder.events.slice(0, 3);
  assert.deepEqual(events, ["opened", "text one", "text two"]);
  client.close();
});

for (const [name, handlerMs] of [["at once", 0], ["late", 1500]] as const) {
  Deno.test(`serve() leaves no descriptor of 300 clients that hang up before the 101, which comes ${name}`, async () => {
    const recorders: Recorder[] = [];
    await using server = await start(async (request) => {
      if (handlerMs > 0) await pause(handlerMs);
      const recorder = new Recorder();
      recorders.push(recorder);
      return recorder.upgrade(own, request);
    });
    const { socket } = server.target as { socket: string };
    await Promise.all(Array.from({ length: 300 }, async () => {
      using _ = await server.send(handshakeBytes());
    }));
    await eventually(() => recorders.length === 300, "all handlers");
    await server.has(0);
    await eventually(
      () =>
        recorders.every(({ events }) => events.at(-1) === "closed undefined"),
      "all sockets' ends",
    );
    // The one that listens.
    assert.equal(boundSockets(socket), 1);
  });
}

Deno.test("serve() closes connections without a word beyond the reserve, and goes on when there is room", async () => {
  const maxOverloaded = 3;
  let unanswered = 0;
  await using server = await start(() => new Response("hi"), {
    maxConnections: () => 2,
    maxOverloaded,
    onUnanswered: () => unanswered++,
  });
  const silent = await Promise.all(
    Array.from({ length: 2 + maxOverloaded }, () => server.connect()),
  );
  await server.has(silent.length);
  using beyond = await server.connect();
  assert.equal(await beyond.readText(1), "");
  assert.equal(unanswered, 1);
  // One of the reserve is told.
  await silent.at(-1)!.write(crlf(hello));
  assert.equal((await silent.at(-1)!.readResponse()).status, 503);
  for (const client of silent) client.close();
  await server.has(0);
  assert.equal((await server.ask(hello)).body, "hi");
});

Deno.test("serve() goes on after it had no descriptor left", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/socket`;
  const program = new URL("./plain_server.ts", import.meta.url).pathname;
  await using child = new Process("sh", [
    "-c",
    'ulimit -n 64; exec "$0" run --no-lock --allow-all "$1" "$2"',
    ...[Deno.execPath(), program, path],
  ]);
  await child.printed(/ready/);
  const target = { socket: path };
  const clients: RawClient[] = [];
  for (let i = 0; i < 100; i++) clients.push(await RawClient.connect(target));
  // Long enough for the child to find out.
  await pause(500);
  for (const client of clients) client.close();
  assert.ok(!child.ended, child.output);
  using client = await RawClient.connect(target);
  await client.write(crlf(hello));
  assert.equal((await client.readResponse()).body, "hi");
});

Deno.test("shutdown() ends half heads soon, and waits for WebSockets", async () => {
  const recorder = new Recorder();
  await using server = await start((request) => recorder.upgrade(own, request));
  using half = await server.send("GET / HT");
  using client = await server.join();
  const down = server.server.shutdown();
  assert.equal(await half.readText(1), "");
  assert.equal(server.server.connectionCount, 1);
  recorder.socket!.close(1001, "bye");
  assert.equal((await client.readFrame())!.opcode, opcodes.close);
  client.close();
  await down;
});

Deno.test("serve() judges nobody for the time in which the process stood still", async () => {
  await using server = await start(() => new Response("hi"), {
    handshakeTimeoutS: () => 0.5,
  });
  using client = await server.connect();
  await server.has(1);
  await client.write(crlf("GET / HTTP/1.0\n"));
  // The process is this one: the rest has come when it goes on.
  const sent = client.write(crlf("\n"));
  const endMs = Date.now() + 1500;
  while (Date.now() < endMs);
  await sent;
  assert.equal((await client.readResponse()).body, "hi");
});
