/**
 * `deno task chaos`: three nodes, a broker and a frontend, a crowd of clients,
 * and everything that can go wrong, as a seed says.
 *
 * The exit status is 0 if every promise was kept, 1 if not, 2 for a mistake on
 * the command line.
 */
import { parseArgs } from "node:util";
import { type BrokerKind, brokerKinds, kindName } from "../helpers/broker.ts";
import { ensurePackages } from "../helpers/packages.ts";
import { randomSeed } from "../helpers/random.ts";
import { Cluster, nodeCount } from "./cluster.ts";
import type { Brokers } from "./excuses.ts";
import { faults } from "./faults.ts";
import { describe, planSteps } from "./plan.ts";
import { passed, summary, writeDocs } from "./report.ts";
import { type Progress, runChaos } from "./run.ts";

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

async function main(args: readonly string[]): Promise<number> {
  let values;
  let options: Options;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: "string" },
        minutes: { type: "string" },
        "at-once": { type: "string" },
        only: { type: "string" },
        list: { type: "boolean" },
        plan: { type: "boolean" },
        keep: { type: "boolean" },
        "write-docs": { type: "boolean" },
        help: { type: "boolean" },
        rounds: { type: "string" },
        bridge: { type: "string" },
        broker: { type: "string" },
        cluster: { type: "string" },
      },
    }));
    options = {
      seed: readNumber("seed", values.seed, randomSeed()),
      minutes: readNumber("minutes", values.minutes, 2),
      atOnce: readNumber("at-once", values["at-once"], 2),
      only: values.only?.split(","),
      rounds: values.rounds === undefined
        ? undefined
        : readNumber("rounds", values.rounds, 1),
      bridge: values.bridge,
      broker: values.broker === undefined
        ? undefined
        : readChoice("broker", values.broker, {
          choices: brokerKinds,
          nameOf: kindName,
        }),
      brokers: values.cluster === undefined
        ? undefined
        : readChoice("cluster", values.cluster, {
          choices: ["classic", "quorum"] as const,
          nameOf: (type) => type,
        }),
    };
    checkNames(options.only ?? []);
  } catch (error) {
    print(`chaos: ${(error as Error).message}\n`);
    return 2;
  }
  if (values.help) {
    print(usage);
    return 0;
  }
  if (values.list) {
    const width = Math.max(...faults.map(({ kind }) => kind.length));
    for (const { kind, what, isBeyond } of faults) {
      const when = isBeyond ? " (only if named)" : "";
      print(`${kind.padEnd(width)}  ${what}${when}\n`);
    }
    return 0;
  }
  if (values.plan) {
    printPlan(options);
    return 0;
  }

  await ensurePackages(["nginx"]);
  const folder = await Deno.makeTempDir({ prefix: "staps-chaos-" });
  const command = replayCommand(options);
  print(`seed ${options.seed}, in ${folder}\n`);
  const interrupted = new AbortController();
  const onInterrupt = (): void => interrupted.abort();
  Deno.addSignalListener("SIGINT", onInterrupt);
  Deno.addSignalListener("SIGTERM", onInterrupt);
  const progress = new ProgressLines();
  let isGood = false;
  try {
    const { seed, minutes, atOnce, only, rounds, bridge, broker, brokers } =
      options;
    await using cluster = await Cluster.start({
      folder,
      ...broker && { broker },
      ...brokers && { brokers },
    });
    const result = await runChaos({
      ...{ cluster, folder, seed, minutes, atOnce },
      ...only && { only },
      ...rounds !== undefined && { rounds },
      ...bridge !== undefined && { settings: { bridge } },
      signal: interrupted.signal,
      onProgress: (each) => progress.show(each, options.minutes),
    });
    progress.clear();
    isGood = passed(result);
    print(`\n${summary(result)}\n`);
    if (values["write-docs"] && isGood) {
      await writeDocs(result, {
        command,
        setting: settingText(broker, brokers),
      });
    }
  } catch (error) {
    progress.clear();
    print(`chaos: ${(error as Error).stack}\n`);
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    Deno.removeSignalListener("SIGTERM", onInterrupt);
  }
  if (isGood) print("Every promise was kept.\n");
  else print(`Not every promise was kept. Again: ${command}\n`);
  if (isGood && !values.keep) await Deno.remove(folder, { recursive: true });
  else print(`History and logs: ${folder}\n`);
  return isGood ? 0 : 1;
}

/** Gets the command that does the same run again. */
function replayCommand(
  { seed, minutes, rounds, atOnce, only, bridge, broker, brokers }: Options,
): string {
  return `deno task chaos --seed ${seed}` +
    (rounds === undefined ? ` --minutes ${minutes}` : ` --rounds ${rounds}`) +
    (atOnce === 2 ? "" : ` --at-once ${atOnce}`) +
    (only === undefined ? "" : ` --only ${only.join(",")}`) +
    (bridge === undefined ? "" : ` --bridge "${bridge}"`) +
    settingText(broker, brokers);
}

/** Gets the options that say which brokers there are, each after a space. */
function settingText(
  broker: BrokerKind | undefined,
  brokers: Brokers | undefined,
): string {
  return (broker === undefined ? "" : ` --broker ${kindName(broker)}`) +
    (brokers === undefined ? "" : ` --cluster ${brokers}`);
}

/** Prints what comes first: two rounds of every fault, or as many as are wanted. */
function printPlan({ seed, atOnce, only, rounds }: Options): void {
  for (const step of planSteps(seed, { atOnce, ...only && { only } })) {
    if (step.round > (rounds ?? 2)) return;
    print(`${step.number}. ${describe(step)}\n`);
  }
}

/** One line that changes on a terminal; elsewhere a line for each step. */
class ProgressLines {
  readonly #isLive = Deno.stdout.isTerminal();
  #step = "";

  show(progress: Progress, minutes: number): void {
    const { phase, elapsedMs, step, flowMs, counts } = progress;
    if (step !== undefined) {
      this.#step = `${step.number}. ${describe(step)}`;
    }
    const at = clock(elapsedMs);
    if (phase === "stepped") {
      this.clear();
      print(`${at} ${this.#step}: flows after ${seconds(flowMs!)}\n`);
    }
    if (!this.#isLive || counts === undefined) return;
    const closes = Object.entries(counts.closes)
      .map(([code, count]) => `${code}: ${count}`).join(", ");
    const line = `${at} of ${clock(minutes * 60_000)} ${this.#step} | ` +
      `${counts.open} clients, ${counts.messages} messages, ` +
      `${counts.deliveries} deliveries, closes ${closes || "none"}`;
    const { columns } = Deno.consoleSize();
    print(`\r\x1b[K${line.slice(0, columns - 1)}`);
  }

  /** Removes the line that changes. */
  clear(): void {
    if (this.#isLive) print("\r\x1b[K");
  }
}

function checkNames(names: readonly string[]): void {
  const known = faults.map(({ kind }) => kind as string);
  for (const name of names) {
    if (!known.includes(name)) {
      throw new RangeError(
        `Cannot find the fault "${name}": expected ${known.join(", ")}`,
      );
    }
  }
}

function readChoice<T>(
  name: string,
  text: string,
  { choices, nameOf }: { choices: readonly T[]; nameOf: (choice: T) => string },
): T {
  const chosen = choices.find((choice) => nameOf(choice) === text);
  if (chosen !== undefined) return chosen;
  throw new RangeError(
    `Cannot read "--${name}": got "${text}", expected ${
      choices.map(nameOf).join(", ")
    }`,
  );
}

function readNumber(
  name: string,
  text: string | undefined,
  fallback: number,
): number {
  const value = text === undefined ? fallback : Number(text);
  if (text?.trim() === "" || !(value >= 0)) {
    throw new RangeError(
      `Cannot read "--${name}": got "${text}", expected a number`,
    );
  }
  return value;
}

function clock(ms: number): string {
  const total = Math.floor(ms / 1000);
  return `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
