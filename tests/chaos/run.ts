/** One run: a cluster, a crowd, one fault after the other, and the verdict. */
import { pause } from "../helpers/eventually.ts";
import { repository } from "../helpers/process.ts";
import { Random } from "../helpers/random.ts";
import { checkFile, type Verdict } from "./checker.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";
import { Crowd, type CrowdCounts } from "./crowd.ts";
import { History } from "./history.ts";
import { startStrangers } from "./strangers.ts";
import { describe, type PlannedFault, planSteps, type Step } from "./plan.ts";

/** Settings of {@linkcode runChaos}. */
export interface RunOptions {
  readonly seed: number;
  /** How long faults happen; the start and the end come on top. */
  readonly minutes: number;
  /** The folder for the history and the nodes; it has to be empty, with a short path. */
  readonly folder: string;
  /** How many faults happen at once, at most. */
  readonly atOnce?: number;
  /** The kinds of faults to take; all if left out. */
  readonly only?: readonly string[];
  /** Ends after so many rounds of every fault, whatever `minutes` says. */
  readonly rounds?: number;
  /** Breaks or changes the nodes. */
  readonly bridge?: ClusterOptions["bridge"];
  /** Which RabbitMQ, and how many. */
  readonly broker?: ClusterOptions["broker"];
  readonly brokers?: ClusterOptions["brokers"];
  /** Ends the run early, and makes it fail. */
  readonly signal?: AbortSignal;
  /** Told what goes on. */
  readonly onProgress?: (progress: Progress) => void;
}

/** How far a run is. */
export interface Progress {
  /** What it does; `step` is present from a step's begin to its end. */
  readonly phase: "start" | "calm" | "faults" | "flow" | "stepped" | "end";
  readonly elapsedMs: number;
  readonly step?: Step;
  /** How long it took until messages flowed again, after a step. */
  readonly flowMs?: number;
  readonly counts?: CrowdCounts;
}

/** How often a fault happened, and what followed. */
export interface FaultTally {
  times: number;
  /** How long it took after each end until everybody heard everybody, in milliseconds. */
  readonly flowMs: number[];
  /** Why it couldn't be done here. */
  obstacle?: string;
}

/** What came of a run. */
export interface RunResult {
  readonly seed: number;
  /** How long faults happened. */
  readonly elapsedMs: number;
  readonly steps: number;
  /** By kind, in the order of the table of faults. */
  readonly faults: ReadonlyMap<string, FaultTally>;
  /** How often a stranger came and went. */
  readonly visits: number;
  readonly verdict: Verdict;
  /** What else went wrong: a fault's own checks, and what was left behind. */
  readonly problems: readonly string[];
}

/** The seed decides everything; parts of the run get generators of their own. */
const crowdSalt = 0x63726f77;
const strangersSalt = 0x73747267;

/** Does a run, and gets what came of it. Everything that it started has ended by then. */
export async function runChaos(options: RunOptions): Promise<RunResult> {
  const { seed, folder, signal, bridge, broker, brokers } = options;
  const tallies = new Map<string, FaultTally>();
  const problems: string[] = [];
  const historyPath = `${folder}/history.jsonl`;
  const tell = options.onProgress ?? (() => {});
  tell({ phase: "start", elapsedMs: 0 });

  let elapsedMs = 0;
  let steps = 0;
  let visits = 0;
  {
    using history = History.begin({ path: historyPath, seed });
    await using cluster = await Cluster.start({
      folder,
      ...bridge !== undefined && { bridge },
      ...broker && { broker },
      ...brokers && { brokers },
    });
    await using crowd = await Crowd.start({
      history,
      random: new Random(seed ^ crowdSalt),
      doors: [
        {
          name: "nginx",
          target: { port: cluster.frontend.port },
          node: (headers) => cluster.nodeOf(headers),
          weight: 2,
        },
        {
          name: "nginx, through a network of its own",
          target: { port: cluster.clientNetwork.port },
          node: (headers) => cluster.nodeOf(headers),
        },
      ],
    });
    await using strangers = startStrangers({
      seed: seed ^ strangersSalt,
      port: cluster.frontend.port,
    });
    const startMs = performance.now();
    const endMs = startMs + options.minutes * 60_000;
    const report = (progress: Omit<Progress, "elapsedMs" | "counts">): void => {
      elapsedMs = performance.now() - startMs;
      tell({ ...progress, elapsedMs, counts: crowd.counts });
    };
    const live = setInterval(() => report({ phase: "calm" }), 500);
    const play = async (): Promise<void> => {
      await crowd.flows();
      for (const node of cluster.nodes) await node.rememberWarm();
      for (const step of planSteps(seed, options)) {
        const isOver = options.rounds === undefined
          ? performance.now() > endMs
          : step.round > options.rounds;
        if (isOver) break;
        steps = step.number;
        await pause(step.calmMs);
        report({ phase: "faults", step });
        await strikeAll(step, { cluster, history, tallies, problems });
        report({ phase: "flow", step });
        const overMs = performance.now();
        await cluster.ready();
        await crowd.flows();
        const flowMs = performance.now() - overMs;
        for (const { fault } of step.faults) {
          tallies.get(fault.kind)?.flowMs.push(flowMs);
        }
        report({ phase: "stepped", step, flowMs });
        for (const node of cluster.nodes) await node.rememberWarm();
        // What it would show from here on follows from that.
        if (problems.length > 0) break;
      }
      report({ phase: "end" });
      await crowd.finish();
      if (strangers.hasEnded) {
        problems.push(`The strangers ended:\n${strangers.output}`);
      }
      await strangers[Symbol.asyncDispose]();
      visits = strangers.stdout.trimEnd().split("\n").length;
      problems.push(...await cluster.leftovers());
    };
    try {
      await Promise.race([play(), aborted(signal)]);
    } catch (error) {
      problems.push((error as Error).message);
    } finally {
      clearInterval(live);
    }
  }
  const protocol = await Deno.readTextFile(`${repository}/docs/protocol.md`);
  const verdict = await checkFile(historyPath, {
    protocol,
    onOutage: "refuse",
    ...brokers && { brokers },
  });
  return { seed, elapsedMs, steps, faults: tallies, visits, verdict, problems };
}

/** Rejects when `signal` says so. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(new Error("The run was interrupted"));
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort);
  });
}

/** What {@linkcode strikeAll} works with. */
interface Scene {
  readonly cluster: Cluster;
  readonly history: History;
  readonly tallies: Map<string, FaultTally>;
  readonly problems: string[];
}

/** Does a step's faults at once, and resolves when all are over. */
async function strikeAll(step: Step, scene: Scene): Promise<void> {
  await Promise.all(step.faults.map(async (planned) => {
    try {
      await strike(planned, scene);
    } catch (error) {
      scene.problems.push(
        `Step ${step.number} (${describe(step)}), ${planned.fault.kind}: ${
          (error as Error).message
        }`,
      );
    }
  }));
}

async function strike(
  { fault, node, seconds, delayMs, seed }: PlannedFault,
  { cluster, history, tallies }: Scene,
): Promise<void> {
  const { kind } = fault;
  const tally = tallies.get(kind) ?? { times: 0, flowMs: [] };
  tallies.set(kind, tally);
  const obstacle = fault.obstacle?.(cluster);
  if (obstacle !== undefined) {
    tally.obstacle = obstacle;
    return;
  }
  await pause(delayMs);
  const healed = history.fault(kind, { node });
  try {
    await fault.strike(cluster, {
      node: cluster.nodes[Math.max(0, node)]!,
      seconds,
      random: new Random(seed),
    });
    tally.times++;
  } finally {
    healed();
  }
}
