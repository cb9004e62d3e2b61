/** Readiness and the bridge's figures, with a real broker that fails in every way it can. */
import assert from "node:assert/strict";
import type { Reason } from "../../src/admin/readiness.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import { startBroker } from "../../tools/broker.ts";
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import {
  runProgram,
  type Staps,
  stapsCommand,
  startStaps,
} from "../../tools/process.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

/** Fresh folders are short: an admin socket fits beside the other one. */
const config = (amqp: string): string =>
  `[staps]\namqp = ${amqp}\n[admin]\nsocket = ~/admin\nmode = 0600\n`;

interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly Reason[];
}

async function readiness(staps: Staps): Promise<Readiness> {
  const { status, text } = await ask(`${staps.folder}/admin`, "/readyz");
  const body: Readiness = JSON.parse(text);
  assert.equal(status, body.ready ? 200 : 503);
  return body;
}

/** Waits until a node says `expected`. It takes about 6 s to find a broker silent, less for the rest. */
async function says(
  staps: Staps,
  expected: "ready" | Reason["reason"],
): Promise<void> {
  let last: Readiness | undefined;
  await eventually(
    async () => {
      last = await readiness(staps);
      return last.ready
        ? expected === "ready"
        : last.reasons[0]!.reason === expected;
    },
    () => `${expected}, got ${JSON.stringify(last)}`,
  );
}

async function figure(staps: Staps, name: string): Promise<number | undefined> {
  const { text } = await ask(`${staps.folder}/admin`, "/metrics");
  return readSamples(text).get(name);
}

Deno.test("a node is ready while messages come back through the broker, and says why if they don't", async (t) => {
  await using broker = await startBroker();
  await using proxy = await FaultyProxy.start(broker.port);
  await using near = await startStaps({ config: config(broker.url()) });
  await using far = await startStaps({
    config: config(broker.url("/", { port: proxy.port })),
  });
  const both = async (expected: Parameters<typeof says>[1]): Promise<void> => {
    await Promise.all([says(near, expected), says(far, expected)]);
  };

  await t.step("ready, with figures of the bridge", async () => {
    await both("ready");
    await using a = new Clients(near.socket);
    await using b = new Clients(far.socket);
    const path = `/${crypto.randomUUID()}`;
    await converse(await a.join(path), await b.join(path));
    assert.equal(await figure(near, "staps_bridge_connected"), 1);
    assert.equal(await figure(near, "staps_bridge_messages_sent_total"), 1);
    assert.equal(await figure(near, "staps_bridge_messages_received_total"), 1);
    assert.ok((await figure(near, "staps_bridge_round_trip_seconds"))! > 0);
    assert.equal(await figure(near, "staps_ready"), 1);
  });

  await t.step("asked with curl, as docs/watch.md shows", async () => {
    const code = (await block("docs/watch.md", "curl"))
      .replace("/run/staps/admin.sock", `${near.folder}/admin`);
    const { stdout } = await runProgram("sh", ["-c", code]);
    assert.deepEqual(JSON.parse(stdout), { ready: true, reasons: [] });
  });

  await t.step("a black hole between one node and the broker", async () => {
    proxy.blackHole();
    await says(far, "broker_silent");
    assert.equal((await readiness(near)).ready, true);
    assert.equal(await figure(far, "staps_ready"), 0);
    assert.equal(
      await figure(far, "staps_bridge_round_trip_seconds"),
      undefined,
    );
    proxy.heal();
    await says(far, "ready");
  });

  await t.step("a broker that blocks, short of memory", async () => {
    await broker.memoryAlarm(true);
    await both("broker_blocked");
    assert.equal(await figure(near, "staps_bridge_blocked"), 1);
    await broker.memoryAlarm(false);
    await both("ready");
  });

  await t.step("a broker that hangs", async () => {
    Deno.kill(broker.pid, "SIGSTOP");
    try {
      await both("broker_silent");
    } finally {
      Deno.kill(broker.pid, "SIGCONT");
    }
    await both("ready");
  });

  await t.step("a broker that stops, and what people see", async () => {
    await broker.stop();
    await both("broker_unreachable");
    const socket = `--socket=${near.folder}/admin`;
    const { code, stdout } = await runProgram(Deno.execPath(), [
      ...stapsCommand,
      "status",
      socket,
    ]);
    assert.equal(code, 3);
    assert.match(stdout, /^ready {7}no, broker_unreachable: The broker can't/m);
    assert.match(stdout, /^bridge {6}not connected$/m);
    await broker.start();
    await both("ready");
  });

  await t.step("says goodbye as not ready", async () => {
    await near.stop("SIGTERM");
    await assert.rejects(
      Deno.lstat(`${near.folder}/admin`),
      Deno.errors.NotFound,
    );
  });
});
