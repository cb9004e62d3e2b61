/** Measures peers under one workload, in turn: A B C, C B A, and so on. */
import { join } from "node:path";
import { pause } from "../tools/eventually.ts";
import { Generator } from "./generator.ts";
import type { Percentiles } from "./load/samples.ts";
import { type PeerName, peers } from "./peers.ts";
import { memoryBytes } from "./processes.ts";
import type { RunningPeer } from "./server.ts";
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
  /** CPU time of the server per second, 1 being one core. */
  serverCores: number;
  generatorCores: number;
  deliveriesPerSecond: number;
  latencyMs: Percentiles;
}

/** What one peer showed under one workload: the slices of all rounds, or why there are none. */
export interface Row {
  peer: PeerName;
  slices: Slice[];
  /** Of all slices together. */
  latencyMs?: Percentiles;
  failure?: string;
}

/** More clients than one load generator should have: many systems allow 20,000 descriptors. */
const manyClients = 10_000;

/** Runs a workload on peers; a peer that loses, doubles or changes a message has a failure. */
export async function measureTraffic(
  workload: TrafficWorkload,
  options: {
    peers: readonly PeerName[];
    effort: Effort;
    generator: Generator;
  },
): Promise<Row[]> {
  const { effort } = options;
  const { channels, clientsPerChannel, bytes, binary } = workload;
  await using stack = new AsyncDisposableStack();
  const rows: Row[] = [];
  const generators = new Map<Row, Generator>();
  for (const name of options.peers) {
    const row: Row = { peer: name, slices: [] };
    rows.push(row);
    await failing(row, async () => {
      const generator = channels * clientsPerChannel > manyClients
        ? stack.use(new Generator())
        : options.generator;
      generators.set(row, generator);
      const running = stack.use(await startPeer(name, generator));
      await generator.tell("open", {
        id: name,
        channels,
        clientsPerChannel,
        bytes,
        binary,
        echo: peers[name].echo ?? false,
        address: running.address,
        pids: running.pids(),
      });
      const seconds = effort.warmUpSeconds;
      await runSlice(row, { workload, seconds, isWarmUp: true, generator });
    });
  }
  for (let round = 0; round < effort.rounds; round++) {
    for (const row of round % 2 === 0 ? rows : rows.toReversed()) {
      await failing(row, async () => {
        const slice = await runSlice(row, {
          workload,
          seconds: effort.sliceSeconds,
          isWarmUp: false,
          generator: generators.get(row)!,
        });
        row.slices.push(slice);
      });
    }
  }
  for (const row of rows) {
    await failing(row, async () => {
      const { latencyMs } = await generators.get(row)!.tell("close", {
        id: row.peer,
      });
      row.latencyMs = latencyMs;
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
  options: {
    workload: TrafficWorkload;
    seconds: number;
    isWarmUp: boolean;
    generator: Generator;
  },
): Promise<Slice> {
  const { workload, generator, ...rest } = options;
  const { burst, window, busyChannels } = workload;
  const result = await generator.tell("run", {
    ...rest,
    id: peer,
    burst,
    window,
    ...busyChannels === undefined ? {} : { busyChannels },
  });
  return {
    serverUsPerDelivery: result.serverNs / 1000 / result.deliveries,
    deliveriesPerTurn: result.deliveries / result.serverTurns,
    generatorUsPerDelivery: result.generatorNs / 1000 / result.deliveries,
    serverCores: result.serverNs / 1e9 / result.seconds,
    generatorCores: result.generatorNs / 1e9 / result.seconds,
    deliveriesPerSecond: result.deliveries / result.seconds,
    latencyMs: result.latencyMs,
  };
}

/** Starts a peer in a folder of its own, which goes with it. */
export async function startPeer(
  name: PeerName,
  generator: Generator,
): Promise<RunningPeer> {
  const folder = await Deno.makeTempDir({ prefix: "staps-bench-" });
  try {
    const running = await peers[name].start({ generator, folder });
    return {
      ...running,
      async [Symbol.asyncDispose](): Promise<void> {
        await running[Symbol.asyncDispose]();
        await Deno.remove(folder, { recursive: true });
      },
    };
  } catch (error) {
    const log = await Deno.readTextFile(join(folder, "log")).catch(() => "");
    await Deno.remove(folder, { recursive: true });
    throw new Error(
      `Cannot start ${name}: ${
        (error as Error).message.split("\n")[0]
      }; its log ends with ${JSON.stringify(log.slice(-400))}`,
      { cause: error },
    );
  }
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
  peer: PeerName,
  options: { clients: number; generator: Generator; settles: boolean },
): Promise<ConnectRow> {
  const { clients, generator, settles } = options;
  const row = {
    peer,
    clients,
    startUpMs: 0,
    baseBytes: 0,
    bytesPerClient: 0,
    connectsPerSecond: 0,
    serverUsPerConnect: 0,
  };
  try {
    await using running = await startPeer(peer, generator);
    row.startUpMs = running.startUpMs;
    if (settles) await pause(settleMs);
    const pids = running.pids();
    row.baseBytes = memoryBytes(pids);
    // Channels of ten: neither one for all nor one for each.
    const session = {
      channels: clients / 10,
      clientsPerChannel: 10,
      bytes: 64,
      binary: false,
      echo: peers[peer].echo ?? false,
    };
    const { address } = running;
    const opened = await generator.tell("open", {
      id: peer,
      ...session,
      address,
      pids,
    });
    row.connectsPerSecond = clients / opened.seconds;
    row.serverUsPerConnect = opened.serverNs / 1000 / clients;
    if (settles) await pause(settleMs);
    const { bytes } = await generator.tell("memory", { pids });
    row.bytesPerClient = (bytes - row.baseBytes) / clients;
    await generator.tell("close", { id: peer });
    return row;
  } catch (error) {
    return {
      ...row,
      failure: error instanceof Error ? error.message : String(error),
    };
  }
}
