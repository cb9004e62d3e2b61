import assert from "node:assert/strict";
import { asksForEvents } from "../../src/relay/event_stream.ts";
import { EventClient } from "../helpers/event_client.ts";
import { eventually } from "../../tools/eventually.ts";
import { request } from "../helpers/http.ts";
import { lacking } from "../helpers/listener.ts";
import { text } from "../helpers/messages.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { startServer, type TestServer } from "../helpers/server.ts";
import { testUnless } from "../helpers/skip.ts";

const ask = "GET /x HTTP/1.1\r\nHost: localhost\r\n" +
  "Accept: text/event-stream\r\n\r\n";

/** Asks for the event stream of `/x`, and reads nothing. */
async function stall({ server, socket }: TestServer): Promise<Deno.Conn> {
  const connection = await Deno.connect({ transport: "unix", path: socket });
  await connection.write(new TextEncoder().encode(ask));
  await eventually(() => server.channels.openCount("/x") === 1, "the stream");
  return connection;
}

/** Reads a connection to its end. */
async function readToEnd(connection: Deno.Conn): Promise<string> {
  let all = "";
  const decoder = new TextDecoder();
  for await (const part of connection.readable) {
    all += decoder.decode(part, { stream: true });
  }
  return all;
}

Deno.test("an event stream is a member that gets what the others publish, until it hangs up", async () => {
  await using server = await startServer();
  const { channels, metrics } = server.server;
  const member = await server.connect("/x");
  {
    using events = await EventClient.connect(server, "/x");
    const { status, headers } = events.response;
    assert.equal(status, 200);
    assert.equal(headers.get("content-type"), "text/event-stream");
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(headers.get("x-accel-buffering"), "no");
    assert.equal(channels.openCount("/x"), 2);
    const big = "0123456789abcdef\n".repeat(60_000);
    for (const content of ["one\ntwo", new Uint8Array([1, 2, 3]), "", big]) {
      member.send(content);
    }
    assert.deepEqual(await events.take(4), [
      { type: "message", data: "one\ntwo" },
      { type: "binary", data: "AQID" },
      { type: "message", data: "" },
      { type: "message", data: big },
    ]);
    await request(server, { path: "/x", method: "POST", body: "by POST" });
    assert.deepEqual(await events.next(), { type: "message", data: "by POST" });
    assert.equal(events.retryMs, 5000);
    await eventually(() => server.server.bufferedBytes === 0, "an empty queue");
  }
  assert.equal(await member.next(), "by POST");
  assert.equal(metrics.httpRequests.event_stream, 1);
  await eventually(() => channels.memberCount("/x") === 1, "its leave");
  await eventually(() => server.server.clientCount === 1, "its end");
});

Deno.test("an event stream gets what came before its response, and is told of a gap", async () => {
  const bridge = new RecordingBridge();
  const { promise, resolve } = Promise.withResolvers<void>();
  bridge.joining = promise;
  await using server = await startServer({ bridge });
  const connecting = EventClient.connect(server, "/x");
  await eventually(() => bridge.calls.length > 0, "the join");
  bridge.listener!.deliver("/x", text("early"));
  resolve();
  using events = await connecting;
  assert.equal((await events.next())?.data, "early");
  bridge.listener!.gap(["/x"]);
  assert.deepEqual(await events.next(), {
    type: "close",
    data: '{"code":4001,"reason":"messages may have been lost"}',
  });
  assert.equal(await events.next(), undefined);
  assert.equal(server.server.metrics.closes.gap, 1);
});

Deno.test("an event stream is told when to come back when the server stops", async () => {
  await using server = await startServer({ limits: { shutdownSpreadMs: 300 } });
  using events = await EventClient.connect(server, "/x");
  const stopped = server.server.stop();
  const event = await events.next();
  assert.equal(event?.type, "close");
  const { code, reason } = JSON.parse(event.data);
  assert.equal(code, 1001);
  const retry = /^service restart, retry=(\d+)$/.exec(reason)?.[1];
  assert.equal(events.retryMs, Number(retry));
  assert.ok(events.retryMs! <= 300);
  assert.equal(await events.next(), undefined);
  await stopped;
  assert.equal(server.server.metrics.disconnects[1001], 1);
});

Deno.test("an event stream hears from the server when nobody says anything", async () => {
  await using server = await startServer({ limits: { idleTimeoutS: 1 } });
  using events = await EventClient.connect(server, "/x");
  const next = events.next();
  await eventually(() => events.comments >= 3, "comments");
  const member = await server.connect("/x");
  member.send("hello");
  assert.equal((await next)?.data, "hello");
  assert.equal(server.server.metrics.closes.idle, 0);
});

testUnless(lacking("brake"), {
  name:
    "an event stream that is behind holds its channel's senders, and is ended with 4000 after slow_after_s",
  fn: async () => {
    await using server = await startServer({
      limits: { brakeBytes: 10_000, slowAfterS: 1, closeTimeoutS: 10 },
    });
    const stalled = await stall(server);
    const { metrics } = server.server;
    const member = await server.connect("/x");
    const witness = await server.connect("/x");
    const big = "x".repeat(100_000);
    let count = 0;
    await eventually(() => {
      member.send(big);
      count++;
      return metrics.sendersHeld === 1;
    }, "a held sender");
    await witness.take(count);
    await eventually(() => metrics.closes.slow === 1, "the end");
    assert.equal(metrics.sendersHeld, 0);
    // What was queued before comes before the end is told.
    const end = /event: close\ndata: \{"code":4000,.*\}\n\n\r\n0\r\n\r\n$/;
    assert.match(await readToEnd(stalled), end);
    assert.equal(metrics.disconnects[4000], 1);
  },
});

testUnless(lacking("brake"), {
  name:
    "an event stream that takes nothing is broken off close_timeout_s after its end",
  fn: async () => {
    await using server = await startServer({
      limits: { clientBufferBytes: 1 << 20, closeTimeoutS: 1 },
    });
    using _stalled = await stall(server);
    const { metrics } = server.server;
    const body = "x".repeat(1 << 20);
    for (let i = 0; i < 5 && metrics.closes.slow === 0; i++) {
      await request(server, { path: "/x", method: "POST", body });
    }
    assert.equal(metrics.closes.slow, 1);
    assert.ok(server.server.bufferedBytes > 0);
    await eventually(() => server.server.clientCount === 0, "the end");
    assert.equal(server.server.bufferedBytes, 0);
  },
});

testUnless(lacking("brake"), {
  name: "an event stream that takes nothing for idle_timeout_s is given up",
  fn: async () => {
    await using server = await startServer({ limits: { idleTimeoutS: 1 } });
    using _stalled = await stall(server);
    const { metrics } = server.server;
    const body = "x".repeat(500_000);
    await request(server, { path: "/x", method: "POST", body });
    await eventually(() => server.server.clientCount === 0, "the end");
    assert.equal(metrics.closes.idle, 1);
    assert.equal(metrics.disconnects[1006], 1);
  },
});

Deno.test("asksForEvents() looks at the header Accept of a GET that isn't an upgrade", () => {
  const asks = (accept: string, init: RequestInit = {}): boolean => {
    const headers = { accept, ...init.headers as Record<string, string> };
    return asksForEvents(new Request("http://h/", { ...init, headers }));
  };
  const accepts = [
    "text/event-stream",
    "TEXT/event-stream;charset=utf-8",
    "text/html, text/event-stream;q=0.9",
  ];
  for (const accept of accepts) assert.equal(asks(accept), true, accept);
  for (const accept of ["*/*", "text/*", "text/event-streams", ""]) {
    assert.equal(asks(accept), false, accept);
  }
  assert.equal(asks("text/event-stream", { method: "POST" }), false);
  const headers = { upgrade: "websocket" };
  assert.equal(asks("text/event-stream", { headers }), false);
});
