/**
 * What the bridge promises, with real nodes, real clients and a real RabbitMQ
 * through what networks and brokers do: every message arrives once, in order,
 * at everyone but its sender; or those who miss one are told.
 */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { type Broker, startBroker } from "../helpers/broker.ts";
import { eventually, pause } from "../helpers/eventually.ts";
import { FaultyProxy } from "../helpers/faulty_proxy.ts";
import { FirstWords } from "../helpers/first_words.ts";
import { Load } from "../helpers/load.ts";
import { type Staps, startStaps } from "../helpers/process.ts";

/** Nodes that reach a broker, each through a network of its own. */
interface Cluster extends AsyncDisposable {
  readonly nodes: Staps[];
  readonly proxies: FaultyProxy[];
}

async function startCluster(
  broker: Broker,
  { count, settings = "[bridge]" }: { count: number; settings?: string },
): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const vhost = await broker.addVhost();
  const nodes: Staps[] = [];
  const proxies: FaultyProxy[] = [];
  for (let i = 0; i < count; i++) {
    const proxy = stack.use(await FaultyProxy.start(broker.port));
    const amqp = broker.url(vhost, { port: proxy.port });
    // At most 9 s until silence is noticed, so that 10 s of it always are.
    const config = `
[staps]
amqp = ${amqp}
${settings}
heartbeat_s = 3
# Who is let in has joined, unless the node is cut off; see newcomers().
join_timeout_s = 30
`;
    proxies.push(proxy);
    nodes.push(stack.use(await startStaps({ config })));
  }
  const resources = stack.move();
  return {
    nodes,
    proxies,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Something that happens to a cluster. */
interface Fault {
  readonly name: string;
  /** The nodes that lose their connection: the last one has the bad network. */
  readonly cuts: "last" | "all" | "none";
  act(broker: Broker, proxy: FaultyProxy): Promise<void>;
}

const blackHole: Fault = {
  name: "a black hole of 10 s",
  cuts: "last",
  act: async (_, proxy) => {
    proxy.blackHole();
    await pause(10_000);
    proxy.heal();
  },
};

const kill: Fault = {
  name: "the broker killed and started",
  cuts: "all",
  act: async (broker) => {
    await broker.kill();
    await broker.start();
  },
};

const faults: readonly Fault[] = [
  {
    name: "three resets",
    cuts: "last",
    act: async (_, proxy) => {
      for (let i = 0; i < 3; i++) {
        proxy.reset();
        await pause(1_000);
      }
    },
  },
  blackHole,
  {
    name: "a half-open connection",
    cuts: "last",
    act: (_, proxy) => {
      proxy.halfOpen();
      return Promise.resolve();
    },
  },
  {
    name: "all connections closed by the broker",
    cuts: "all",
    act: (broker) => broker.closeAllConnections(),
  },
  {
    name: "a memory alarm of 5 s",
    cuts: "none",
    act: async (broker) => {
      await broker.memoryAlarm(true);
      await pause(5_000);
      await broker.memoryAlarm(false);
    },
  },
  {
    name: "a restart of the broker",
    cuts: "all",
    act: (broker) => broker.restart(),
  },
  kill,
];

/** How often a node has connected to the broker. */
function connects(node: Staps): number {
  return node.stderr.split("bridge connected").length - 1;
}

/** Gets some who have joined while no node was alone: they have to get everything. */
function newcomers({ nodes }: Cluster): Promise<FirstWords> {
  const changes = (): number[] =>
    nodes.map(({ stderr }) =>
      stderr.match(/bridge (connected|connection lost)/g)?.length ?? 0
    );
  return eventually(async () => {
    const before = changes();
    await using stack = new AsyncDisposableStack();
    const words = stack.use(
      await FirstWords.join(nodes.map(({ socket }) => socket)),
    );
    const after = changes();
    // They are connected after an odd number of changes.
    if (!after.every((count, i) => count === before[i] && count % 2 === 1)) {
      return undefined;
    }
    stack.move();
    return words;
  }, "newcomers on nodes that are connected");
}

/**
 * Does what a fault is, while some speak who never did before, and resolves when
 * every message gets through again. Gets the codes of those first speakers and
 * their listeners who were closed; nobody else missed a word of theirs.
 */
async function suffer(
  fault: Fault,
  { broker, cluster, load }: { broker: Broker; cluster: Cluster; load: Load },
): Promise<number[]> {
  await using words = await newcomers(cluster);
  const before = cluster.nodes.map(connects);
  await words.speakDuring(fault.act(broker, cluster.proxies.at(-1)!));
  for (const [i, node] of cluster.nodes.entries()) {
    const isCut = fault.cuts === "all" ||
      fault.cuts === "last" && node === cluster.nodes.at(-1);
    if (!isCut) continue;
    // Else it would show nothing that all goes well.
    await eventually(
      () => connects(node) > before[i]!,
      `node ${i} to be cut off and come back`,
    );
  }
  await load.flows();
  return await words.heard();
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
      for (const fault of faults) {
        await t.step(fault.name, async () => {
          const closed = await suffer(fault, { broker, cluster, load });
          assert.deepEqual(closed, []);
          const { sent: _, received: __, ...rest } = load.tally;
          assert.deepEqual(rest, nothing);
        });
      }
      const { sent, received, ...rest } = await load.finish();
      assert.deepEqual(rest, nothing);
      assert.equal(received, sent * (count - 1));
    });
  }

  const modes = [["local", "alone"], ["refuse", "whole"]] as const;
  for (const [onOutage, rejoin] of modes) {
    await t.step(
      `with small outboxes and on_outage = ${onOutage}, who misses something is told`,
      async (t) => {
        await using cluster = await startCluster(broker, {
          count: 2,
          settings: `
[limits]
message_bytes = 64K
slow_after_s = 1
[bridge]
outbox_bytes = 512K
on_outage = ${onOutage}
`,
        });
        await using load = await Load.start({
          sockets: cluster.nodes.map(({ socket }) => socket),
          channels: 50,
          ratePerNode: 2_000,
          rejoin,
        });
        const told = (): number => load.tally.closed[closes.gap.code] ?? 0;
        const longKill: Fault = {
          ...kill,
          act: async (broker) => {
            const before = told();
            await broker.kill();
            // Else it may be back before an outbox is full.
            await eventually(() => told() > before, "a full outbox");
            await broker.start();
          },
        };
        for (const fault of [blackHole, longKill]) {
          await t.step(fault.name, async () => {
            const before = told();
            const closed = await suffer(fault, { broker, cluster, load });
            assert.ok(told() > before);
            assert.ok(closed.every((code) => code === closes.gap.code));
          });
        }
        const { sent: _, received: __, closed, ...rest } = await load.finish();
        assert.deepEqual({ ...rest, closed: {} }, nothing);
        assert.deepEqual(Object.keys(closed), [String(closes.gap.code)]);
      },
    );
  }
});

/** Nothing that may not happen has happened. */
const nothing = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  echoed: 0,
  changed: 0,
  closed: {},
};
