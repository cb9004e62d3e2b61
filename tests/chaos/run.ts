/** One run: a crowd on a cluster, one fault after the other, and the verdict. */
import { closes } from "../../src/relay/close.ts";
import { aborted, eventually, pause } from "../../tools/eventually.ts";
import { Random } from "../helpers/random.ts";
import { checkFile, type Verdict } from "./checker.ts";
import type { Cluster } from "./cluster.ts";
import { Crowd, type CrowdKind, foreverMs } from "./crowd.ts";
import { protocol } from "./documented.ts";
import { History } from "./history.ts";
import { leftovers } from "./leftovers.ts";
import type { NodeSettings } from "./node.ts";
import {
  describe,
  type PlannedFault,
  type PlanOptions,
  planSteps,
  type Step,
} from "./plan.ts";
import { startStrangers } from "./strangers.ts";

/** Settings of {@linkcode runChaos}. */
export interface RunOptions extends PlanOptions {
  readonly seed: number;
  /** Where it happens; its nodes are started and ended. */
  readonly cluster: Cluster;
  /** The folder for the history. */
  readonly folder: string;
  /** How long faults happen, unless `rounds` says so; the start and the end come on top. */
  readonly minutes?: number | undefined;
  /** Ends after so many rounds of every fault. */
  readonly rounds?: number | undefined;
  /** Breaks or changes the nodes. */
  readonly settings?: NodeSettings;
  /**
   * Lets one fault happen at a time, among clients who all stay for as long as
   * they can, so that it is known who is closed: nobody, or, where nodes can't
   * keep what an outage holds up, somebody in each fault, with 4001 only.
   * Beside them are some who speak for the first time during the fault.
   * Nothing is excused any more once messages flow again.
   */
  readonly exact?: "nobody-closed" | "somebody-told";
  /** Ends the run early, and makes it fail. */
  readonly signal?: AbortSignal;
  /** Told of each step when it is over, how long the run goes on by now, and how long it took until messages flowed again. */
  readonly onStep?: (step: Step, elapsedMs: number, flowMs: number) => void;
}

/** How often a fault happened, and what followed. */
interface FaultTally {
  times: number;
  /** How long it took after each end until everybody heard everybody, in milliseconds. */
  readonly flowMs: number[];
  /** Why it couldn't be done here. */
  obstacle?: string;
}

/** What came of a run. */
export interface RunResult {
  /** How long faults happened. */
  elapsedMs: number;
  steps: number;
  /** By kind. */
  readonly faults: Map<string, FaultTally>;
  /** How often a stranger came and went. */
  visits: number;
  /** What went wrong beside broken promises: a fault's own checks, and what was left behind. */
  readonly problems: string[];
  readonly verdict: Verdict;
}

/** What is known of a run while it goes on. */
type RunTally = Omit<RunResult, "verdict">;

/** The seed decides everything; parts of the run get generators of their own. */
const salts = {
  crowd: 0x63726f77,
  speakers: 0x7370656b,
  strangers: 0x73747267,
};

/** Clients who come and go. */
const visitors: CrowdKind = { rushChance: 0.1 };

/** Clients who stay. */
const residents: CrowdKind = {
  channels: 24,
  clientsPerChannel: 3,
  keepsDoors: true,
  messagesPerSecond: 1000,
  maxMessageBytes: 16 * 1024,
  channelLifeMs: [foreverMs, foreverMs],
  clientLifeMs: [foreverMs, foreverMs],
};

/** Clients who are silent until somebody in each channel speaks, once. */
const speakers: CrowdKind = {
  ...residents,
  channels: 12,
  messagesPerSecond: 0,
};

/** How long it takes until the next one speaks, in milliseconds: while a fault goes on, and when it is over. */
const speakMs = { during: 700, after: 20 } as const;

/** Does a run, and gets what came of it. */
export async function runChaos(options: RunOptions): Promise<RunResult> {
  const { seed, cluster, exact, settings, folder, signal } = options;
  const result: RunTally = {
    ...{ elapsedMs: 0, steps: 0, visits: 0, faults: new Map(), problems: [] },
  };
  const path = `${folder}/history.jsonl`;
  {
    using history = History.begin({ path, seed });
    await using stack = new AsyncDisposableStack();
    const playing = play({ ...options, history, result }, stack);
    // What it does after an interruption fails, as everything is being ended.
    playing.catch(() => {});
    try {
      await Promise.race([playing, aborted(signal)]);
    } catch (error) {
      result.problems.push((error as Error).message);
    }
  }
  const verdict = await checkFile(path, {
    protocol,
    onOutage: settings?.onOutage ?? "refuse",
    brokers: cluster.kind,
    ...exact && { graceMs: 0, hasGaps: exact === "somebody-told" },
  });
  if (exact === "nobody-closed") {
    for (const code of Object.keys({ ...verdict.closes, ...verdict.refused })) {
      // Theirs, in the end.
      if (code === "1000" || code === "1005") continue;
      const problem = `Expected nobody to be closed or refused, got ${code}`;
      result.problems.push(problem);
    }
  }
  return { ...result, verdict };
}

/** What the parts of a run share. */
interface Scene extends RunOptions {
  readonly history: History;
  readonly result: RunTally;
}

/** Everything that has to end with the run goes on `stack`. */
async function play(
  scene: Scene,
  stack: AsyncDisposableStack,
): Promise<void> {
  const { seed, cluster, exact, rounds, minutes = Infinity, result } = scene;
  await cluster.startNodes(scene.settings);
  const crowd = stack.use(
    await Crowd.start({
      ...exact ? residents : visitors,
      history: scene.history,
      random: new Random(seed ^ salts.crowd),
      doors: exact ? cluster.nodeDoors : cluster.frontendDoors,
    }),
  );
  const { port } = cluster.frontend;
  const strangers = exact
    ? undefined
    : stack.use(startStrangers(seed ^ salts.strangers, port));
  const startMs = performance.now();
  await crowd.flows();
  for (const node of cluster.nodes) await node.rememberWarm();
  for (
    const step of planSteps(seed, exact ? { ...scene, atOnce: 1 } : scene)
  ) {
    const isOver = rounds === undefined
      ? performance.now() > startMs + minutes * 60_000
      : step.round > rounds;
    if (isOver) break;
    result.steps = step.number;
    // Those who join to speak are calm enough.
    if (!exact) await pause(step.calmMs);
    const flowMs = await takeStep(step, { ...scene, crowd });
    const elapsedMs = result.elapsedMs = performance.now() - startMs;
    scene.onStep?.(step, elapsedMs, flowMs);
    for (const node of cluster.nodes) await node.rememberWarm();
    // What it would show from here on follows from that.
    if (result.problems.length > 0) break;
  }
  await crowd.finish();
  if (strangers !== undefined) {
    if (strangers.ended) {
      result.problems.push(`The strangers ended:\n${strangers.output}`);
    }
    await strangers[Symbol.asyncDispose]();
    result.visits = strangers.stdout.trimEnd().split("\n").length;
  }
  result.problems.push(...await leftovers(cluster));
}

/** What a step works with. */
type Stage = Scene & { readonly crowd: Crowd };

/** Does a step's faults at once. Gets how long it took after their end until messages flowed again. */
async function takeStep(step: Step, stage: Stage): Promise<number> {
  const { seed, cluster, exact, crowd, history, result } = stage;
  await using stack = new AsyncDisposableStack();
  const silent = exact && stack.use(
    await Crowd.start({
      ...speakers,
      history,
      random: new Random(seed ^ salts.speakers ^ step.number),
      doors: cluster.nodeDoors,
    }),
  );
  let isOver = false;
  const striking = Promise.all(step.faults.map(async (planned) => {
    try {
      return await strike(planned, stage);
    } catch (error) {
      const what = `${describe(step)}), ${planned.fault.kind}`;
      const { message } = error as Error;
      result.problems.push(`Step ${step.number} (${what}: ${message}`);
    }
  })).finally(() => isOver = true);
  await silent?.speak(async () => {
    if (isOver) await pause(speakMs.after);
    else await Promise.race([striking, pause(speakMs.during)]);
  });
  const heals = await striking;
  const overMs = performance.now();
  await cluster.ready();
  await crowd.flows();
  const flowMs = performance.now() - overMs;
  for (const { fault } of step.faults) {
    result.faults.get(fault.kind)?.flowMs.push(flowMs);
  }
  for (const heal of heals) heal?.();
  await silent?.finish();
  return flowMs;
}

/** Does a fault. If it is to be known exactly what it excuses, gets how to tell that it is over. */
async function strike(
  { fault, node, seconds, delayMs, seed }: PlannedFault,
  { cluster, exact, crowd, history, result }: Stage,
): Promise<(() => void) | undefined> {
  const { kind } = fault;
  const tally = result.faults.get(kind) ?? { times: 0, flowMs: [] };
  result.faults.set(kind, tally);
  const obstacle = fault.obstacle?.(cluster);
  if (obstacle !== undefined) {
    tally.obstacle = obstacle;
    return;
  }
  await pause(delayMs);
  const told = (): number => crowd.counts.closes[closes.gap.code] ?? 0;
  const before = told();
  const heal = history.fault(kind, node);
  try {
    await fault.strike(cluster, {
      node: cluster.nodes[Math.max(0, node)]!,
      lasts: async () => {
        await pause(seconds * 1000);
        if (exact !== "somebody-told") return;
        await eventually(() => told() > before, "somebody to be told of a gap");
      },
      paths: crowd.paths,
      random: new Random(seed),
    });
    tally.times++;
  } finally {
    if (!exact) heal();
  }
  return exact && heal;
}
