/**
 * What the bridge promises, with real nodes, real clients and a real RabbitMQ
 * through what networks and brokers do: every message arrives once, in order,
 * at everyone but its sender; or those who miss one are told.
 */
import assert from "node:assert/strict";
import { type Broker, startBroker } from "../helpers/broker.ts";
import { pause } from "../helpers/eventually.ts";
import { FaultyProxy } from "../helpers/faulty_proxy.ts";
import { Load } from "../helpers/load.ts";
import { type Staps, startStaps } from "../helpers/process.ts";

/** Nodes that reach a broker, each through a network of its own. */
interface Cluster extends AsyncDisposable {
  readonly nodes: Staps[];
  readonly proxies: FaultyProxy[];
}

async function startCluster(
  broker: Broker,
  { count, bridge = "" }: { count: number; bridge?: string },
): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const vhost = await broker.addVhost();
  const nodes: Staps[] = [];
  const proxies: FaultyProxy[] = [];
  for (let i = 0; i < count; i++) {
    const proxy = stack.use(await FaultyProxy.start(broker.port));
    const config = `
[staps]
amqp = ${broker.url(vhost, { port: proxy.port })}
[bridge]
${bridge}
[log]
level = warn
`;
    proxies.push(proxy);
    // "listening" is logged at info.
    const node = stack.use(
      await startStaps({ config: config.replace("= warn", "= info") }),
    );
    nodes.push(node);
  }
  const resources = stack.move();
  return {
    nodes,
    proxies,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** What is done to the nodes and the broker, one after the other. The last node is the one with the bad network. */
function faults(
  broker: Broker,
  proxy: FaultyProxy,
): [string, () => Promise<void>][] {
  return [
    ["three resets", async () => {
      for (let i = 0; i < 3; i++) {
        proxy.reset();
        await pause(1_000);
      }
    }],
    ["a black hole of 10 s", async () => {
      proxy.blackHole();
      await pause(10_000);
      proxy.heal();
    }],
    ["a half-open connection", () => {
      proxy.halfOpen();
      return Promise.resolve();
    }],
    [
      "all connections closed by the broker",
      () => broker.closeAllConnections(),
    ],
    ["a memory alarm of 5 s", async () => {
      await broker.memoryAlarm(true);
      await pause(5_000);
      await broker.memoryAlarm(false);
    }],
    ["a restart of the broker", () => broker.restart()],
    ["the broker killed and started", async () => {
      await broker.kill();
      await broker.start();
    }],
  ];
}

Deno.test("the bridge between real nodes", async (t) => {
  await using broker = await startBroker();

  for (const count of [2, 3]) {
    await t.step(`${count} nodes lose nothing`, async (t) => {
      await using cluster = await startCluster(broker, { count });
      await using load = await Load.start({
        sockets: cluster.nodes.map(({ socket }) => socket),
        channels: 50,
        ratePerNode: 2_000,
      });
      for (const [name, act] of faults(broker, cluster.proxies.at(-1)!)) {
        await t.step(name, async () => {
          const before = { ...load.tally };
          const t0 = performance.now();
          await act();
          const t1 = performance.now();
          await load.flows();
          console.error(
            name,
            t1 - t0,
            performance.now() - t1,
            JSON.stringify(load.tally),
          );
          void before;
          const { lost, duplicated, reordered, echoed, changed, closed } =
            load.tally;
          assert.deepEqual(
            { lost, duplicated, reordered, echoed, changed, closed },
            none,
          );
        });
      }
      const { sent, received, ...rest } = await load.finish();
      assert.deepEqual(rest, none);
      assert.equal(received, sent * (count - 1));
    });
  }
});

/** Nothing that may not happen has happened. */
const none = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  echoed: 0,
  changed: 0,
  closed: {},
};
