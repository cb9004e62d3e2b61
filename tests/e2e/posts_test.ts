/** Messages by POST between nodes, through a real RabbitMQ: every answer is true, whatever becomes of the broker. */
import assert from "node:assert/strict";
import { AmqpBridge } from "../../src/amqp/bridge.ts";
import { bridgeOptions } from "../../tools/bridge_options.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { EventClient } from "../helpers/event_client.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import { request } from "../helpers/http.ts";
import { startStaps } from "../../tools/process.ts";
import { startServer, type TestServer } from "../helpers/server.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { testUnless } from "../helpers/skip.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

/** How many messages are posted while the broker is killed and restarted: 10,000 before a release. */
const outagePosts = Number(Deno.env.get("STAPS_POSTS") ?? 1500);
/** So many of them at once. */
const lanes = 20;
/** How long after an outage nobody is told that nobody is there, in milliseconds. */
const settleMs = 6_000;

let broker: Broker | undefined;
const whyNot = await whyNoBroker("3.10");

Deno.test.beforeAll(async () => {
  if (whyNot === undefined) broker = await startBroker();
});
Deno.test.afterAll(() => broker?.[Symbol.asyncDispose]());

/** A node with a bridge to {@linkcode broker}. */
interface Node extends TestServer {
  readonly bridge: AmqpBridge;
}

async function startNode(exchange: string): Promise<Node> {
  const bridge = new AmqpBridge(bridgeOptions(broker!.url(), {
    ...{ exchange, settleMs, queueType: "classic" },
  }));
  const server = await startServer({ bridge });
  return { ...server, bridge };
}

/** Starts `count` nodes that share channels with nobody else. */
async function startNodes(
  stack: AsyncDisposableStack,
  count = 2,
): Promise<Node[]> {
  const exchange = `staps-${crypto.randomUUID()}`;
  const nodes = [];
  for (let i = 0; i < count; i++) {
    nodes.push(stack.use(await startNode(exchange)));
  }
  for (const { bridge } of nodes) {
    await eventually(() => bridge.state().connected, "the connection");
  }
  return nodes;
}

function post(
  node: Node,
  path: string,
  { body = "x", headers = {} }: { body?: string; headers?: HeadersInit } = {},
): ReturnType<typeof request> {
  return request(node, { method: "POST", path, body, headers });
}

/** Registers a test, where there is a broker; `stack` goes with it. */
function test(
  name: string,
  run: (stack: AsyncDisposableStack) => Promise<void>,
): void {
  testUnless(whyNot, {
    name,
    async fn(): Promise<void> {
      await using stack = new AsyncDisposableStack();
      await run(stack);
    },
  });
}

test("a POST to a node without members reaches those of another one, and is answered with 200", async (stack) => {
  const [a, b, c] = await startNodes(stack, 3);
  const path = newPath();
  const member = await b!.connect(path);
  using events = await EventClient.connect(c!, path);
  for (const node of [a!, b!]) {
    const { status, text } = await post(node, path, { body: "hello" });
    assert.equal(status, 200, text);
    const { members, other_nodes, broker_confirmed } = JSON.parse(text);
    assert.equal(members, node === b ? 1 : 0);
    if (node === a) assert.equal(other_nodes, true);
    assert.equal(broker_confirmed, true);
    assert.equal(await member.next(), "hello");
    assert.equal((await events.next())?.data, "hello");
  }
  // What members publish then, others get, each once.
  const late = await a!.connect(path);
  late.send("from a member");
  await post(a!, path, { body: "posted again" });
  const got = await member.take(2);
  assert.deepEqual(got.sort(), ["from a member", "posted again"]);
  assert.equal(await late.next(), "posted again");
});

test("a POST is answered with 404 when nobody is anywhere, any more too, and nothing is kept", async (stack) => {
  const [a, b] = await startNodes(stack);
  const path = newPath();
  assert.equal((await post(a!, path)).status, 404);
  const member = await b!.connect(path);
  assert.equal((await post(a!, path, { body: "1" })).status, 200);
  assert.equal(await member.next(), "1");
  member.close();
  await eventually(() => b!.bridge.state().channels === 0, "the channel's end");
  const { status, text } = await post(a!, path, { body: "2" });
  assert.equal(status, 404);
  assert.equal(
    text,
    '{"members":0,"other_nodes":false,"broker_confirmed":true}\n',
  );
  const next = await b!.connect(path);
  assert.equal((await post(b!, path, { body: "3" })).status, 200);
  assert.equal(await next.next(), "3");
  // Right after the last member has left, too.
  for (let i = 0; i < 10; i++) {
    const path = newPath();
    (await a!.connect(path)).close();
    await eventually(() => a!.server.channels.size === 0, "its end");
    assert.equal((await post(a!, path)).status, 404);
  }
});

test("a POST that waits reaches whoever joins, on another node too", async (stack) => {
  const [a, b] = await startNodes(stack);
  for (const node of [a!, b!]) {
    const path = newPath();
    const headers = { Prefer: "wait=30" };
    const posted = post(a!, path, { body: "hello", headers });
    await eventually(() => a!.server.postsWaiting === 1, "the post");
    await pause(100);
    const member = await node.connect(path);
    assert.equal(await member.next(), "hello");
    assert.equal((await posted).status, 200);
  }
});

test("a POST isn't answered with 200 for the queue of a node that is no more", async (stack) => {
  const exchange = `staps-${crypto.randomUUID()}`;
  const a = stack.use(await startNode(exchange));
  const config = `[staps]\namqp = ${broker!.url()}\n` +
    `[bridge]\nexchange = ${exchange}\n`;
  const killed = stack.use(await startStaps({ config }));
  const path = newPath();
  const member = await stack.use(new Clients(killed.socket)).join(path);
  assert.equal((await post(a, path)).status, 200);
  await member.next();
  await killed.stop("SIGKILL");
  const { status, text, headers } = await post(a, path);
  assert.equal(status, 503, text);
  assert.equal(headers.get("retry-after"), "5");
});

test(`no POST of ${outagePosts} gets a wrong answer while the broker is killed and restarted`, async (stack) => {
  const [a, b] = await startNodes(stack);
  const [path, empty] = [newPath(), newPath()];
  const member = await b!.connect(path);
  // A binding that the broker has just confirmed is one that it may forget.
  await pause(1500);
  /** Who came during an outage. */
  let newcomer: { path: string; client: Client } | undefined;
  /** The answers to those for `path`, by their numbers. */
  const statuses = new Map<string, number>();
  const outcomes: Record<string, number> = {};
  const wrong: string[] = [];
  let next = 0;
  let isOver = false;
  const lane = async (): Promise<void> => {
    while (next < outagePosts || !isOver) {
      const number = next++;
      const fresh = number % 10 === 8 ? newcomer : undefined;
      const [who, target] = number % 10 === 9
        ? ["nobody", empty]
        : fresh !== undefined
        ? ["newcomer", fresh.path]
        : ["somebody", path];
      const { status } = await post(a!, target, { body: String(number) });
      const outcome = `${who} ${status}`;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      if (who === "somebody") statuses.set(String(number), status);
      if (outcome === "newcomer 404") {
        // Perhaps it has just been told that it may have missed something.
        await pause(200);
        if (fresh!.client.isOpen) wrong.push("404 with a newcomer");
      }
      // An answer at once, again and again, would use up all of them.
      if (status === 503) await pause(100);
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, lane));
  for (let i = 0; i < 2; i++) {
    await eventually(() => a!.bridge.state().connected, "the connection");
    await pause(2_000);
    await broker!.kill();
    // Joins for the time being; the broker learns of it when it is back.
    const path = newPath();
    newcomer = { path, client: await b!.connect(path) };
    await pause(500);
    await broker!.start();
  }
  await eventually(() => a!.bridge.state().connected, "the connection");
  await pause(settleMs + 1_000);
  isOver = true;
  await all;
  await post(a!, path, { body: "end" });
  const got = new Set<string>();
  for (let content; (content = await member.next()) !== "end";) {
    got.add(content as string);
  }
  for (const [number, status] of statuses) {
    if (status === 404 || status === 200 && !got.has(number)) {
      wrong.push(`${status} for message ${number}`);
    }
  }
  assert.deepEqual(wrong, []);
  const line = JSON.stringify(outcomes);
  assert.equal(outcomes["nobody 200"], undefined, line);
  for (const each of ["somebody 200", "somebody 503", "nobody 404"]) {
    assert.ok(outcomes[each], line);
  }
  if (Deno.env.has("STAPS_POSTS")) {
    await Deno.stderr.write(new TextEncoder().encode(`${line}\n`));
  }
});
