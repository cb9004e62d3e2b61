/**
 * `deno task chaos`: three nodes, a broker and a frontend, a crowd of clients,
 * and everything that can go wrong, as a seed says.
 *
 * The exit status is 0 if every promise was kept, 1 if not, 2 for a mistake on
 * the command line.
 */
import { parseArgs } from "node:util";
import { brokerKinds, kindName } from "../../tools/broker.ts";
import { randomSeed } from "../helpers/random.ts";
import { Cluster, type ClusterOptions, nodeCount } from "./cluster.ts";
import { faults } from "./faults.ts";
import { describe, planSteps } from "./plan.ts";
import { passed, seconds, summary, writeDocs } from "./report.ts";
import { runChaos, type RunOptions } from "./run.ts";
import { interruption, print, readChoice, readNumber } from "./terminal.ts";

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
interface Wanted {
  readonly options:
    & Omit<RunOptions, "cluster" | "folder">
    & Omit<ClusterOptions, "folder">;
  /** What is done instead of a run, or with its result. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  /** The command that does the same run again. */
  readonly command: string;
  /** Its options that say which brokers there are, each after a space. */
  readonly setting: string;
}

/** @throws {Error} If there is something that can't be. */
function readArgs(args: string[]): Wanted {
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
  const { bridge, rounds } = values;
  const kinds = faults.map(({ kind }) => kind);
  const only = values.only?.split(",")
    .map((kind) => readChoice("only", kind, kinds)!);
  const broker = readChoice("broker", values.broker, brokerKinds.map(kindName));
  const cluster = readChoice("cluster", values.cluster, ["classic", "quorum"]);
  const seed = readNumber("seed", values.seed, { fallback: randomSeed() });
  const setting = (broker === undefined ? "" : ` --broker ${broker}`) +
    (cluster === undefined ? "" : ` --cluster ${cluster}`);
  const again = args
    .filter((arg) => !["--keep", "--plan", "--write-docs"].includes(arg))
    .map((arg) => arg.includes(" ") ? `"${arg}"` : arg);
  if (values.seed === undefined) again.push("--seed", `${seed}`);
  return {
    options: {
      ...{ seed, only, brokers: cluster },
      minutes: readNumber("minutes", values.minutes, { fallback: 2 }),
      atOnce: readNumber("at-once", values["at-once"], { fallback: 2 }),
      rounds: rounds === undefined
        ? undefined
        : readNumber("rounds", rounds, { fallback: 1 }),
      broker: brokerKinds.find((kind) => kindName(kind) === broker),
      ...bridge !== undefined && { settings: { bridge } },
    },
    flags: values,
    command: ["deno task chaos", ...again].join(" "),
    setting,
  };
}

async function main(args: string[]): Promise<number> {
  let wanted: Wanted;
  try {
    wanted = readArgs(args);
  } catch (error) {
    print(`chaos: ${(error as Error).message}\n`);
    return 2;
  }
  const { flags, options } = wanted;
  if (flags.help) print(usage);
  else if (flags.list) printFaults();
  else if (flags.plan) printPlan(options);
  else return await run(wanted);
  return 0;
}

async function run(
  { options, flags, command, setting }: Wanted,
): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "staps-chaos-" });
  print(`seed ${options.seed}, in ${folder}\n`);
  const signal = interruption();
  let isGood = false;
  try {
    await using cluster = await Cluster.start({ folder, ...options });
    const result = await runChaos({
      ...{ ...options, cluster, folder, signal },
      onStep: (step, elapsedMs, flowMs) => {
        const what = `${step.number}. ${describe(step)}`;
        print(`${clock(elapsedMs)} ${what}: flows after ${seconds(flowMs)}\n`);
      },
    });
    isGood = passed(result);
    print(`\n${summary(result)}\n`);
    if (flags["write-docs"] && isGood) {
      await writeDocs(result, { command, setting });
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

function printFaults(): void {
  const width = Math.max(...faults.map(({ kind }) => kind.length));
  for (const { kind, what, isBeyond } of faults) {
    const when = isBeyond ? " (only if named)" : "";
    print(`${kind.padEnd(width)}  ${what}${when}\n`);
  }
}

/** Prints what comes first: two rounds of every fault, or as many as are wanted. */
function printPlan({ seed, rounds = 2, ...options }: Wanted["options"]): void {
  for (const step of planSteps(seed, options)) {
    if (step.round > rounds) return;
    print(`${step.number}. ${describe(step)}\n`);
  }
}

function clock(ms: number): string {
  const total = Math.floor(ms / 1000);
  return `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
