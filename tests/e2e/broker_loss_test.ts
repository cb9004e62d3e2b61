/**
 * One broker of three is stopped, or killed, and doesn't come back: nodes
 * whose classic queue went with it tell their clients, nodes with quorum queues
 * lose nothing, and all are back soon. Joins lose nothing either while brokers
 * learn of a binding one after the other.
 */
import assert from "node:assert/strict";
import { connect } from "amqplib";
import { channelKey } from "../../src/relay/channel_hash.ts";
import { type Broker, brokerKinds, kindName } from "../../tools/broker.ts";
import {
  type BrokerCluster,
  startCluster,
} from "../../tools/broker_cluster.ts";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { within } from "../../tools/eventually.ts";
import {
  type BridgeNode,
  publish,
  startBridgeNode,
} from "../helpers/bridge_node.ts";
import { testUnless } from "../helpers/skip.ts";
import type { Cell, QueueType } from "../matrix/cells.ts";
import type { Fault } from "../matrix/faults.ts";
import { faultsOf } from "../matrix/report.ts";
import { restore, runScene } from "../matrix/run.ts";

const queueTypes = ["classic", "quorum"] as const;

/** How many channels there are: those of every cell, and these. */
const silentChannels = 2;
const channels = 5 + silentChannels;

/** How the first broker of three ends while four nodes talk, each of which loses something else. */
function loss(how: "stop" | "kill"): Fault {
  return {
    ...{ name: how, what: "one broker of three is gone" },
    places: [
      { queue: 0, connection: 0 },
      { queue: 0, connection: 1 },
      { queue: 1, connection: 0 },
      { queue: 2, connection: 2 },
    ],
    strike: async ({ cluster: { members: [first] }, back }) => {
      await first![how]();
      await back();
    },
  };
}

/** Loses a broker while nodes with classic queues and with quorum queues talk. */
async function lose(cluster: BrokerCluster, fault: Fault): Promise<void> {
  const [{ kind }] = cluster.members as [Broker];
  const scene = queueTypes.map((queueType): Cell => ({
    ...{ kind, queueType, fault, isTuned: false, nodes: 4 },
  }));
  const stage = { cluster, network: "none of their own" };
  const options = { deliveries: 5_000, silentChannels };
  for (const result of await runScene(scene, stage, options)) {
    const { cell: { queueType }, verdict } = result;
    const told: Record<number, number> = { ...verdict.closedChannels };
    let bad = faultsOf(result);
    // TODO: RabbitMQ 3.10 answers the question for young bindings (doubts.ts) as
    // if they were lost, now and then, after the loss of the connection's broker.
    if (kind.version === "3.10" && queueType === "classic") {
      delete told[2];
      bad = bad.filter((what) => !/closed though/.test(what));
    }
    assert.deepEqual(bad, [], [queueType, ...verdict.losses].join("\n"));
    // Those that lost their queue tell everybody, and the others nobody.
    const expected = queueType === "classic"
      ? { 0: channels, 1: channels }
      : {};
    assert.deepEqual(told, expected, queueType);
  }
}

/** Makes a broker route by the second binding for the channel `path` only `ms` after it has been made. */
async function routeLate(
  broker: Broker,
  { exchange, path, ms }: { exchange: string; path: string; ms: number },
): Promise<void> {
  const source = `rabbit_misc:r(<<"/">>, exchange, <<"${exchange}">>)`;
  await broker.eval(
    `Key = {${source}, <<"${channelKey(path)}">>}, ` +
      `Table = rabbit_index_route, ` +
      `spawn(fun() -> Wait = fun Again() -> case length(ets:lookup(Table, Key)) of ` +
      `Few when Few < 2 -> erlang:yield(), Again(); ` +
      `_ -> Routes = ets:take(Table, Key), timer:sleep(${ms}), ` +
      `ets:insert(Table, Routes) end end, Wait() end), ok`,
  );
}

/**
 * A client joins on one broker, and somebody on another one, which doesn't
 * route by the binding yet, says something at once.
 *
 * It was lost, untold: `deno task chaos --seed 52 --broker 4.0 --cluster quorum`.
 */
async function joinLate(
  cluster: BrokerCluster,
  queueType: QueueType,
): Promise<void> {
  const [first, second] = cluster.members as [Broker, Broker];
  const exchange = `newcomers-${queueType}`;
  const path = "/newcomer";
  const start = (broker: Broker): Promise<BridgeNode> =>
    startBridgeNode(broker.url(), {
      ...{ exchange, queueType, hosts: cluster.hosts(broker) },
    });
  await using speaker = await start(first);
  await using newcomer = await start(second);
  await speaker.bridge.join(path);
  publish(speaker, path, "before");
  await routeLate(first, { exchange, path, ms: 300 });
  await newcomer.bridge.join(path);
  for (const message of ["one", "two"]) publish(speaker, path, message);
  assert.deepEqual(await newcomer.listener.got(path, 2), ["one", "two"]);
  assert.deepEqual(newcomer.listener.gaps, []);
  assert.equal(newcomer.bridge.state().unanswered, 0);
}

/** What the matrix, where brokers hang, counts on. */
async function hang(
  { members: [first, second] }: BrokerCluster,
): Promise<void> {
  first!.pause();
  const connecting = connect(first!.url());
  // Another one answers meanwhile.
  const other = await connect(second!.url());
  const answer = connecting.then(() => "answered");
  assert.equal(
    await Promise.race([answer, other.close().then(() => "silent")]),
    "silent",
  );
  first!.continue();
  await (await within(connecting, "the connection")).close();
}

for (
  const kind of brokerKinds.filter(({ database }) => database === "mnesia")
) {
  testUnless(await whyNoBroker(kind.version), {
    name: `AmqpBridge loses one broker of three: all or told, on RabbitMQ ${
      kindName(kind)
    }`,
    async fn(t): Promise<void> {
      await using cluster = await startCluster(kind);
      // 3.10 keeps its routes elsewhere.
      for (const type of kind.version === "4.0" ? queueTypes : []) {
        await t.step(
          `what is said right after a join arrives, ${type}`,
          () => joinLate(cluster, type),
        );
      }
      await t.step("a broker that hangs is silent", () => hang(cluster));
      await t.step("stopped", () => lose(cluster, loss("stop")));
      await restore(cluster);
      await t.step("killed", () => lose(cluster, loss("kill")));
    },
  });
}
