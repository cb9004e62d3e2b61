/**
 * Every fault that the chaos knows, in one table: what it is, what it hits, and
 * how it is done. Each proves that it took effect, and checks what only it can
 * see; whether the promises held decides the checker, from the history.
 */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { eventually, pause } from "../helpers/eventually.ts";
import type { FaultyProxy } from "../helpers/faulty_proxy.ts";
import type { Random } from "../helpers/random.ts";
import {
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../helpers/raw_client.ts";
import {
  limitingPolicy,
  losingPolicy,
  replaceBroker,
  withAlternateExchange,
  withQueuePolicy,
} from "./broker_faults.ts";
import type { Cluster, Node } from "./cluster.ts";
import type { FaultKind } from "./excuses.ts";
import { pay, visitors } from "./visits.ts";

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
    | "broker"
    | "bridge"
    | "node"
    | "frontend"
    | "network"
    | "clients";
  /** Whether it is about one node. */
  readonly isAboutNode: boolean;
  /** Whether it ends connections of clients who did nothing wrong. */
  readonly endsClients: boolean;
  /** Whether it breaks what can't be kept (docs/bridge.md, "What nobody can tell"): it happens only if it is named. */
  readonly isBeyond?: boolean;
  /** How long it lasts, at least and at most; others last as long as they take. */
  readonly seconds?: readonly [number, number];
  /** Gets why it can't be done on this machine, if so. */
  readonly obstacle?: (cluster: Cluster) => string | undefined;
  /** Does it, and resolves when it is over. */
  readonly strike: (cluster: Cluster, blow: Blow) => Promise<void>;
}

/** Two heartbeats may be missed, and a third one begins. */
const noticedS = 7;

/** Every fault. */
export const faults: readonly Fault[] = [
  {
    kind: "broker-kill",
    what: "RabbitMQ is killed (SIGKILL) and started again",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    seconds: [0, 1],
    strike: async (cluster, { lasts, random }) => {
      const broker = random.pick(cluster.brokers.members);
      await cutting(await cluster.nodesOn(broker), async () => {
        await broker.kill();
        await lasts();
        await broker.start();
        await cluster.brokers.whole();
      });
    },
  },
  {
    kind: "broker-restart",
    what: "RabbitMQ is stopped in good order and started again",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    strike: async (cluster, { random }) => {
      const broker = random.pick(cluster.brokers.members);
      await cutting(await cluster.nodesOn(broker), async () => {
        await broker.restart();
        await cluster.brokers.whole();
      });
    },
  },
  {
    kind: "broker-closes",
    what: "RabbitMQ closes every connection",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    strike: (cluster) =>
      cutting(cluster.nodes, () => cluster.broker.closeAllConnections()),
  },
  {
    kind: "broker-lost",
    what:
      "one of three RabbitMQs is killed for good, and a fresh one joins in its place",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    obstacle: ({ kind }) => kind === "one" ? "there is one broker" : undefined,
    strike: async (cluster, { random }) => {
      const broker = random.pick(cluster.brokers.members);
      await cutting(
        await cluster.nodesOn(broker),
        () => replaceBroker(cluster, broker),
      );
    },
  },
  {
    kind: "broker-memory",
    what: "RabbitMQ raises its memory alarm: it takes no messages",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    seconds: [2, 5],
    strike: async ({ broker }, { lasts }) => {
      await broker.memoryAlarm(true);
      await lasts();
      assert.match(await broker.eval("rabbit_alarm:get_alarms()"), /memory/);
      await broker.memoryAlarm(false);
    },
  },
  {
    kind: "broker-disk",
    what: "RabbitMQ raises its disk alarm: it takes no messages",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    seconds: [2, 5],
    strike: async ({ broker }, { lasts }) => {
      await broker.diskAlarm(true);
      await lasts();
      assert.match(await broker.eval("rabbit_alarm:get_alarms()"), /disk/);
      await broker.diskAlarm(false);
    },
  },
  {
    kind: "queue-deleted",
    what: "a node's queue is deleted by hand",
    hits: "broker",
    isAboutNode: true,
    endsClients: true,
    strike: async (cluster, { node }) => {
      const from = await node.logBytes();
      assert.ok(await cluster.deleteQueue(node), "Expected a queue to delete");
      await node.logged(/the broker lost this node's queue/, from);
    },
  },
  {
    kind: "queue-limit",
    what:
      "a policy lets the nodes' queues take next to nothing (max-length), while a node's connections are reset",
    hits: "broker",
    isAboutNode: false,
    endsClients: true,
    isBeyond: true,
    seconds: [2, 5],
    strike: (cluster, blow) =>
      resetUnder(limitingPolicy(blow.random), { cluster, blow }),
  },
  {
    kind: "queue-loss",
    what:
      "a policy takes messages out of the nodes' queues (message-ttl, drop-head), while a node's connections are reset",
    hits: "broker",
    isAboutNode: false,
    endsClients: true,
    isBeyond: true,
    seconds: [2, 5],
    strike: (cluster, blow) =>
      resetUnder(losingPolicy(cluster, blow.random), { cluster, blow }),
  },
  {
    kind: "exchange-policy",
    what:
      "a policy gives the exchange an alternate one, which takes what has nowhere to go",
    hits: "broker",
    isAboutNode: false,
    endsClients: false,
    seconds: [2, 5],
    strike: async (cluster, { lasts }) => {
      await withAlternateExchange(cluster, lasts);
    },
  },
  {
    kind: "node-kill",
    what: "a node is killed (SIGKILL) and started again",
    hits: "node",
    isAboutNode: true,
    endsClients: true,
    seconds: [0, 1.5],
    strike: async (_, { node, lasts }) => {
      await node.stop("SIGKILL");
      await lasts();
      await node.start();
    },
  },
  {
    kind: "node-pause",
    what: "a node is stopped (SIGSTOP) and goes on (SIGCONT)",
    hits: "node",
    isAboutNode: true,
    endsClients: false,
    seconds: [2, 8],
    strike: async (_, { node, lasts }) => {
      node.signal("SIGSTOP");
      try {
        await lasts();
      } finally {
        node.signal("SIGCONT");
      }
    },
  },
  {
    kind: "node-stop",
    what: "a node is ended in good order (SIGTERM) and started again",
    hits: "node",
    isAboutNode: true,
    endsClients: true,
    seconds: [0, 1.5],
    strike: async (_, { node, lasts }) => {
      assert.equal(await node.stop("SIGTERM"), 0, "the exit status");
      await lasts();
      await node.start();
    },
  },
  {
    kind: "node-reload",
    what: "a node reads changed settings (SIGHUP), once with a mistake in them",
    hits: "node",
    isAboutNode: true,
    endsClients: false,
    strike: reload,
  },
  {
    kind: "bridge-reset",
    what: "a node's connections to RabbitMQ are reset (RST), up to three times",
    hits: "bridge",
    isAboutNode: true,
    endsClients: false,
    strike: (_, { node, random }) =>
      cutting([node], async () => {
        const times = random.integer(1, 3);
        for (let i = 0; i < times; i++) {
          node.network.reset();
          await pause(random.between(100, 1200));
        }
      }),
  },
  {
    kind: "bridge-black-hole",
    what:
      "nothing passes between a node and RabbitMQ, for longer than three heartbeats",
    hits: "bridge",
    isAboutNode: true,
    endsClients: false,
    seconds: [noticedS + 0.5, noticedS + 2],
    strike: (_, { node, lasts }) =>
      cutting([node], async () => {
        node.network.blackHole();
        await lasts();
        node.network.heal();
      }),
  },
  {
    kind: "bridge-half-open",
    what: "a node's connections to RabbitMQ end without RabbitMQ hearing of it",
    hits: "bridge",
    isAboutNode: true,
    endsClients: false,
    strike: (_, { node }) =>
      cutting([node], () => {
        node.network.halfOpen();
        return Promise.resolve();
      }),
  },
  {
    kind: "bridge-delay",
    what: "what passes between a node and RabbitMQ is late, up to 0.5 s",
    hits: "bridge",
    isAboutNode: true,
    endsClients: false,
    seconds: [2, 6],
    strike: (_, blow) => delay(blow.node.network, blow),
  },
  {
    kind: "frontend-reload",
    what: "nginx reads its configuration again, and gets new workers",
    hits: "frontend",
    isAboutNode: false,
    endsClients: false,
    strike: async ({ frontend }) => {
      await frontend.reload();
    },
  },
  {
    kind: "frontend-restart",
    what: "nginx is stopped, which cuts off every client, and started again",
    hits: "frontend",
    isAboutNode: false,
    endsClients: true,
    seconds: [0, 1],
    strike: async ({ frontend }, { lasts }) => {
      await frontend.stop();
      await lasts();
      await frontend.start();
    },
  },
  {
    kind: "clients-reset",
    what: "the connections of every third client are reset (RST)",
    hits: "network",
    isAboutNode: false,
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
  {
    kind: "clients-black-hole",
    what: "nothing passes between every third client and nginx for a while",
    hits: "network",
    isAboutNode: false,
    endsClients: false,
    seconds: [1, 5],
    strike: async ({ clientNetwork }, { lasts }) => {
      clientNetwork.blackHole();
      await lasts();
      clientNetwork.heal();
    },
  },
  {
    kind: "clients-delay",
    what:
      "what passes between every third client and nginx is late, up to 0.5 s",
    hits: "network",
    isAboutNode: false,
    endsClients: false,
    seconds: [2, 6],
    strike: ({ clientNetwork }, blow) => delay(clientNetwork, blow),
  },
  {
    kind: "disk-full",
    what: "the disk with a node's PID file and log is full; it goes on serving",
    hits: "node",
    isAboutNode: true,
    endsClients: false,
    seconds: [1, 4],
    // The same on every node.
    obstacle: ({ nodes: [node] }) =>
      typeof node!.disk === "string" ? `no mount: ${node!.disk}` : undefined,
    strike: fillDisk,
  },
  {
    kind: "descriptors",
    what:
      "a node is given more connections than it may open files; it refuses those, and accepts again afterwards",
    hits: "clients",
    isAboutNode: true,
    endsClients: false,
    strike: exhaustDescriptors,
  },
  {
    kind: "slow-readers",
    what: "clients never read what is sent to them; they are closed with 4000",
    hits: "clients",
    isAboutNode: true,
    endsClients: false,
    strike: readSlowly,
  },
  {
    kind: "connection-flood",
    what: "300 clients connect in one instant, some of whom hang up at once",
    hits: "clients",
    isAboutNode: false,
    endsClients: false,
    strike: floodConnections,
  },
  {
    kind: "message-flood",
    what: "a client sends tens of thousands of messages in one go",
    hits: "clients",
    isAboutNode: true,
    endsClients: false,
    strike: floodMessages,
  },
  {
    kind: "bad-frames",
    what:
      "200 visitors, most of them in the crowd's channels, break off, stall, and break the protocol in every way",
    hits: "clients",
    isAboutNode: true,
    endsClients: false,
    strike: misbehave,
  },
];

/** Does what cuts off `nodes` from the broker, and waits until they have come back. */
async function cutting(
  nodes: readonly Node[],
  act: () => Promise<void>,
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

/** Lets a policy hold for the nodes' queues. Messages wait only for those who are away. */
function resetUnder(
  policy: Readonly<Record<string, unknown>>,
  { cluster, blow: { lasts, random } }: { cluster: Cluster; blow: Blow },
): Promise<void> {
  // The policy holds for all of them.
  const node = random.pick(cluster.nodes);
  return cutting([node], () =>
    withQueuePolicy(cluster, policy, async () => {
      let isOver = false;
      void lasts().then(() => isOver = true);
      while (!isOver) {
        node.network.reset();
        await pause(random.between(300, 1500));
      }
    }));
}

async function delay(
  network: Pick<FaultyProxy, "delay">,
  { lasts, random }: Blow,
): Promise<void> {
  const least = random.between(5, 150);
  const jitter = random.between(0, 350);
  network.delay(() => least + random.next() * jitter);
  await lasts();
  network.delay(0);
}

async function reload(
  _: Cluster,
  { node, random }: Blow,
): Promise<void> {
  let from = await node.logBytes();
  await node.reconfigure("clients = many");
  node.signal("SIGHUP");
  await node.logged(/reload failed, the old settings stay/, from);
  from = await node.logBytes();
  // None of these may end anybody.
  await node.reconfigure(`
idle_timeout_s = ${random.integer(25, 40)}
client_buffer_bytes = ${random.integer(6, 12)}M
messages_per_second = ${random.integer(100_000, 200_000)}
channels = ${random.integer(5_000, 9_000)}
`);
  node.signal("SIGHUP");
  await node.logged(/reloaded changed=/, from);
}

async function fillDisk(
  _: Cluster,
  { node, lasts, random }: Blow,
): Promise<void> {
  const { disk } = node;
  assert.ok(typeof disk !== "string");
  await disk.fill();
  try {
    await lasts();
    // Newcomers are served too.
    await converse({ socket: node.socket }, `/${random.uuid()}`);
  } finally {
    await disk.free();
  }
  const from = await node.logBytes();
  await converse({ socket: node.socket }, `/${random.uuid()}`);
  await eventually(
    async () => await node.logBytes() > from,
    `${node.name} to log again`,
  );
}

async function exhaustDescriptors(
  _: Cluster,
  { node, random }: Blow,
): Promise<void> {
  const target = { socket: node.socket };
  const held: RawClient[] = [];
  const limitHits = async (): Promise<number> =>
    (await node.status()).limit_hits.clients ?? 0;
  const before = await limitHits();
  try {
    let refused = 0;
    // In an outage other refusals come, so it is not the first one that counts.
    for (let round = 0; refused < 40 && round < 100; round++) {
      const path = `/${random.uuid()}`;
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const client = await RawClient.connect(target);
          held.push(client);
          await client.write(handshakeBytes({ path }));
          const { status } = await client.readResponse();
          if (status !== 101) client.close();
          return status;
        }),
      );
      assert.deepEqual(
        answers.filter((each) => ![101, 503].includes(each)),
        [],
      );
      if (await limitHits() > before) {
        refused += answers.filter((status) => status === 503).length;
      } else if (answers.includes(503)) await pause(500);
    }
    assert.ok(await limitHits() > before, "Expected the limit to be reached");
  } finally {
    for (const client of held) client.close();
  }
  await eventually(
    () => converse(target, `/${random.uuid()}`).then(() => true, () => false),
    `${node.name} to accept clients again`,
  );
}

/** How long the messages are that fill buffers, in bytes. */
const fillerBytes = 64 * 1024;

async function readSlowly(
  { frontend }: Cluster,
  { node, random }: Blow,
): Promise<void> {
  const straight = random.chance(0.5);
  const target: Target = straight
    ? { socket: node.socket }
    : { port: frontend.port };
  // What the kernel holds of a TCP connection comes on top of the node's 12 MiB at most.
  const count = (straight ? 16 : 32) * 1024 * 1024 / fillerBytes;
  const path = `/${random.uuid()}`;
  using stack = new DisposableStack();
  const join = async (): Promise<RawClient> =>
    stack.use(await joined(target, path));
  const slow = await Promise.all([join(), join(), join()]);
  const [publisher, reader] = await Promise.all([join(), join()]);
  const ahead = 16;
  const filler = new Uint8Array(fillerBytes);
  const view = new DataView(filler.buffer);
  let sending = Promise.resolve();
  for (let sent = 0, got = 0; got < count;) {
    // Not awaited: it reads while its publisher is held.
    for (; sent < count && sent < got + ahead; sent++) {
      const number = sent;
      sending = sending.then(async () => {
        view.setUint32(0, number);
        await publisher!.send(opcodes.binary, filler);
      })
        // A gap ends it together with the reader, who tells.
        .catch(() => {});
    }
    const frame = await nextMessage(reader!);
    if (frame.opcode === opcodes.close) {
      // Told: the broker is away for longer than senders wait.
      assert.deepEqual(readClose(frame.payload), closes.gap);
      return;
    }
    assert.equal(new DataView(frame.payload.buffer).getUint32(0), got++);
  }
  for (const client of slow) {
    for (let expected = 0;;) {
      const frame = await client.readFrame();
      // One that read nothing for longer than close_timeout_s misses the 4000.
      if (frame === undefined) break;
      if (frame.opcode === opcodes.ping) continue;
      if (frame.opcode === opcodes.close) {
        assert.deepEqual(readClose(frame.payload), closes.slow);
        break;
      }
      const number = new DataView(frame.payload.buffer).getUint32(0);
      assert.equal(number, expected++);
    }
  }
}

async function floodConnections(
  { frontend }: Cluster,
  { random }: Blow,
): Promise<void> {
  const paths = Array.from({ length: 100 }, () => `/${random.uuid()}`);
  const visits = Array.from({ length: 300 }, () => ({
    path: random.pick(paths),
    hangsUp: random.chance(0.2),
    staysMs: random.between(0, 1500),
  }));
  const answers: Record<number, number> = {};
  await Promise.all(visits.map(async ({ path, hangsUp, staysMs }) => {
    using client = await RawClient.connect({ port: frontend.port });
    await client.write(handshakeBytes({ path }));
    if (hangsUp) return;
    const { status } = await client.readResponse();
    answers[status] = (answers[status] ?? 0) + 1;
    await pause(staysMs);
  }));
  // 502 and 503 are the answers of what is full, or away.
  assert.deepEqual(
    Object.keys(answers).filter((each) =>
      !["101", "502", "503"].includes(each)
    ),
    [],
  );
}

async function floodMessages(
  { frontend }: Cluster,
  { node, random }: Blow,
): Promise<void> {
  const path = `/${random.uuid()}`;
  const count = random.integer(20_000, 50_000);
  using stack = new DisposableStack();
  const targets: Target[] = [
    { socket: node.socket },
    { port: frontend.port },
    { port: frontend.port },
  ];
  const readers = await Promise.all(
    targets.map(async (target) => stack.use(await joined(target, path))),
  );
  const flooder = stack.use(await joined({ port: frontend.port }, path));
  const frames = concat(
    Array.from({ length: count }, (_, i) => frameBytes(opcodes.text, `${i}`)),
  );
  await Promise.all([
    // Who floods may be a slow writer only because others have to be served.
    flooder.write(frames),
    ...readers.map(async (reader) => {
      for (let expected = 0; expected < count; expected++) {
        const { opcode, payload } = await nextMessage(reader);
        if (opcode === opcodes.close) {
          // Told, and so allowed: docs/protocol.md, "A brake for senders".
          assert.deepEqual(readClose(payload), closes.slow);
          return;
        }
        assert.equal(new TextDecoder().decode(payload), `${expected}`);
      }
    }),
  ]);
}

async function misbehave(
  { frontend }: Cluster,
  { node, random, paths }: Blow,
): Promise<void> {
  const names = Object.keys(visitors);
  const targets: Target[] = [{ socket: node.socket }, { port: frontend.port }];
  // Some have a channel to themselves, which ends with them.
  await Promise.all(Array.from({ length: 20 }, async () => {
    const own = random.fork();
    for (let i = 0; i < 10; i++) {
      await pay(own.pick(names), {
        target: own.pick(targets),
        path: own.chance(0.8) ? own.pick(paths) : `/${own.uuid()}`,
        random: own,
      });
    }
  }));
}

/** Gets a client that has joined, after as many tries as it takes while the broker is away. */
function joined(target: Target, path: string): Promise<RawClient> {
  return eventually(
    () => RawClient.join(target, path).catch(() => undefined),
    "a client to be let in",
    { timeoutMs: 60_000 },
  );
}

/** Lets two newcomers say something to each other. */
async function converse(target: Target, path: string): Promise<void> {
  using first = await joined(target, path);
  using second = await joined(target, path);
  await first.send(opcodes.text, "hello");
  const { payload } = await nextMessage(second);
  assert.equal(new TextDecoder().decode(payload), "hello");
}

/** Reads the next message or close frame. Pings are answered. */
async function nextMessage(
  client: RawClient,
): Promise<{ opcode: number; payload: Uint8Array<ArrayBuffer> }> {
  while (true) {
    const frame = await client.readFrame();
    if (frame === undefined) throw new Error("Expected a message, got the end");
    if (frame.opcode === opcodes.ping) {
      await client.send(opcodes.pong, frame.payload);
    } else if (frame.opcode !== opcodes.pong) return frame;
  }
}
