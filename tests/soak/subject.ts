/** The processes that are watched, and what is read of them. */
import { ask, readSamples } from "../helpers/admin.ts";
import type { Process } from "../helpers/process.ts";
import type { Probe } from "./probe.ts";

/** A process that is watched. */
export interface Subject {
  readonly name: string;
  readonly process: Process;
  /** The file that its probe writes; see `probe.ts`. */
  readonly probe: string;
  /** Where its metrics are; the relay has none. */
  readonly admin?: string;
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
  readonly cpuS: number;
  /** What only staps tells. */
  readonly staps?: StapsSample;
}

/** What a node's metrics say. */
export interface StapsSample {
  readonly clients: number;
  readonly channels: number;
  /** Event-loop lags counted so far: how many were at most so many seconds, ascending. */
  readonly lag: readonly (readonly [seconds: number, count: number])[];
}

/** Gets what `subject` is like now. */
export async function takeSample(
  { process: { pid }, probe, admin }: Subject,
  { atS, isQuiet }: { atS: number; isQuiet: boolean },
): Promise<Sample> {
  const staps = admin === undefined ? undefined : await readMetrics(admin);
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const residentKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]);
  return {
    atS,
    isQuiet,
    residentBytes: residentKib * 1024,
    probe: JSON.parse(await Deno.readTextFile(probe)),
    fds: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    cpuS: await cpuSeconds(pid),
    ...staps && { staps },
  };
}

/** Gets what a node with the admin socket `admin` counts. */
export async function readMetrics(admin: string): Promise<StapsSample> {
  const samples = readSamples((await ask(admin, "/metrics")).text);
  const lag = [...samples].flatMap(([name, count]) => {
    const bound = /^staps_event_loop_lag_seconds_bucket\{le="(.*)"\}$/
      .exec(name)?.[1];
    if (bound === undefined) return [];
    return [[bound === "+Inf" ? Infinity : Number(bound), count] as const];
  });
  return {
    clients: samples.get("staps_clients")!,
    channels: samples.get("staps_channels")!,
    lag,
  };
}

/** Gets the CPU time that a process took so far, proc_pid_stat(5). */
export async function cpuSeconds(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/stat`);
  // The name before the last ")" may have blanks in it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  // The kernel tells it in hundredths of a second on every machine, time(7).
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
