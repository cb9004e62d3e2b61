/**
 * `deno task fuzz`: damaged and invented input for everything that reads what
 * strangers write. See docs/reliability.md.
 */
import { parseArgs } from "node:util";
import { randomSeed } from "../helpers/random.ts";
import { writeDocs } from "./docs.ts";
import { type Report, runTarget } from "./run.ts";
import type { AnyTarget } from "./target.ts";
import { targets } from "./targets.ts";

const names = targets.map(({ name }) => name).join(", ");

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

Targets: ${names}
`;

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean" },
      seed: { type: "string" },
      minutes: { type: "string", default: "5" },
      inputs: { type: "string" },
      only: { type: "string", multiple: true },
      case: { type: "string" },
      "write-docs": { type: "boolean" },
    },
  });
  if (values.help) {
    printLine(usage);
    return 0;
  }
  const seed = wholeNumber("seed", values.seed) ?? randomSeed();
  const first = wholeNumber("case", values.case);
  const most = wholeNumber("inputs", values.inputs) ?? Infinity;
  const count = first === undefined ? most : 1;
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new RangeError("--minutes: expected a number");
  const chosen = values.only?.map(targetNamed) ?? targets;
  printLine(`seed ${seed}`);

  const reports: Report[] = [];
  const endMs = performance.now() + minutes * 60_000;
  for (const [i, target] of chosen.entries()) {
    const nowMs = performance.now();
    // An equal part of the time that is left, and a batch if there is none.
    const partMs = Math.max(1, (endMs - nowMs) / (chosen.length - i));
    const report = await runTarget(target, {
      ...{ seed, count, first: first ?? 0, endMs: nowMs + partMs },
    });
    reports.push(report);
    printLine(summary(report));
  }
  const harmful = reports.filter(({ finding }) => finding).length;
  const inputs = reports.reduce((sum, { inputs }) => sum + inputs, 0);
  printLine(`${inputs} inputs tried, ${harmful} targets with a finding`);
  if (values["write-docs"] && harmful === 0) await writeDocs(reports, { seed });
  return harmful === 0 ? 0 : 1;
}

function targetNamed(name: string): AnyTarget {
  const target = targets.find((target) => target.name === name);
  if (target !== undefined) return target;
  throw new RangeError(`There is no target "${name}", only ${names}`);
}

function wholeNumber(
  option: string,
  text: string | undefined,
): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new RangeError(`--${option}: expected a whole number, got "${text}"`);
}

function summary({ target, inputs, seconds, counts, finding }: Report): string {
  const parts = [
    `${target.name.padEnd(10)} ${inputs} inputs in ${seconds.toFixed(1)} s`,
    ...Object.entries(counts).map(([name, times]) => `${times} ${name}`),
  ];
  const text = parts.join(", ");
  return finding ? `${text}, and one did harm\n${finding}` : text;
}

function printLine(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
