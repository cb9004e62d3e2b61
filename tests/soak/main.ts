/**
 * `deno task soak`: clients come and go for an hour, and the servers have to be
 * afterwards as they were before.
 *
 * The exit status is 0 if everything was flat, 1 if something wasn't, and 130
 * after an interruption.
 */
import { parseArgs } from "node:util";
import { randomSeed } from "../helpers/random.ts";
import { interruption, print, readNumber } from "../chaos/terminal.ts";
import { isFlat, markdownOf, writeDocs } from "./report.ts";
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

/** The least number of minutes, and of joins a second. */
const least = 0.01;

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: "string" },
      seed: { type: "string" },
      joins: { type: "string" },
      "write-docs": { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  const minutes = readNumber("minutes", values.minutes, {
    ...{ fallback: 60, least },
  });
  const joinsPerSecond = readNumber("joins", values.joins, {
    ...{ fallback: 100, least },
  });
  const seed = readNumber("seed", values.seed, { fallback: randomSeed() });
  const signal = interruption();
  signal.addEventListener("abort", () => {
    print("Interrupted, the clients leave\n");
  });
  print(`Seed ${seed}, ${minutes} minutes\n`);
  const result = await soak({
    ...{ minutes, seed, joinsPerSecond, signal },
    onQuiet: (line) => print(`${line}\n`),
  });
  print(`\n${await markdownOf(result)}`);
  if (!signal.aborted && values["write-docs"]) await writeDocs(result);
  if (isFlat(result)) return signal.aborted ? 130 : 0;
  print(
    `\nNot flat. Again: deno task soak --minutes ${minutes} --seed ${seed} --joins ${joinsPerSecond}\n`,
  );
  return 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
