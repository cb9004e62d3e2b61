/**
 * `deno task matrix`: what happens to nodes and their clients when something
 * happens to one of three brokers.
 *
 * The exit status is 0 if every cell was as promised, 1 if not, 2 for a mistake
 * on the command line.
 */
import { parseArgs } from "node:util";
import { interruption, print, readNumber } from "../chaos/terminal.ts";
import { type Cell, nameOf, scenes, select } from "./cells.ts";
import { faults } from "./faults.ts";
import { faultsOf, lineOf, writeDocs } from "./report.ts";
import { type Result, runScenes } from "./run.ts";

const usage =
  `Lets things happen to clusters of three brokers, and counts what nodes lose.

Usage: deno task matrix [options]

  --only CELLS      the cells to take: words of their names, and others after
                    commas, such as "4.0 quorum,3.10 partition" (default all)
  --deliveries N    how many messages from other nodes are checked in each cell,
                    at least (default 50000)
  --bridge LINE     a setting for the nodes' section [bridge]; one that gives a
                    promise up, "on_gap = continue", has to fail
  --list            print the names of cells and faults
  --write-docs      put what was found into docs/reliability.md, cell by cell
  --help            print this

Brokers called "tuned" are configured as docs/bridge.md recommends, the others
have Erlang's net_ticktime. Cells that differ only in the kind of queues run at
the same time, on the same brokers. All of them take more than an hour.
`;

/**
 * Does what the command line says, and gets the exit status.
 *
 * @param print Takes what is printed.
 */
export async function main(
  args: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  const say = (line: string): void => print(`${line}\n`);
  let values;
  let cells: readonly Cell[];
  let deliveries: number;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        only: { type: "string" },
        deliveries: { type: "string" },
        bridge: { type: "string" },
        list: { type: "boolean" },
        "write-docs": { type: "boolean" },
        help: { type: "boolean" },
      },
    }));
    cells = select(values.only?.split(",") ?? []);
    deliveries = readNumber("deliveries", values.deliveries, {
      ...{ fallback: 50_000, least: 1 },
    });
  } catch (error) {
    say(`matrix: ${(error as Error).message}`);
    return 2;
  }
  if (values.help) print(usage);
  else if (values.list) {
    for (const cell of cells) say(nameOf(cell));
    for (const { name, what } of faults) say(`${name}: ${what}`);
  }
  if (values.help || values.list) return 0;
  const { only, bridge, "write-docs": doesWrite } = values;
  const command = `deno task matrix --deliveries ${deliveries}` +
    (only === undefined ? "" : ` --only "${only}"`) +
    (bridge === undefined ? "" : ` --bridge "${bridge}"`);
  const signal = interruption();
  signal.addEventListener("abort", () => {
    say("Interrupted: ending everything");
  });
  let good = 0;
  let skipped = 0;
  const options = { deliveries, bridge, signal };
  for await (const [cell, result] of runScenes(scenes(cells), options)) {
    const head = `${new Date().toISOString().slice(11, 19)} ${nameOf(cell)}`;
    if (typeof result === "string") {
      say(`${head}: skipped: ${result}`);
      skipped++;
    } else if (result instanceof Error) say(`${head}: ${result.message}`);
    else {
      say(`${head}: ${lineOf(result)}`);
      for (const loss of result.verdict.losses) say(`  ${loss}`);
      if (faultsOf(result).length === 0) good++;
      else say(`  Logs: ${await keepLogs(result)}`);
      if (doesWrite) await writeDocs(result, { command });
    }
  }
  const ran = cells.length - skipped;
  say(`${good} of ${ran} cells were as promised, ${skipped} skipped.`);
  return good === ran ? 0 : 1;
}

/** Writes the logs of a cell into a folder, and gets that. */
async function keepLogs({ cell, logs }: Result): Promise<string> {
  const name = nameOf(cell).replaceAll(" ", "-");
  const folder = await Deno.makeTempDir({ prefix: `staps-matrix-${name}-` });
  for (const [who, log] of Object.entries(logs)) {
    await Deno.writeTextFile(`${folder}/${who}.log`, log);
  }
  return folder;
}

if (import.meta.main) Deno.exit(await main(Deno.args, print));
