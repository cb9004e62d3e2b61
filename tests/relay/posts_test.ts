import assert from "node:assert/strict";
import { preferredWaitS } from "../../src/relay/posts.ts";
import { eventually } from "../../tools/eventually.ts";
import { request } from "../helpers/http.ts";
import { lacking } from "../helpers/listener.ts";
import { text } from "../helpers/messages.ts";
import { RawClient } from "../../tools/raw_client.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import {
  connectStalled,
  startServer,
  type TestServer,
} from "../helpers/server.ts";
import { testUnless } from "../helpers/skip.ts";

type Answer = Awaited<ReturnType<typeof request>>;

function post(
  server: TestServer,
  body: BodyInit,
  { path = "/x", ...init }: RequestInit & { path?: string } = {},
): Promise<Answer> {
  return request(server, { method: "POST", path, body, ...init });
}

Deno.test("Posts publishes to every member, text and binary, and says how many they are", async () => {
  await using server = await startServer();
  const [a, b] = [await server.connect("/x"), await server.connect("/x")];
  const other = await server.connect("/y");
  const answer = await post(server, "héllo");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.equal(answer.text, '{"members":2}\n');
  await post(server, new Uint8Array([0, 255]), {
    headers: { "Content-Type": "application/octet-stream" },
  });
  await post(server, "", { headers: { "Content-Type": "application/json" } });
  const expected = ["héllo", new Uint8Array([0, 255]), ""];
  for (const member of [a, b]) {
    assert.deepEqual(await member.take(3), expected);
  }
  await post(server, "for y", { path: "/y?query" });
  assert.equal(await other.next(), "for y");
  const { posts, httpRequests } = server.server.metrics;
  assert.deepEqual([posts.delivered, httpRequests.post], [4, 4]);
  assert.equal(server.server.postsWaiting, 0);
});

Deno.test("Posts answers 404 when nobody is there, refuses what is no message with one line of text, and keeps nothing", async () => {
  await using server = await startServer();
  const answer = await post(server, "lost");
  assert.equal(answer.status, 404);
  assert.equal(answer.text, '{"members":0}\n');
  const { metrics, channels } = server.server;
  assert.deepEqual([metrics.posts.nobody, channels.size], [1, 0]);
  const late = await server.connect("/x");
  const headers = { "Content-Type": "text/plain" };
  const maxBytes = 1 << 20;
  for (const [status, size] of [[400, 1], [413, maxBytes + 1]] as const) {
    const body = new Uint8Array(size).fill(0xff);
    const answer = await post(server, body, { headers });
    assert.equal(answer.status, status);
    assert.match(answer.text, /^[^\n]+\n$/);
    assert.match(answer.headers.get("content-type")!, /^text\/plain/);
  }
  assert.equal(metrics.messagesReceived, 1);
  // As large as it may be, in chunks too.
  const big = new Uint8Array(maxBytes).fill(97);
  const parts = [big.subarray(0, 1000), big.subarray(1000)];
  for (const body of [big, ReadableStream.from(parts)]) {
    assert.equal((await post(server, body)).status, 200);
    assert.equal((await late.next() as string).length, maxBytes);
  }
});

testUnless(lacking("heads"), {
  name: "Posts answers 413 before a body that is too large is sent",
  fn: async () => {
    await using server = await startServer();
    using raw = await RawClient.connect(server);
    await raw.write(
      new TextEncoder().encode(
        "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n" +
          "Expect: 100-continue\r\n\r\n",
      ),
    );
    assert.equal((await raw.readResponse()).status, 413);
  },
});

Deno.test("Posts lets so many requests a second through", async () => {
  await using server = await startServer({ http: { requestsPerSecond: 2 } });
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => post(server, "x")),
  );
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses.slice(0, 3), [404, 404, 503]);
  const refused = answers.find(({ status }) => status === 503)!;
  assert.equal(refused.headers.get("retry-after"), "5");
  assert.match(refused.text, /requests_per_second/);
  assert.ok(server.server.metrics.limitHits.requests_per_second > 0);
});

Deno.test("Posts waits as long as Prefer says for somebody to join, and makes no channel meanwhile", async () => {
  await using server = await startServer();
  const posted = post(server, "hello", { headers: { Prefer: "wait=30" } });
  await eventually(() => server.server.postsWaiting === 1, "the post");
  assert.equal(server.server.channels.size, 0);
  const member = await server.connect("/x");
  assert.equal(await member.next(), "hello");
  const answer = await posted;
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("preference-applied"), "wait=30");
  assert.equal(server.server.postsWaiting, 0);
  const inVain = { path: "/y", headers: { Prefer: "wait=1" } };
  assert.equal((await post(server, "x", inVain)).status, 404);
});

Deno.test("Posts lets only so many wait", async () => {
  await using server = await startServer({
    http: { waitingRequests: 2, waitingBytes: 10_000 },
  });
  const headers = { Prefer: "wait=30" };
  const stop = new AbortController();
  const { signal } = stop;
  const waiting = [1, 2].map(() => post(server, "x", { headers, signal }));
  await eventually(() => server.server.postsWaiting === 2, "the posts");
  const many = await post(server, "x");
  assert.equal(many.status, 503);
  assert.match(many.text, /waiting_requests/);
  stop.abort();
  for (const each of waiting) await assert.rejects(each);
  await eventually(() => server.server.postsWaiting === 0, "the posters to go");
  assert.match((await post(server, "x".repeat(9_000))).text, /waiting_bytes/);
  assert.equal((await post(server, "x")).status, 404);
  assert.equal(server.server.metrics.posts.given_up, 2);
});

testUnless(lacking("brake"), {
  name:
    "Posts holds a message while a reader is behind, until that one is ended",
  fn: async () => {
    await using server = await startServer({
      limits: { brakeBytes: 1000, slowAfterS: 1, clientBufferBytes: 64 << 20 },
    });
    const stalled = await connectStalled(server, "/x");
    await server.connect("/x");
    const { metrics, channels } = server.server;
    await eventually(() => channels.openCount("/x") === 2, "both to open");
    const big = new Uint8Array(1 << 20);
    await eventually(async () => {
      await post(server, big);
      return metrics.senderHolds > 0;
    }, "a post to be held");
    // The one that doesn't read was ended, and the post went through.
    await eventually(() => metrics.closes.slow === 1, "the end");
    assert.equal((await post(server, "x")).status, 200);
    assert.equal(metrics.posts.held, 0);
    stalled.close();
  },
});

Deno.test("Posts lets go of a message that is held, or waits, when its poster leaves, or the server stops", async () => {
  const bridge = new RecordingBridge();
  await using server = await startServer({ bridge });
  const member = await server.connect("/x");
  const { metrics } = server.server;
  bridge.listener!.congested("/x", true);
  const stop = new AbortController();
  const [leaving, staying] = [
    post(server, "left", { signal: stop.signal }),
    post(server, "stays"),
  ];
  await eventually(() => metrics.sendersHeld === 2, "both to be held");
  stop.abort();
  await assert.rejects(leaving);
  await eventually(() => metrics.posts.given_up === 1, "the poster to go");
  assert.equal(metrics.sendersHeld, 1);
  bridge.listener!.congested("/x", false);
  await staying;
  assert.equal(await member.next(), "stays");
  bridge.listener!.congested("/x", true);
  const headers = { Prefer: "wait=30" };
  const last = [
    post(server, "held"),
    post(server, "x", { path: "/y", headers }),
  ];
  await eventually(() => metrics.sendersHeld === 1, "the last to be held");
  await eventually(() => server.server.postsWaiting === 2, "both");
  void server.server.stop();
  for (const answer of await Promise.all(last)) {
    assert.equal(answer.status, 503);
    assert.match(answer.text, /stopping/);
    assert.equal(answer.headers.get("retry-after"), "5");
  }
});

type PostOutcome = RecordingBridge["posted"];

function outcome(
  isConfirmed: boolean,
  reachedOthers: boolean | undefined,
  isGone: boolean,
): PostOutcome {
  return { isConfirmed, reachedOthers, isGone };
}

Deno.test("Posts says what the bridge found out", async () => {
  const bridge = new RecordingBridge();
  await using server = await startServer({ bridge });
  const report = (reached: boolean | null, members = 0): string =>
    `{"members":${members},"other_nodes":${reached},"broker_confirmed":true}\n`;
  const cases: [PostOutcome, status: number, answer: string | RegExp][] = [
    [outcome(true, true, false), 200, report(true)],
    [outcome(true, false, true), 404, report(false)],
    [outcome(false, undefined, false), 503, /isn't known\n$/],
    [outcome(false, undefined, true), 503, /nobody got it\n$/],
  ];
  for (const [posted, status, body] of cases) {
    bridge.posted = posted;
    const answer = await post(server, "x");
    assert.equal(answer.status, status);
    if (typeof body === "string") assert.equal(answer.text, body);
    else assert.match(answer.text, body);
    const retryAfter = answer.headers.get("retry-after");
    assert.equal(retryAfter, status === 503 ? "5" : null);
  }
  const member = await server.connect("/x");
  bridge.posted = outcome(true, undefined, false);
  assert.equal((await post(server, "y")).text, report(null, 1));
  assert.equal(await member.next(), "y");
  bridge.listener!.deliver("/x", text("from elsewhere"));
  assert.equal(await member.next(), "from elsewhere");
});

Deno.test("Posts counts nobody whose handshake isn't answered", async () => {
  const bridge = new RecordingBridge();
  const { promise, resolve } = Promise.withResolvers<void>();
  bridge.joining = promise;
  await using server = await startServer({ bridge });
  const joining = server.connect("/x");
  await eventually(() => bridge.calls.length > 0, "the join");
  const posted = post(server, "hello");
  await eventually(() => server.server.postsWaiting === 1, "the post");
  resolve();
  const member = await joining;
  assert.equal(await member.next(), "hello");
  assert.match((await posted).text, /"members":1/);
});

Deno.test("preferredWaitS() finds the preference among others, and bounds it", () => {
  const cases: [string, number | undefined][] = [
    ["wait=10", 10],
    ["respond-async, wait=10", 10],
    ["Wait = 5", 5],
    ['wait="7"; x', 7],
    ["wait=3600", 60],
    ["wait=0", 0],
    ["wait", undefined],
    ["wait=x", undefined],
    ["await=5", undefined],
    ["wait=-1", undefined],
    ["", undefined],
  ];
  for (const [prefer, seconds] of cases) {
    assert.equal(preferredWaitS(new Headers({ prefer })), seconds, prefer);
  }
});
