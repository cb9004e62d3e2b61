/** Clients who join while a cluster of brokers is split are told what they missed of the other side. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { testUnless } from "../helpers/skip.ts";
import type { Broker } from "../../tools/broker.ts";
import { startCluster } from "../../tools/broker_cluster.ts";
import { BrokerNetwork } from "../../tools/broker_network.ts";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { eventually, pause, within } from "../../tools/eventually.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

/** Nodes that weren't heard for so long aren't waited for; a bit more than that, in milliseconds. */
const silenceMs = 11_000;

const network = await whyNoBroker("4.0") ?? await BrokerNetwork.make(3);
const whyNot = typeof network === "string" ? network : undefined;

/** A node that knows of one broker only, but that it is one of a cluster. */
function startNode(broker: Broker): Promise<Staps> {
  const host = `${broker.hostname}:${broker.port}`;
  return startStaps({
    config: `[staps]\namqp = ${broker.url()}\n` +
      `[bridge]\nhosts = ${host}, ${host}\nqueue_type = classic\n` +
      "on_outage = refuse\n",
  });
}

// With Mnesia the smaller side of a split stops.
testUnless(whyNot, {
  name:
    "who joins while the cluster is split, and misses what the other side sends, is told",
  async fn(): Promise<void> {
    await using networks = network as BrokerNetwork;
    await using cluster = await startCluster({
      ...{ version: "4.0", database: "khepri", homes: networks.homes },
      advanced: await block("docs/bridge.md", "advanced.config"),
    });
    const [first, second] = cluster.members as [Broker, Broker];
    await using apart = await startNode(first);
    await using rest = await startNode(second);
    await using there = new Clients(apart.socket);
    await using here = new Clients(rest.socket);
    const early = await there.join("/early");
    await converse(early, await here.join("/early"));
    const speaker = await there.join("/split");

    await networks.cut(0);
    await pause(silenceMs);
    const late = await eventually(
      () => here.join("/split").catch(() => undefined),
      "a join on the larger side",
    );
    speaker.send("nobody else gets this");
    await networks.heal(0);

    const { code } = await within(late.closed, "the late client's end");
    assert.equal(code, 4001, rest.stderr);
    // Who comes while the brokers still learn of each other's bindings may be told once more.
    await eventually(
      async () => {
        const again = await here.join("/split");
        return await converse(speaker, again).then(() => true, () => false);
      },
      () => `a conversation across the cluster:\n${rest.stderr}`,
    );
  },
});
