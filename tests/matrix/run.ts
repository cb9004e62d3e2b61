/** Runs scenes of the matrix, one after the other, and gets what came of each cell. */
import {
  type BrokerCluster,
  startCluster,
} from "../../tools/broker_cluster.ts";
import { BrokerNetwork } from "../../tools/broker_network.ts";
import { aborted, pause } from "../../tools/eventually.ts";
import { repository } from "../../tools/process.ts";
import { Crowd, type CrowdKind, foreverMs } from "../chaos/crowd.ts";
import { History } from "../chaos/history.ts";
import { block } from "../helpers/docs.ts";
import { Random } from "../helpers/random.ts";
import { brokersOf, type Cell, nameOf, type Scene } from "./cells.ts";
import { CellChecker, type Verdict } from "./checker.ts";
import { canBeSpared, needsNetwork, type Stage } from "./faults.ts";
import { type Node, queuesOf, startNode } from "./nodes.ts";

/** What came of a cell. */
export interface Result {
  readonly cell: Cell;
  readonly verdict: Verdict;
  /** How many clients there were at a time. */
  readonly clients: number;
  /**
   * How long it took until all nodes' messages reached all others again: after
   * the end of a broker, or after it hung or was cut off; the longest if there
   * were several.
   */
  readonly backMs: number;
  /** What nodes and brokers logged, by file name. */
  readonly logs: Readonly<Record<string, string>>;
}

/** Settings of {@linkcode runScenes}. */
export interface RunOptions {
  /** How many messages from other nodes are checked in each cell, at least. */
  readonly deliveries: number;
  /** A line for the nodes' section `[bridge]`. */
  readonly bridge?: string | undefined;
  /** Ends the run early. */
  readonly signal: AbortSignal;
}

/** The clients of a cell, who stay, and come back to where they were. */
const residents: CrowdKind = {
  channels: 5,
  clientsPerChannel: 10,
  keepsDoors: true,
  messagesPerSecond: 200,
  maxMessageBytes: 200,
  channelLifeMs: [foreverMs, foreverMs],
  clientLifeMs: [foreverMs, foreverMs],
  // What takes longer is lost.
  settleTimeoutMs: 60_000,
};
/**
 * Others, in channels of their own, who come and go: during a fault some join,
 * and some speak where nobody of their node spoke before. Who misses something
 * is told late if its node has to ask the others for that.
 */
const newcomers: CrowdKind = {
  ...residents,
  channels: 6,
  clientsPerChannel: 4,
  messagesPerSecond: 60,
  channelLifeMs: [3_000, 60_000],
  clientLifeMs: [1_000, 15_000],
  settleTimeoutMs: 180_000,
};
/** How long everything is calm before a fault: a broker may forget younger bindings, which is told (docs/bridge.md). */
const calmMs = 5_000;
/** How long everybody may take to hear everybody again. */
const backTimeoutMs = 180_000;

const clusterSize = 3;
const protocol = await Deno.readTextFile(`${repository}/docs/protocol.md`);

/** A cluster to run scenes on, and its networks. */
interface Brokers extends Omit<Stage, "back"> {
  /** One word for them. */
  readonly name: string;
  /** Disposes of them. */
  readonly stack: AsyncDisposableStack;
}

/**
 * Runs `scenes`, each on its brokers. Gets what came of each cell: its result,
 * why it broke off, or in words why this machine can't run it. Everything that
 * it started has ended afterwards.
 */
export async function* runScenes(
  scenes: readonly Scene[],
  options: RunOptions,
): AsyncGenerator<readonly [Cell, Result | Error | string]> {
  let brokers: Brokers | undefined;
  const endBrokers = async (): Promise<void> => {
    await brokers?.stack.disposeAsync();
    brokers = undefined;
  };
  try {
    for (const scene of scenes) {
      const [first] = scene as [Cell];
      try {
        if (brokers?.name !== brokersOf(first)) {
          await endBrokers();
          brokers = await startBrokers(first);
        }
        const { network, cluster } = brokers;
        if (needsNetwork(first.fault) && typeof network === "string") {
          for (const cell of scene) yield [cell, network];
          continue;
        }
        for (const result of await runScene(scene, brokers, options)) {
          yield [result.cell, result];
        }
        await restore(cluster);
      } catch (error) {
        if (options.signal.aborted) return;
        for (const cell of scene) yield [cell, error as Error];
        // Whatever state it is in, the next scene gets another one.
        await endBrokers();
      }
    }
  } finally {
    await endBrokers();
  }
}

/** Starts a cluster for a cell, in namespaces if they can be had. */
async function startBrokers(cell: Cell): Promise<Brokers> {
  await using stack = new AsyncDisposableStack();
  const network = await BrokerNetwork.make(clusterSize);
  const hasNetwork = typeof network !== "string";
  if (hasNetwork) stack.use(network);
  const page = "docs/bridge.md";
  const config = cell.isTuned
    ? {
      config: await block(page, "rabbitmq.conf"),
      advanced: await block(page, "advanced.config"),
    }
    : { config: "cluster_partition_handling = pause_minority" };
  const cluster = stack.use(
    await startCluster({
      ...{ ...cell.kind, ...config, size: clusterSize },
      ...hasNetwork && { homes: network.homes },
    }),
  );
  return { name: brokersOf(cell), cluster, network, stack: stack.move() };
}

/** Starts what was ended, and resolves when all members are in line. */
async function restore(cluster: BrokerCluster): Promise<void> {
  for (const member of cluster.members) {
    if (member.state === "stopped") await member.start();
  }
  await cluster.whole();
  for (const member of cluster.members) await canBeSpared(member);
}

/** Some of a cell's clients, and what is known of them. */
interface Clients {
  readonly crowd: Crowd;
  readonly history: History;
  readonly checker: CellChecker;
}

/** The nodes of a cell, and their clients. */
interface Group extends Clients {
  readonly cell: Cell;
  readonly nodes: readonly Node[];
  readonly newcomers: Clients;
}

let sceneCount = 0;

/** Runs a scene on its brokers, and gets what came of each of its cells. */
async function runScene(
  scene: Scene,
  stage: Omit<Stage, "back">,
  options: RunOptions,
): Promise<Result[]> {
  await using stack = new AsyncDisposableStack();
  const playing = play(scene, { ...stage, ...options, stack });
  // What it does after an interruption fails, as everything is being ended.
  playing.catch(() => {});
  return await Promise.race([playing, aborted(options.signal)]);
}

async function play(
  scene: Scene,
  { cluster, network, stack, deliveries, ...options }:
    & Omit<Stage, "back">
    & RunOptions
    & { stack: AsyncDisposableStack },
): Promise<Result[]> {
  const groups: Group[] = [];
  const prefix = `scene${++sceneCount}`;
  for (const cell of scene) {
    const exchange = `${prefix}-${cell.queueType}`;
    groups.push(
      await startGroup(cell, { ...options, cluster, stack, exchange }),
    );
  }
  await flows(groups);
  await pause(calmMs);
  const heals = groups.flatMap(({ history, newcomers }) =>
    [history, newcomers.history].map((each) => each.fault("broker-lost"))
  );
  const backMs = new Map<Group, number>();
  const back = async (): Promise<void> => {
    for (const [group, ms] of await flows(groups)) {
      backMs.set(group, Math.max(ms, backMs.get(group) ?? 0));
    }
  };
  await scene[0]!.fault.strike({ cluster, network, back });
  // Now all have to be back, if they weren't before.
  await flows(groups);
  for (const heal of heals) heal();
  return await Promise.all(groups.map(async (group) => {
    const { cell, nodes, crowd, checker, newcomers } = group;
    const lostQueues = new Set<number>();
    for (const [i, { user, queue }] of nodes.entries()) {
      const present = await queuesOf(cluster, user);
      if (present.some((name) => name !== queue)) lostQueues.add(i);
    }
    while (checker.deliveries < deliveries) await pause(100);
    const clients = crowd.counts.open;
    await Promise.all([crowd.finish(), newcomers.crowd.finish()]);
    const verdict = checker.finish(lostQueues);
    const others = newcomers.checker.finish(lostQueues);
    return {
      cell,
      verdict: {
        ...verdict,
        lost: verdict.lost + others.untold,
        losses: [...verdict.losses, ...others.untold > 0 ? others.losses : []],
        // They come while their node's broker is away.
        wrong: verdict.wrong + others.wrong - others.refused,
      },
      clients,
      backMs: backMs.get(group)!,
      logs: Object.fromEntries([
        ...nodes.map(({ staps }, i) => [`node${i + 1}`, staps.stderr]),
        ...cluster.members.map(({ output }, i) => [`broker${i + 1}`, output]),
      ]),
    };
  }));
}

async function startGroup(
  cell: Cell,
  { cluster, stack, exchange, bridge }:
    & Omit<RunOptions, "deliveries">
    & {
      cluster: BrokerCluster;
      stack: AsyncDisposableStack;
      exchange: string;
    },
): Promise<Group> {
  const { fault, queueType } = cell;
  const nodes: Node[] = [];
  for (const [i, place] of fault.places.slice(0, cell.nodes).entries()) {
    const user = `${exchange}-${i + 1}`;
    const options = { user, exchange, queueType, place, bridge };
    const node = await startNode(cluster, options);
    stack.defer(async () => {
      // In good order: it deletes its queue.
      await node.staps.stop("SIGTERM").catch(() => {});
      await node.staps[Symbol.asyncDispose]();
    });
    nodes.push(node);
  }
  const start = async (kind: CrowdKind): Promise<Clients> => {
    const checker = new CellChecker(queueType, { protocol });
    const random = new Random();
    const history = stack.use(
      History.begin({
        ...{ path: "/dev/null", seed: random.seed },
        onEvent: (event) => checker.take(event),
      }),
    );
    const doors = nodes.map(({ staps }, node) => ({
      ...{ name: `node ${node + 1}`, target: staps, node },
    }));
    const crowd = stack.use(
      await Crowd.start({ ...kind, history, random, doors }),
    );
    return { crowd, history, checker };
  };
  const all = await start(residents);
  return { cell, nodes, ...all, newcomers: await start(newcomers) };
}

/** Gets how long each group takes until everybody has heard everybody, in milliseconds. */
async function flows(groups: readonly Group[]): Promise<Map<Group, number>> {
  const entries = await Promise.all(groups.map(async (group) => {
    try {
      const ms = await group.crowd.flows({ timeoutMs: backTimeoutMs });
      return [group, ms] as const;
    } catch (error) {
      throw new Error(
        `${nameOf(group.cell)}: ${(error as Error).message}\n` +
          group.nodes.map(({ staps }) => staps.stderr.slice(-3000)).join("\n"),
        { cause: error },
      );
    }
  }));
  return new Map(entries);
}
