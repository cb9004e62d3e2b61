/**
 * `deno task soak`: clients come and go for an hour, and the servers have to be
 * afterwards as they were before.
 *
 * The exit status is 0 if everything was flat, 1 if something wasn't, and 130
 * after an interruption.
 */
import { parseArgs } from "node:util";
import { randomSeed } from "../helpers/random.ts";
import { writeDocs } from "./docs.ts";
import { isFlat, markdown, quietLine } from "./report.ts";
import { soak } from "./run.ts";

const usage =
  `Runs two nodes for an hour under clients that come and go, and says whether
memory, descriptors and the event loop's lag stay flat.

Usage: deno task soak [options]

  --minutes M     how long, default 60; memory is judged from 45 minutes on
  --seed N        repeats the random choices of another run
  --joins N       clients that join each second, default 100
  --write-docs    put the results into docs/reliability.md
`;

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: "string", default: "60" },
      seed: { type: "string" },
      joins: { type: "string", default: "100" },
      "write-docs": { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  const [minutes, joinsPerSecond] = [
    readNumber("--minutes", values.minutes),
    readNumber("--joins", values.joins),
  ];
  const seed = values.seed === undefined
    ? randomSeed()
    : readNumber("--seed", values.seed);

  const interrupted = new AbortController();
  const interrupt = (): void => {
    print("Interrupted, the clients leave\n");
    interrupted.abort();
  };
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", interrupt);
  try {
    print(`Seed ${seed}, ${minutes} minutes\n`);
    const result = await soak({
      minutes,
      seed,
      joinsPerSecond,
      signal: interrupted.signal,
      onQuiet: (moment) => print(`${quietLine(moment)}\n`),
    });
    print(`\n${await markdown(result)}`);
    const isComplete = !interrupted.signal.aborted;
    if (isComplete && values["write-docs"]) await writeDocs(result);
    if (!isFlat(result)) {
      print(
        `\nNot flat. Again: deno task soak --minutes ${minutes} --seed ${seed} --joins ${joinsPerSecond}\n`,
      );
      return 1;
    }
    return isComplete ? 0 : 130;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", interrupt);
  }
}

/** @throws {RangeError} If `text` isn't a number above 0. */
function readNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new RangeError(
    `Cannot read "${option}": got "${text}", expected a number above 0`,
  );
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
