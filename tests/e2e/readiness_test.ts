/** Readiness and the bridge's figures, with real brokers that fail in every way they can. */
import assert from "node:assert/strict";
import type { Reason } from "../../src/admin/readiness.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { startCluster } from "../../tools/broker_cluster.ts";
import { eventually } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import {
  runProgram,
  type Staps,
  stapsCommand,
  startStaps,
} from "../../tools/process.ts";
import { Clients, converse } from "../../tools/ws_client.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import { block } from "../helpers/docs.ts";

function startNode(amqp: string, bridge = ""): Promise<Staps> {
  return startStaps({
    config: `[staps]\namqp = ${amqp}\n[bridge]\n${bridge}\n` +
      "[admin]\nsocket = ~/admin\nmode = 0600\n",
  });
}

/** Gets what a node says first of why it isn't ready, or `ready`. */
async function readiness(staps: Staps): Promise<Reason["reason"] | "ready"> {
  const { status, text } = await ask(`${staps.folder}/admin`, "/readyz");
  const { ready, reasons } = JSON.parse(text);
  assert.equal(status, ready ? 200 : 503);
  assert.equal(reasons.length > 0, !ready);
  return ready ? "ready" : reasons[0].reason;
}

/** Waits until nodes say `expected`. The longest wait is for four signs of life of another node, one each 15 s. */
async function say(
  expected: Awaited<ReturnType<typeof readiness>>,
  ...nodes: Staps[]
): Promise<void> {
  for (const node of nodes) {
    let last: string | undefined;
    await eventually(
      async () => (last = await readiness(node)) === expected,
      () => `${expected}, got ${last}`,
      { timeoutMs: 60_000 },
    );
  }
}

async function figure(staps: Staps, name: string): Promise<number | undefined> {
  const { text } = await ask(`${staps.folder}/admin`, "/metrics");
  return readSamples(text).get(`staps_${name}`);
}

Deno.test("a node is ready while messages come back through the broker, and says why if they don't", async (t) => {
  await using broker = await startBroker();
  await using proxy = await FaultyProxy.start(broker.port);
  await using near = await startNode(broker.url());
  await using far = await startNode(broker.url("/", { port: proxy.port }));

  await t.step("ready, with figures of the bridge", async () => {
    await say("ready", near, far);
    await using a = new Clients(near.socket);
    await using b = new Clients(far.socket);
    const path = `/${crypto.randomUUID()}`;
    await converse(await a.join(path), await b.join(path));
    assert.equal(await figure(near, "bridge_connected"), 1);
    assert.equal(await figure(near, "bridge_messages_sent_total"), 1);
    assert.equal(await figure(near, "bridge_messages_received_total"), 1);
    assert.ok((await figure(near, "bridge_round_trip_seconds"))! > 0);
    assert.equal(await figure(near, "ready"), 1);
  });

  await t.step("asked with curl, as docs/watch.md shows", async () => {
    const code = (await block("docs/watch.md", "curl"))
      .replace("/run/staps/admin.sock", `${near.folder}/admin`);
    const { stdout } = await runProgram("sh", ["-c", code]);
    assert.deepEqual(JSON.parse(stdout), { ready: true, reasons: [] });
  });

  await t.step("a black hole between one node and the broker", async () => {
    proxy.blackHole();
    await say("broker_silent", far);
    assert.equal(await readiness(near), "ready");
    assert.equal(await figure(far, "ready"), 0);
    assert.equal(await figure(far, "bridge_round_trip_seconds"), undefined);
    proxy.heal();
    await say("ready", far);
  });

  await t.step("a broker that blocks, short of memory", async () => {
    await broker.memoryAlarm(true);
    await say("broker_blocked", near, far);
    assert.equal(await figure(near, "bridge_blocked"), 1);
    await broker.memoryAlarm(false);
    await say("ready", near, far);
  });

  await t.step("a broker that hangs", async () => {
    Deno.kill(broker.pid, "SIGSTOP");
    try {
      await say("broker_silent", near, far);
    } finally {
      Deno.kill(broker.pid, "SIGCONT");
    }
    await say("ready", near, far);
  });

  await t.step("a broker that stops, and what people see", async () => {
    await broker.stop();
    await say("broker_unreachable", near, far);
    const socket = `--socket=${near.folder}/admin`;
    const args = [...stapsCommand, "status", socket];
    const { code, stdout } = await runProgram(Deno.execPath(), args);
    assert.equal(code, 3);
    assert.match(stdout, /^ready {7}no, broker_unreachable: The broker can't/m);
    assert.match(stdout, /^bridge {6}not connected$/m);
    await broker.start();
    await say("ready", near, far);
  });

  await t.step("says goodbye as not ready", async () => {
    await near.stop("SIGTERM");
    const admin = Deno.lstat(`${near.folder}/admin`);
    await assert.rejects(admin, Deno.errors.NotFound);
  });
});

Deno.test("a node isn't ready while it hears none of the others, and their broker is out of its reach", async () => {
  await using cluster = await startCluster({ size: 2 });
  const [here, there] = cluster.members as [Broker, Broker];
  await using near = await startNode(here.url(), "heartbeat_s = 2");
  await using far = await startNode(there.url(), "heartbeat_s = 2");
  const knows = (node: Staps, count: number): Promise<unknown> =>
    eventually(
      async () => await figure(node, "bridge_nodes") === count,
      `${count} other nodes`,
    );
  await knows(near, 1);
  await knows(far, 1);
  await there.kill();
  await say("broker_split", near);
  assert.equal(await readiness(far), "broker_unreachable");
  await there.start();
  await say("ready", far, near);
  // Whoever says goodbye isn't missed.
  await far.stop("SIGTERM");
  await knows(near, 0);
  assert.equal(await readiness(near), "ready");
});
