/**
 * `deno task chaos`: three nodes, a broker and a frontend, a crowd of clients,
 * and everything that can go wrong, as a seed says.
 *
 * The exit status is 0 if every promise was kept, 1 if not, 2 for a mistake on
 * the command line.
 */
import { parseArgs } from "node:util";
import { type BrokerKind, brokerKinds, kindName } from "../../tools/broker.ts";
import { randomSeed } from "../helpers/random.ts";
import { Cluster, nodeCount } from "./cluster.ts";
import type { Brokers } from "./excuses.ts";
import { faults } from "./faults.ts";
import { describe, planSteps } from "./plan.ts";
import { passed, summary, writeDocs } from "./report.ts";
import { runChaos } from "./run.ts";
import { Interruption, print, readNumber } from "./terminal.ts";

const usage =
  `Lets faults happen to three nodes, and checks what staps promises.

Usage: deno task chaos [options]

  --seed N        everything random follows from it (default: a new one)
  --minutes M     how long faults happen (default 2)
  --rounds N      instead: so many rounds of every fault
  --at-once N     how many faults happen at once, 1 to ${nodeCount} (default 2)
  --only FAULTS   the faults to take, separated by commas (default all)
  --bridge LINE   a setting for the nodes' section [bridge]; one that gives a
                  promise up, "on_gap = continue", has to fail
  --broker KIND   the RabbitMQ: ${brokerKinds.map(kindName).join(", ")}
                  (default: what STAPS_BROKER says, or the first)
  --cluster TYPE  three of them, and the nodes' queues: classic or quorum
  --list          print the faults
  --plan          print what the seed's first rounds are, and do nothing
  --keep          keep the folder with the history and logs in any case
  --write-docs    put the result into docs/reliability.md
  --help          print this
`;

/** What the command line says. */
interface Options {
  readonly seed: number;
  readonly minutes: number;
  readonly atOnce: number;
  readonly only: readonly string[] | undefined;
  readonly rounds: number | undefined;
  readonly bridge: string | undefined;
  readonly broker: BrokerKind | undefined;
  readonly brokers: Brokers | undefined;
}

/** What is done instead of a run, or with its result. */
interface Flags {
  readonly list?: boolean;
  readonly plan?: boolean;
  readonly keep?: boolean;
  readonly help?: boolean;
  readonly "write-docs"?: boolean;
}

async function main(args: string[]): Promise<number> {
  let options: Options;
  let flags: Flags;
  try {
    [options, flags] = readArgs(args);
  } catch (error) {
    print(`chaos: ${(error as Error).message}\n`);
    return 2;
  }
  if (flags.help) print(usage);
  else if (flags.list) printFaults();
  else if (flags.plan) printPlan(options);
  else return await run(options, flags);
  return 0;
}

/** @throws {Error} If there is something that can't be. */
function readArgs(args: string[]): [Options, Flags] {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: "string" },
      minutes: { type: "string" },
      "at-once": { type: "string" },
      only: { type: "string" },
      rounds: { type: "string" },
      bridge: { type: "string" },
      broker: { type: "string" },
      cluster: { type: "string" },
      list: { type: "boolean" },
      plan: { type: "boolean" },
      keep: { type: "boolean" },
      "write-docs": { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const number = (
    name: "seed" | "minutes" | "at-once",
    fallback: number,
  ): number => readNumber(name, values[name], { fallback });
  const broker = choose("broker", values.broker, brokerKinds.map(kindName));
  const only = values.only?.split(",");
  const known = faults.map(({ kind }) => kind as string);
  const unknown = only?.find((kind) => !known.includes(kind));
  if (unknown !== undefined) {
    throw new RangeError(
      `Cannot find the fault "${unknown}": expected ${known.join(", ")}`,
    );
  }
  return [{
    seed: number("seed", randomSeed()),
    minutes: number("minutes", 2),
    atOnce: number("at-once", 2),
    only,
    rounds: values.rounds === undefined
      ? undefined
      : readNumber("rounds", values.rounds, { fallback: 1 }),
    bridge: values.bridge,
    broker: brokerKinds.find((kind) => kindName(kind) === broker),
    brokers: choose("cluster", values.cluster, ["classic", "quorum"]),
  }, values];
}

/** Gets `text`, if it is one of `choices`. */
function choose<T extends string>(
  option: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (text === undefined) return undefined;
  const chosen = choices.find((choice) => choice === text);
  if (chosen !== undefined) return chosen;
  throw new RangeError(
    `Cannot read "--${option}": got "${text}", expected ${choices.join(", ")}`,
  );
}

async function run(options: Options, flags: Flags): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "staps-chaos-" });
  const command = replayCommand(options);
  print(`seed ${options.seed}, in ${folder}\n`);
  using interruption = new Interruption();
  const { bridge, ...rest } = options;
  let isGood = false;
  try {
    await using cluster = await Cluster.start({ folder, ...options });
    const result = await runChaos({
      ...{ ...rest, cluster, folder, signal: interruption.signal },
      ...bridge !== undefined && { settings: { bridge } },
      onStep: ({ step, elapsedMs, flowMs }) => {
        const what = `${step.number}. ${describe(step)}`;
        print(`${clock(elapsedMs)} ${what}: flows after ${seconds(flowMs)}\n`);
      },
    });
    isGood = passed(result);
    print(`\n${summary(result)}\n`);
    if (flags["write-docs"] && isGood) {
      await writeDocs(result, { command, setting: settingText(options) });
    }
  } catch (error) {
    print(`chaos: ${(error as Error).stack}\n`);
  }
  if (isGood) print("Every promise was kept.\n");
  else print(`Not every promise was kept. Again: ${command}\n`);
  if (isGood && !flags.keep) await Deno.remove(folder, { recursive: true });
  else print(`History and logs: ${folder}\n`);
  return isGood ? 0 : 1;
}

/** Gets the command that does the same run again. */
function replayCommand(options: Options): string {
  const { seed, minutes, rounds, atOnce, only, bridge } = options;
  return `deno task chaos --seed ${seed}` +
    (rounds === undefined ? ` --minutes ${minutes}` : ` --rounds ${rounds}`) +
    (atOnce === 2 ? "" : ` --at-once ${atOnce}`) +
    (only === undefined ? "" : ` --only ${only.join(",")}`) +
    (bridge === undefined ? "" : ` --bridge "${bridge}"`) +
    settingText(options);
}

/** Gets the options that say which brokers there are, each after a space. */
function settingText({ broker, brokers }: Options): string {
  return (broker === undefined ? "" : ` --broker ${kindName(broker)}`) +
    (brokers === undefined ? "" : ` --cluster ${brokers}`);
}

function printFaults(): void {
  const width = Math.max(...faults.map(({ kind }) => kind.length));
  for (const { kind, what, isBeyond } of faults) {
    const when = isBeyond ? " (only if named)" : "";
    print(`${kind.padEnd(width)}  ${what}${when}\n`);
  }
}

/** Prints what comes first: two rounds of every fault, or as many as are wanted. */
function printPlan(options: Options): void {
  for (const step of planSteps(options.seed, options)) {
    if (step.round > (options.rounds ?? 2)) return;
    print(`${step.number}. ${describe(step)}\n`);
  }
}

function clock(ms: number): string {
  const total = Math.floor(ms / 1000);
  return `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
