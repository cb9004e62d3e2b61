/** The processes that are watched, and what is read of them. */
import type { Node } from "../chaos/node.ts";
import { eventually } from "../../tools/eventually.ts";
import { Process, repository } from "../../tools/process.ts";
import { openDescriptors, residentBytes } from "../helpers/resident.ts";
import { runtimeEnvironment } from "../../scripts/runtime_environment.ts";
import type { Probe } from "./probe.ts";

/** A process that is watched. */
export interface Subject {
  readonly name: string;
  readonly pid: number;
  /** Its home, where the probe writes. */
  readonly folder: string;
  /** The node that it is; absent for the relay. */
  readonly node?: Node;
  readonly samples: Sample[];
}

/** What a process was like at one moment. */
export interface Sample {
  /** Seconds since the run began. */
  readonly atS: number;
  /** Whether nobody but the residents was connected. */
  readonly isQuiet: boolean;
  readonly residentBytes: number;
  readonly probe: Probe;
  readonly fds: number;
  /**
   * What only staps tells: event-loop lags counted so far, how many were at
   * most so many seconds, ascending.
   */
  readonly lag?: readonly (readonly [seconds: number, count: number])[];
}

/** A script that tells what a process needs of its memory; see `probe.ts`. */
export const probeScript = new URL("probe.ts", import.meta.url).pathname;

/** The file that it writes in a process's home. */
const probeFile = ".probe";

/** The environment of processes that are watched: as in production, and their probe's file. */
export const watchedEnvironment: Readonly<Record<string, string>> = {
  ...runtimeEnvironment,
  SOAK_PROBE: probeFile,
};

/** Gets what `subject` is like now, and adds that to its samples. */
export async function takeSample(
  { pid, folder, node, samples }: Subject,
  { atS, isQuiet }: { atS: number; isQuiet: boolean },
): Promise<Sample> {
  const sample = {
    ...{ atS, isQuiet },
    residentBytes: await residentBytes(pid),
    probe: JSON.parse(await Deno.readTextFile(`${folder}/${probeFile}`)),
    fds: await openDescriptors(pid),
    ...node && { lag: lagOf(await node.metrics()) },
  };
  samples.push(sample);
  return sample;
}

function lagOf(metrics: ReadonlyMap<string, number>): [number, number][] {
  return [...metrics].flatMap(([name, count]) => {
    const [, bound] =
      /^staps_event_loop_lag_seconds_bucket\{le="(.*)"\}$/.exec(name) ?? [];
    if (bound === undefined) return [];
    return [[bound === "+Inf" ? Infinity : Number(bound), count]];
  });
}

/** Starts the 20-line relay in an empty folder, its home, and resolves when it answers on `relay.sock` there. */
export async function startRelay(folder: string): Promise<Process> {
  await using stack = new AsyncDisposableStack();
  const path = `${folder}/relay.sock`;
  const relay = stack.use(
    new Process(Deno.execPath(), [
      ...["run", "--allow-all", `--preload=${probeScript}`],
      ...[`${repository}/tools/relay.ts`, path],
    ], { env: { ...watchedEnvironment, HOME: folder } }),
  );
  await eventually(async () => {
    if (relay.ended) throw new Error(`The relay has ended:\n${relay.output}`);
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return true;
    } catch {
      return false;
    }
  }, "the relay to answer");
  stack.move();
  return relay;
}
