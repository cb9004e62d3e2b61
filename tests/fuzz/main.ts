/**
 * The fuzzer: damaged and invented input for everything that reads what
 * strangers write.
 *
 *     deno task fuzz [--seed N] [--minutes M] [--inputs N] [--only TARGET]... [--case N] [--write-docs]
 *
 * See docs/reliability.md.
 */
import { parseArgs } from "node:util";
import { randomSeed } from "../helpers/random.ts";
import { writeDocs } from "./docs.ts";
import { findingText, type Report, runTarget } from "./run.ts";
import type { AnyTarget } from "./target.ts";
import { targets } from "./targets.ts";

const usage = `deno task fuzz [OPTIONS]

Tries damaged and invented input on everything that reads what strangers write.
Ends with 1 if an input did harm, and tells how to try that one again.

  --seed N        make the inputs of this seed; a new one unless given
  --minutes M     the time for all targets together, 5 unless given
  --inputs N      try no more of each target
  --only TARGET   leave the others out; may be given several times
  --case N        try one input of the seed
  --write-docs    put the counts of these targets into docs/reliability.md
  --help          show this

Targets: ${targets.map(({ name }) => name).join(", ")}
`;

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean", default: false },
      seed: { type: "string" },
      minutes: { type: "string", default: "5" },
      inputs: { type: "string" },
      only: { type: "string", multiple: true },
      case: { type: "string" },
      "write-docs": { type: "boolean", default: false },
    },
  });
  if (values.help) {
    write(usage);
    return 0;
  }
  const seed = values.seed === undefined
    ? randomSeed()
    : wholeNumber("--seed", values.seed);
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new RangeError("--minutes: expected a number");
  const most = values.inputs === undefined
    ? Infinity
    : wholeNumber("--inputs", values.inputs);
  const chosen = choose(values.only);
  print(`seed ${seed}`);

  const reports: Report[] = [];
  for (const [i, target] of chosen.entries()) {
    const report = values.case === undefined
      ? await runFor(target, {
        seed,
        count: most,
        ms: (minutes * 60_000 - spentMs(reports)) * target.share /
          chosen.slice(i).reduce((sum, { share }) => sum + share, 0),
      })
      : await runTarget(target, {
        seed,
        first: wholeNumber("--case", values.case),
        count: 1,
      });
    reports.push(report);
    print(summary(report));
    if (report.finding) print(findingText(report.finding));
  }
  const findings = reports.filter(({ finding }) => finding).length;
  const inputs = reports.reduce((sum, { inputs }) => sum + inputs, 0);
  print(`${inputs} inputs tried, ${findings} targets with a finding`);
  if (values["write-docs"] && findings === 0) {
    await writeDocs(reports, { seed });
  }
  return findings === 0 ? 0 : 1;
}

function choose(names: readonly string[] | undefined): readonly AnyTarget[] {
  if (names === undefined) return targets;
  return names.map((name) => {
    const target = targets.find((target) => target.name === name);
    if (target === undefined) {
      throw new RangeError(
        `There is no target "${name}", only ${
          targets.map(({ name }) => name).join(", ")
        }`,
      );
    }
    return target;
  });
}

async function runFor(
  target: AnyTarget,
  { seed, count, ms }: { seed: number; count: number; ms: number },
): Promise<Report> {
  let shownMs = performance.now();
  return await runTarget(target, {
    seed,
    count,
    endMs: performance.now() + ms,
    failed: (error) => print(`${target.name}: looking for the input: ${error}`),
    progress: (inputs) => {
      const nowMs = performance.now();
      if (!Deno.stdout.isTerminal() || nowMs - shownMs < 500) return;
      shownMs = nowMs;
      write(`\r${target.name}: ${inputs}`);
    },
  });
}

function spentMs(reports: readonly Report[]): number {
  return reports.reduce((sum, { seconds }) => sum + seconds * 1000, 0);
}

function summary({ target, inputs, seconds, counts, finding }: Report): string {
  const more = Object.entries(counts).map(([name, count]) =>
    `, ${count} ${name}`
  ).join("");
  return `${Deno.stdout.isTerminal() ? "\r" : ""}${
    target.name.padEnd(10)
  } ${inputs} inputs in ${seconds.toFixed(1)} s${more}${
    finding ? ", and one did harm" : ""
  }`;
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new RangeError(`${option}: expected a whole number, got "${text}"`);
  }
  return Number(text);
}

function print(line: string): void {
  write(`${line}\n`);
}

function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
