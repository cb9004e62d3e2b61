/** Runs scenes of the matrix, one after the other, and gets what came of each cell. */
import {
  type BrokerCluster,
  startCluster,
} from "../../tools/broker_cluster.ts";
import { BrokerNetwork } from "../../tools/broker_network.ts";
import { Crowd, type CrowdKind, foreverMs } from "../chaos/crowd.ts";
import { History } from "../chaos/history.ts";
import { block } from "../helpers/docs.ts";
import { aborted, pause } from "../../tools/eventually.ts";
import { repository, type Staps } from "../../tools/process.ts";
import { Random } from "../helpers/random.ts";
import { brokersOf, type Cell, nameOf, type Scene } from "./cells.ts";
import { CellChecker, type Verdict } from "./checker.ts";
import { canBeSpared, needsNetwork } from "./faults.ts";
import { queuesOf, startNode } from "./nodes.ts";

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
  /** Ends the run early. */
  readonly signal: AbortSignal;
  /** A line for the nodes' section `[bridge]`. */
  readonly bridge?: string | undefined;
  /** Told what came of each cell: its result, why it broke off, or in words why this machine can't run it. */
  readonly onCell: (
    cell: Cell,
    result: Result | Error | string,
  ) => void | Promise<void>;
}

const clusterSize = 3;
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
/** How long everything is calm before a fault: a broker may forget younger bindings, which is told (docs/bridge.md). */
const calmMs = 5_000;
/** How long everybody may take to hear everybody again. */
const backTimeoutMs = 180_000;

/** A cluster to run scenes on, and its networks. */
interface Stage extends AsyncDisposable {
  /** One word for the brokers. */
  readonly name: string;
  readonly cluster: BrokerCluster;
  readonly network: BrokerNetwork | string;
}

/** Starts a cluster for a cell, in namespaces if they can be had. */
async function startStage(cell: Cell): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const network = await BrokerNetwork.make(clusterSize);
  if (typeof network !== "string") stack.use(network);
  const page = "docs/bridge.md";
  const config = cell.isTuned
    ? {
      config: await block(page, "rabbitmq.conf"),
      advanced: await block(page, "advanced.config"),
    }
    : { config: "cluster_partition_handling = pause_minority" };
  const cluster = stack.use(
    await startCluster({
      ...cell.kind,
      size: clusterSize,
      ...config,
      ...typeof network !== "string" && { homes: network.homes },
    }),
  );
  const all = stack.move();
  const end = (): Promise<void> => all.disposeAsync();
  return {
    name: brokersOf(cell),
    cluster,
    network,
    [Symbol.asyncDispose]: end,
  };
}

/** Starts what was ended, and resolves when all members are in line. */
async function restore(cluster: BrokerCluster): Promise<void> {
  for (const member of cluster.members) {
    if (member.state === "stopped") await member.start();
  }
  await cluster.whole();
  for (const member of cluster.members) await canBeSpared(member);
}

/** Runs `scenes`, each on its brokers. Everything that it started has ended afterwards. */
export async function runScenes(
  scenes: readonly Scene[],
  options: RunOptions,
): Promise<void> {
  let stage: Stage | undefined;
  try {
    for (const scene of scenes) {
      if (options.signal.aborted) return;
      const [first] = scene as [Cell];
      try {
        if (stage?.name !== brokersOf(first)) {
          await stage?.[Symbol.asyncDispose]();
          stage = undefined;
          stage = await startStage(first);
        }
        if (needsNetwork(first.fault) && typeof stage.network === "string") {
          for (const cell of scene) await options.onCell(cell, stage.network);
          continue;
        }
        for (const result of await runScene(scene, stage, options)) {
          await options.onCell(result.cell, result);
        }
        await restore(stage.cluster);
      } catch (error) {
        if (options.signal.aborted) return;
        for (const cell of scene) await options.onCell(cell, error as Error);
        // Whatever state it is in, the next scene gets another one.
        await stage?.[Symbol.asyncDispose]();
        stage = undefined;
      }
    }
  } finally {
    await stage?.[Symbol.asyncDispose]();
  }
}

/** A node, and the queue that it has in the beginning. */
interface Node {
  readonly staps: Staps;
  /** Its user on the brokers. */
  readonly user: string;
  readonly queue: string;
}

/** The nodes of a cell, and their clients. */
interface Group {
  readonly cell: Cell;
  readonly nodes: readonly Node[];
  readonly crowd: Crowd;
  readonly history: History;
  readonly checker: CellChecker;
  /** The indexes of nodes that lost their queue, as far as it is known. */
  readonly lostQueues: Set<number>;
}

let sceneCount = 0;

async function runScene(
  scene: Scene,
  { cluster, network }: Stage,
  { deliveries, bridge, signal }: RunOptions,
): Promise<Result[]> {
  await using stack = new AsyncDisposableStack();
  const prefix = `scene${++sceneCount}`;
  const play = async (): Promise<Result[]> => {
    const groups: Group[] = [];
    for (const cell of scene) {
      groups.push(
        await startGroup(cell, {
          cluster,
          stack,
          prefix: `${prefix}-${cell.queueType}`,
          bridge,
        }),
      );
    }
    await flows(groups);
    await pause(calmMs);
    const heals = groups.map(({ history }) => history.fault("broker-lost"));
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
    for (const { nodes, lostQueues } of groups) {
      for (const [i, { user, queue }] of nodes.entries()) {
        const present = await queuesOf(cluster, user);
        if (present.some((name) => name !== queue)) lostQueues.add(i);
      }
    }
    return await Promise.all(groups.map(async (group) => {
      const { cell, crowd, checker, lostQueues } = group;
      while (checker.deliveries < deliveries) await pause(100);
      const clients = crowd.counts.open;
      await crowd.finish();
      return {
        cell,
        verdict: checker.finish(lostQueues),
        clients,
        backMs: backMs.get(group)!,
        logs: Object.fromEntries([
          ...group.nodes.map(({ staps }, i) => [`node${i + 1}`, staps.stderr]),
          ...cluster.members.map(({ output }, i) => [`broker${i + 1}`, output]),
        ]),
      };
    }));
  };
  const playing = play();
  // What it does after an interruption fails, as everything is being ended.
  playing.catch(() => {});
  return await Promise.race([playing, aborted(signal)]);
}

async function startGroup(
  cell: Cell,
  { cluster, stack, prefix, bridge = "" }: {
    cluster: BrokerCluster;
    stack: AsyncDisposableStack;
    prefix: string;
    bridge: string | undefined;
  },
): Promise<Group> {
  const nodes: Node[] = [];
  for (const [i, place] of cell.fault.places.slice(0, cell.nodes).entries()) {
    const user = `${prefix}-${i + 1}`;
    const staps = await startNode(cluster, {
      ...{ user, exchange: prefix, place },
      ...{ queueType: cell.queueType, bridge },
    });
    stack.defer(async () => {
      // In good order: it deletes its queue.
      await staps.stop("SIGTERM").catch(() => {});
      await staps[Symbol.asyncDispose]();
    });
    const [queue] = await queuesOf(cluster, user);
    nodes.push({ staps, user, queue: queue! });
  }
  const checker = new CellChecker(cell.queueType, {
    protocol: await Deno.readTextFile(`${repository}/docs/protocol.md`),
  });
  const random = new Random();
  const history = stack.use(
    History.begin({
      ...{ path: "/dev/null", seed: random.seed },
      onEvent: (event) => checker.take(event),
    }),
  );
  const crowd = stack.use(
    await Crowd.start({
      ...{ ...residents, history, random },
      doors: nodes.map(({ staps }, node) => ({
        ...{ name: `node ${node + 1}`, target: staps, node },
      })),
    }),
  );
  return { cell, nodes, crowd, history, checker, lostQueues: new Set() };
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
