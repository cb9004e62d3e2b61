/** Measures peers under one workload, in turn: A B C, C B A, and so on. */
import { pause } from "../tools/eventually.ts";
import type { Percentiles } from "../tools/statistics.ts";
import type { RunOptions } from "./load/session.ts";
import type { PeerName } from "./peers.ts";
import { memoryBytes } from "./processes.ts";
import { type RunningPeer, startPeer } from "./server.ts";
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
  /** How much the server does each time when the kernel lets one of its threads run. */
  deliveriesPerTurn: number;
  generatorUsPerDelivery: number;
  deliveriesPerSecond: number;
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
  { names, effort }: { names: readonly PeerName[]; effort: Effort },
): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const rows = names.map((peer): Row => ({ peer, slices: [] }));
  const running = new Map<Row, RunningPeer>();
  const slice = (row: Row, seconds: number, isWarmUp = false): Promise<Slice> =>
    runSlice(running.get(row)!, { ...workload, seconds, isWarmUp });
  for (const row of rows) {
    await failing(row, async () => {
      const peer = stack.use(await startPeer(row.peer));
      running.set(row, peer);
      await peer.open(workload);
      await slice(row, effort.warmUpSeconds, true);
    });
  }
  for (let round = 0; round < effort.rounds; round++) {
    for (const row of round % 2 === 0 ? rows : rows.toReversed()) {
      await failing(row, async () => {
        row.slices.push(await slice(row, effort.sliceSeconds));
      });
    }
  }
  for (const row of rows) {
    await failing(row, async () => {
      row.latencyMs = await running.get(row)!.generator.tell("latencies");
    });
  }
  return rows;
}

/** Does `work` unless the row has failed before; keeps its error as the row's failure. */
async function failing(
  row: { failure?: string },
  work: () => Promise<void>,
): Promise<void> {
  if (row.failure !== undefined) return;
  try {
    await work();
  } catch (error) {
    row.failure = (error as Error).message;
  }
}

async function runSlice(
  { generator }: RunningPeer,
  options: RunOptions & { isWarmUp: boolean },
): Promise<Slice> {
  const result = await generator.tell("run", options);
  return {
    serverUsPerDelivery: result.serverNs / 1000 / result.deliveries,
    deliveriesPerTurn: result.deliveries / result.serverTurns,
    generatorUsPerDelivery: result.generatorNs / 1000 / result.deliveries,
    deliveriesPerSecond: result.deliveries / result.seconds,
  };
}

/** What clients that only connect cost one peer. */
export interface ConnectRow {
  peer: PeerName;
  clients: number;
  startUpMs: number;
  /** Memory before the first client. */
  baseBytes: number;
  bytesPerClient: number;
  connectsPerSecond: number;
  serverUsPerConnect: number;
  failure?: string;
}

/** How long a server has to settle before its memory is read. */
const settleMs = 1500;

/** Lets `clients` connect to a fresh process at once, and then do nothing. */
export async function measureConnects(
  name: PeerName,
  { clients, settles }: { clients: number; settles: boolean },
): Promise<ConnectRow> {
  const row: ConnectRow = {
    peer: name,
    clients,
    startUpMs: 0,
    baseBytes: 0,
    bytesPerClient: 0,
    connectsPerSecond: 0,
    serverUsPerConnect: 0,
  };
  await failing(row, async () => {
    await using peer = await startPeer(name);
    row.startUpMs = peer.startUpMs;
    if (settles) await pause(settleMs);
    row.baseBytes = memoryBytes(peer.pids());
    // Channels of ten: neither one for all nor one for each.
    const shape = { channels: clients / 10, clientsPerChannel: 10 };
    const opened = await peer.open({ ...shape, bytes: 64, binary: false });
    row.connectsPerSecond = clients / opened.seconds;
    row.serverUsPerConnect = opened.serverNs / 1000 / clients;
    if (settles) await pause(settleMs);
    const bytes = await peer.generator.tell("memory");
    row.bytesPerClient = (bytes - row.baseBytes) / clients;
  });
  return row;
}
