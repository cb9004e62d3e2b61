/** Measures peers under one workload, in turn: A B C, C B A, and so on. */
import { join } from "node:path";
import type { Generator } from "./generator.ts";
import type { Percentiles } from "./load/samples.ts";
import { type PeerName, peers, type RunningPeer } from "./peers.ts";
import type { TrafficWorkload } from "./workloads.ts";

/** How often and how long. */
export interface Effort {
  rounds: number;
  /** One peer's share of a round. */
  sliceSeconds: number;
  warmUpSeconds: number;
}

/** One peer's share of one round. */
export interface Slice {
  serverUsPerDelivery: number;
  generatorUsPerDelivery: number;
  /** CPU time of the server per second, 1 being one core. */
  serverCores: number;
  generatorCores: number;
  deliveriesPerSecond: number;
  latencyMs: Percentiles;
  churnPerSecond: number;
}

/** What one peer showed under one workload: the slices of all rounds, or why there are none. */
export interface Row {
  peer: PeerName;
  slices: Slice[];
  /** Of all slices together. */
  latencyMs?: Percentiles;
  failure?: string;
}

/** Runs a workload on peers; a peer that loses, doubles or changes a message has a failure. */
export async function measureTraffic(
  workload: TrafficWorkload,
  options: { peers: readonly PeerName[]; effort: Effort; generator: Generator },
): Promise<Row[]> {
  const { effort, generator } = options;
  await using stack = new AsyncDisposableStack();
  const rows: Row[] = [];
  for (const name of options.peers) {
    const row: Row = { peer: name, slices: [] };
    rows.push(row);
    await failing(row, async () => {
      const running = stack.use(await startPeer(name, generator));
      const { protocol, echo } = peers[name];
      const { channels, clientsPerChannel, bytes, binary } = workload;
      const session = { channels, clientsPerChannel, bytes, binary, protocol, echo: echo ?? false };
      await generator.tell("open", { id: name, ...session, address: running.address, pids: running.pids() });
      await runSlice(row, { workload, seconds: effort.warmUpSeconds, isWarmUp: true, generator });
    });
  }
  for (let round = 0; round < effort.rounds; round++) {
    for (const row of round % 2 === 0 ? rows : rows.toReversed()) {
      await failing(row, async () => {
        const options = { workload, seconds: effort.sliceSeconds, isWarmUp: false, generator };
        row.slices.push(await runSlice(row, options));
      });
    }
  }
  for (const row of rows) {
    await failing(row, async () => {
      row.latencyMs = (await generator.tell("close", { id: row.peer })).latencyMs;
    });
  }
  return rows;
}

/** Does `work` unless the row has failed before; keeps its error as the row's failure. */
async function failing(row: Row, work: () => Promise<void>): Promise<void> {
  if (row.failure !== undefined) return;
  try {
    await work();
  } catch (error) {
    row.failure = error instanceof Error ? error.message : String(error);
  }
}

async function runSlice(
  { peer }: Row,
  options: { workload: TrafficWorkload; seconds: number; isWarmUp: boolean; generator: Generator },
): Promise<Slice> {
  const { workload, generator, ...rest } = options;
  const { burst, window, turnsPerSecond, churnPerSecond } = workload;
  const result = await generator.tell("run", {
    ...rest,
    id: peer,
    burst,
    window,
    ...turnsPerSecond === undefined ? {} : { turnsPerSecond },
    ...churnPerSecond === undefined ? {} : { churnPerSecond },
  });
  return {
    serverUsPerDelivery: result.serverNs / 1000 / result.deliveries,
    generatorUsPerDelivery: result.generatorNs / 1000 / result.deliveries,
    serverCores: result.serverNs / 1e9 / result.seconds,
    generatorCores: result.generatorNs / 1e9 / result.seconds,
    deliveriesPerSecond: result.deliveries / result.seconds,
    latencyMs: result.latencyMs,
    churnPerSecond: result.churned / result.seconds,
  };
}

/** Starts a peer in a folder of its own, which goes with it. */
export async function startPeer(name: PeerName, generator: Generator): Promise<RunningPeer> {
  const folder = await Deno.makeTempDir({ prefix: "staps-bench-" });
  try {
    const running = await peers[name].start({ generator, folder });
    return {
      ...running,
      async [Symbol.asyncDispose]() {
        await running[Symbol.asyncDispose]();
        await Deno.remove(folder, { recursive: true });
      },
    };
  } catch (error) {
    const log = await Deno.readTextFile(join(folder, "log")).catch(() => "");
    throw new Error(`Cannot start ${name}: its last words were ${JSON.stringify(log.slice(-400))}`, { cause: error });
  }
}
