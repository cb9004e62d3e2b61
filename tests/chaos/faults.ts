/**
 * Every fault that the chaos knows, in one table: what it is, what it hits, and
 * how it is done. Each proves that it took effect, and checks what only it can
 * see; whether the promises held decides the checker, from the history.
 */
import assert from "node:assert/strict";
import type { Broker } from "../../tools/broker.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import type { FaultyProxy } from "../../tools/faulty_proxy.ts";
import type { Random } from "../helpers/random.ts";
import {
  type Definition,
  limitingPolicy,
  losingPolicy,
  replaceBroker,
  withAlternateExchange,
  withQueuePolicy,
} from "./broker_faults.ts";
import {
  converse,
  exhaustDescriptors,
  floodConnections,
  floodMessages,
  misbehave,
  readSlowly,
} from "./client_faults.ts";
import type { Cluster } from "./cluster.ts";
import type { FaultKind } from "./excuses.ts";
import type { Node } from "./node.ts";

/** One fault, with what the seed decided about it. */
export interface Blow {
  /** The node that it hits, for faults that hit one. */
  readonly node: Node;
  /** Resolves when it has lasted long enough, for faults that last. */
  readonly lasts: () => Promise<void>;
  /** Paths of channels that clients of the crowd are in, who are checked. */
  readonly paths: readonly string[];
  /** Everything else that is left to chance. */
  readonly random: Random;
}

/** Does a fault, and resolves when it is over. */
type Strike = (cluster: Cluster, blow: Blow) => Promise<void>;

/** A kind of fault. */
export interface Fault {
  readonly kind: FaultKind;
  /** What happens, for people. */
  readonly what: string;
  /**
   * What it hits. Of faults that happen at once, one may hit the broker or the
   * bridge of some nodes, and a node is hit by one only. `network` is the one of
   * some clients.
   */
  readonly hits:
    | ("broker" | "bridge" | "node")
    | ("frontend" | "network" | "clients");
  /** Whether it is about one node. Default: if it hits one, or its bridge. */
  readonly isAboutNode?: boolean;
  /** Whether it ends connections of clients who did nothing wrong. */
  readonly endsClients?: boolean;
  /** Whether it breaks what can't be kept (docs/bridge.md, "What nobody can tell"): it happens only if it is named. */
  readonly isBeyond?: boolean;
  /** How long it lasts, at least and at most; others last as long as they take. */
  readonly seconds?: readonly [number, number];
  /** Gets why it can't be done on this machine, if so. */
  readonly obstacle?: (cluster: Cluster) => string | undefined;
  readonly strike: Strike;
}

/** Two heartbeats may be missed, and a third one begins. */
const noticedS = 7;

/** Every fault by its kind. */
const table: Readonly<Record<FaultKind, Omit<Fault, "kind">>> = {
  "broker-kill": {
    what: "RabbitMQ is killed (SIGKILL) and started again",
    hits: "broker",
    seconds: [0, 1],
    strike: atBroker(async (broker, _, { lasts }) => {
      await broker.kill();
      await lasts();
      await broker.start();
    }),
  },
  "broker-restart": {
    what: "RabbitMQ is stopped in good order and started again",
    hits: "broker",
    strike: atBroker((broker) => broker.restart()),
  },
  "broker-closes": {
    what: "RabbitMQ closes every connection",
    hits: "broker",
    strike: ({ broker, nodes }) =>
      cutting(nodes, () => broker.closeAllConnections()),
  },
  "broker-lost": {
    what:
      "one of three RabbitMQs is killed for good, and a fresh one joins in its place",
    hits: "broker",
    obstacle: ({ kind }) => kind === "one" ? "there is one broker" : undefined,
    strike: atBroker((broker, cluster) => replaceBroker(cluster, broker)),
  },
  "broker-memory": {
    what: "RabbitMQ raises its memory alarm: it takes no messages",
    hits: "broker",
    seconds: [2, 5],
    strike: raiseAlarm("memory"),
  },
  "broker-disk": {
    what: "RabbitMQ raises its disk alarm: it takes no messages",
    hits: "broker",
    seconds: [2, 5],
    strike: raiseAlarm("disk"),
  },
  "queue-deleted": {
    what: "a node's queue is deleted by hand",
    hits: "broker",
    isAboutNode: true,
    endsClients: true,
    strike: (cluster, { node }) =>
      node.logs(
        /the broker lost this node's queue/,
        () => deleteQueue(cluster, node),
      ),
  },
  "queue-limit": {
    what:
      "a policy lets the nodes' queues take next to nothing (max-length), while a node's connections are reset",
    hits: "broker",
    endsClients: true,
    isBeyond: true,
    seconds: [2, 5],
    strike: resetUnder(limitingPolicy),
  },
  "queue-loss": {
    what:
      "a policy takes messages out of the nodes' queues (message-ttl, drop-head), while a node's connections are reset",
    hits: "broker",
    endsClients: true,
    isBeyond: true,
    seconds: [2, 5],
    strike: resetUnder(losingPolicy),
  },
  "exchange-policy": {
    what:
      "a policy gives the exchange an alternate one, which takes what has nowhere to go",
    hits: "broker",
    seconds: [2, 5],
    strike: (cluster, { lasts }) => withAlternateExchange(cluster, lasts),
  },
  "node-kill": {
    what: "a node is killed (SIGKILL) and started again",
    hits: "node",
    endsClients: true,
    seconds: [0, 1.5],
    strike: async (_, { node, lasts }) => {
      await node.stop("SIGKILL");
      await lasts();
      await node.start();
    },
  },
  "node-pause": {
    what: "a node is stopped (SIGSTOP) and goes on (SIGCONT)",
    hits: "node",
    seconds: [2, 8],
    strike: async (_, { node, lasts }) => {
      node.signal("SIGSTOP");
      try {
        await lasts();
        const status = await Deno.readTextFile(`/proc/${node.pid}/status`);
        assert.match(status, /^State:\s+T/m, "the state of a process");
      } finally {
        node.signal("SIGCONT");
      }
    },
  },
  "node-stop": {
    what: "a node is ended in good order (SIGTERM) and started again",
    hits: "node",
    endsClients: true,
    seconds: [0, 1.5],
    strike: async (_, { node, lasts }) => {
      assert.equal(await node.stop("SIGTERM"), 0, "the exit status");
      await lasts();
      await node.start();
    },
  },
  "node-reload": {
    what: "a node reads changed settings (SIGHUP), once with a mistake in them",
    hits: "node",
    strike: reload,
  },
  "bridge-reset": {
    what: "a node's connections to RabbitMQ are reset (RST), up to three times",
    hits: "bridge",
    strike: (_, { node, random }) =>
      cutting([node], async () => {
        const times = random.integer(1, 3);
        for (let i = 0; i < times; i++) {
          onEachWay(node, (way) => way.reset());
          await pause(random.between(100, 1200));
        }
      }),
  },
  "bridge-black-hole": {
    what:
      "nothing passes between a node and RabbitMQ, for longer than three heartbeats",
    hits: "bridge",
    seconds: [noticedS + 0.5, noticedS + 2],
    strike: (_, { node, lasts }) =>
      cutting([node], async () => {
        onEachWay(node, (way) => way.blackHole());
        await lasts();
        onEachWay(node, (way) => way.heal());
      }),
  },
  "bridge-half-open": {
    what: "a node's connections to RabbitMQ end without RabbitMQ hearing of it",
    hits: "bridge",
    strike: (_, { node }) =>
      cutting([node], () => onEachWay(node, (way) => way.halfOpen())),
  },
  "bridge-delay": {
    what: "what passes between a node and RabbitMQ is late, up to 0.5 s",
    hits: "bridge",
    seconds: [2, 6],
    strike: (_, blow) => delay([...blow.node.ways.values()], blow),
  },
  "frontend-reload": {
    what: "nginx reads its configuration again, and gets new workers",
    hits: "frontend",
    strike: ({ frontend }) => frontend.reload(),
  },
  "frontend-restart": {
    what: "nginx is stopped, which cuts off every client, and started again",
    hits: "frontend",
    endsClients: true,
    seconds: [0, 1],
    strike: async ({ frontend }, { lasts }) => {
      await frontend.stop();
      await lasts();
      await frontend.start();
    },
  },
  "clients-reset": {
    what: "the connections of every third client are reset (RST)",
    hits: "network",
    endsClients: true,
    strike: async ({ clientNetwork }) => {
      // There are none while another fault keeps the frontend away.
      await eventually(
        () => clientNetwork.connections > 0,
        "connections to reset",
      );
      clientNetwork.reset();
    },
  },
  "clients-black-hole": {
    what: "nothing passes between every third client and nginx for a while",
    hits: "network",
    seconds: [1, 5],
    strike: async ({ clientNetwork }, { lasts }) => {
      clientNetwork.blackHole();
      await lasts();
      clientNetwork.heal();
    },
  },
  "clients-delay": {
    what:
      "what passes between every third client and nginx is late, up to 0.5 s",
    hits: "network",
    seconds: [2, 6],
    strike: ({ clientNetwork }, blow) => delay([clientNetwork], blow),
  },
  "disk-full": {
    what: "the disk with a node's PID file and log is full; it goes on serving",
    hits: "node",
    seconds: [1, 4],
    // The same on every node.
    obstacle: ({ nodes: [node] }) =>
      typeof node!.disk === "string" ? `no mount: ${node!.disk}` : undefined,
    strike: fillDisk,
  },
  "descriptors": {
    what:
      "a node is given more connections than it may open files; it refuses those, and accepts again afterwards",
    hits: "clients",
    isAboutNode: true,
    strike: exhaustDescriptors,
  },
  "slow-readers": {
    what: "clients never read what is sent to them; they are closed with 4000",
    hits: "clients",
    isAboutNode: true,
    strike: readSlowly,
  },
  "connection-flood": {
    what: "300 clients connect in one instant, some of whom hang up at once",
    hits: "clients",
    strike: floodConnections,
  },
  "message-flood": {
    what: "a client sends tens of thousands of messages in one go",
    hits: "clients",
    isAboutNode: true,
    strike: floodMessages,
  },
  "bad-frames": {
    what:
      "200 visitors, most of them in the crowd's channels, break off, stall, and break the protocol in every way",
    hits: "clients",
    isAboutNode: true,
    strike: misbehave,
  },
};

/** Every fault. */
export const faults: readonly Fault[] = Object.entries(table)
  .map(([kind, fault]) => ({ kind: kind as FaultKind, ...fault }));

/** Gets how to do something to one of the brokers, which cuts off the nodes that are on it. */
function atBroker(
  act: (broker: Broker, cluster: Cluster, blow: Blow) => Promise<void>,
): Strike {
  return async (cluster, blow) => {
    const broker = blow.random.pick(cluster.brokers.members);
    await cutting(await cluster.nodesOn(broker), async () => {
      await act(broker, cluster, blow);
      await cluster.brokers.whole();
    });
  };
}

/** Does what cuts off `nodes` from the broker, and waits until they have come back. */
async function cutting(
  nodes: readonly Node[],
  act: () => void | Promise<void>,
): Promise<void> {
  const connects = async (node: Node): Promise<number> =>
    (await node.status()).bridge?.connects ?? 0;
  const before = await Promise.all(nodes.map(connects));
  await act();
  for (const [i, node] of nodes.entries()) {
    // Else it would show nothing that all goes well.
    await eventually(
      async () => await connects(node) > before[i]!,
      `${node.name} to be cut off from the broker and to come back`,
      { timeoutMs: 60_000 },
    );
  }
}

/** Gets how to let a broker raise an alarm. */
function raiseAlarm(what: "memory" | "disk"): Strike {
  return async ({ broker }, { lasts }) => {
    const set = (isOn: boolean): Promise<void> =>
      what === "memory" ? broker.memoryAlarm(isOn) : broker.diskAlarm(isOn);
    await set(true);
    await lasts();
    const alarms = await broker.eval("rabbit_alarm:get_alarms()");
    assert.ok(alarms.includes(what), `Expected an alarm, got ${alarms}`);
    await set(false);
  };
}

/** Gets how to let a policy hold for the nodes' queues. Messages wait only for those who are away. */
function resetUnder(
  choosePolicy: (random: Random, cluster: Cluster) => Definition,
): Strike {
  return (cluster, { lasts, random }) => {
    // The policy holds for all of them.
    const node = random.pick(cluster.nodes);
    const policy = choosePolicy(random, cluster);
    return cutting([node], () =>
      withQueuePolicy(cluster, policy, async () => {
        let isOver = false;
        void lasts().then(() => isOver = true);
        while (!isOver) {
          onEachWay(node, (way) => way.reset());
          await pause(random.between(300, 1500));
        }
      }));
  };
}

/** Deletes the queue of `node` as an administrator might by mistake. */
async function deleteQueue(
  { broker }: Cluster,
  { name }: Node,
): Promise<void> {
  const count = await broker.eval(
    `length([rabbit_amqqueue:delete(Q, false, false, <<"by hand">>) || ` +
      `Q <- rabbit_amqqueue:list(<<"/">>), ` +
      `maps:get(user, amqqueue:get_options(Q), none) =:= <<"${name}">>, ` +
      // Asked where it is led, which `info` isn't.
      `element(3, rabbit_amqqueue:stat(Q)) > 0])`,
  );
  assert.notEqual(count, "0", "Expected a queue to delete");
}

function onEachWay({ ways }: Node, act: (way: FaultyProxy) => void): void {
  for (const way of ways.values()) act(way);
}

async function delay(
  networks: readonly FaultyProxy[],
  { lasts, random }: Blow,
): Promise<void> {
  const least = random.between(5, 150);
  const jitter = random.between(0, 350);
  for (const network of networks) {
    network.delay(() => least + random.next() * jitter);
  }
  await lasts();
  for (const network of networks) network.delay(0);
}

async function reload(_: Cluster, { node, random }: Blow): Promise<void> {
  const reloadWith = async (limits: string): Promise<void> => {
    await node.reconfigure(limits);
    node.signal("SIGHUP");
  };
  const failed = /reload failed, the old settings stay/;
  await node.logs(failed, () => reloadWith("clients = many"));
  // None of these may end anybody.
  const limits = `
idle_timeout_s = ${random.integer(25, 40)}
client_buffer_bytes = ${random.integer(6, 12)}M
messages_per_second = ${random.integer(100_000, 200_000)}
channels = ${random.integer(5_000, 9_000)}
`;
  await node.logs(/reloaded changed=/, () => reloadWith(limits));
}

async function fillDisk(
  _: Cluster,
  { node, lasts, random }: Blow,
): Promise<void> {
  const { disk } = node;
  assert.ok(typeof disk !== "string");
  // Newcomers are served, full or not.
  const visit = (): Promise<void> => converse(node, `/${random.uuid()}`);
  await disk.fill();
  try {
    await lasts();
    await visit();
  } finally {
    await disk.free();
  }
  await node.logs(/./, visit);
}
