/** Readiness of a node that hears no other one. Runs alone. */
import assert from "node:assert/strict";
import type { Reason } from "../../src/admin/readiness.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import type { Broker } from "../../tools/broker.ts";
import { startCluster } from "../../tools/broker_cluster.ts";
import { eventually } from "../../tools/eventually.ts";
import { type Staps, startStaps } from "../../tools/process.ts";

function startNode(broker: Broker): Promise<Staps> {
  return startStaps({
    config: `[staps]\namqp = ${broker.url()}\n[bridge]\nheartbeat_s = 2\n` +
      "[admin]\nsocket = ~/admin\nmode = 0600\n",
  });
}

/** Why a node isn't ready: nothing if it is. */
async function reasons(staps: Staps): Promise<string[]> {
  const { text } = await ask(`${staps.folder}/admin`, "/readyz");
  return JSON.parse(text).reasons.map(({ reason }: Reason) => reason);
}

/** Waits until a node knows of `count` others. */
async function knows(staps: Staps, count: number): Promise<void> {
  await eventually(async () => {
    const { text } = await ask(`${staps.folder}/admin`, "/metrics");
    return readSamples(text).get("staps_bridge_nodes") === count;
  }, `${count} other nodes`);
}

async function says(staps: Staps, expected: readonly string[]): Promise<void> {
  let last: string[] | undefined;
  await eventually(
    async () => {
      last = await reasons(staps);
      return String(last) === String(expected);
    },
    () => `${expected}, got ${last}`,
    // It waits for four signs of life, and asks every 15 s.
    { timeoutMs: 60_000 },
  );
}

Deno.test("a node isn't ready while it hears none of the others, and their broker is out of its reach", async () => {
  await using cluster = await startCluster({ size: 2 });
  const [here, there] = cluster.members as [Broker, Broker];
  await using near = await startNode(here);
  await using far = await startNode(there);
  await knows(near, 1);
  await knows(far, 1);
  await there.kill();
  await says(near, ["broker_split"]);
  assert.deepEqual(await reasons(far), ["broker_unreachable"]);
  await there.start();
  await says(far, []);
  await says(near, []);
  // Whoever says goodbye isn't missed.
  await far.stop("SIGTERM");
  await knows(near, 0);
  assert.deepEqual(await reasons(near), []);
});
