/**
 * `deno task matrix`: what happens to nodes and their clients when something
 * happens to one of three brokers.
 *
 * The exit status is 0 if every cell was as promised, 1 if not, 2 for a mistake
 * on the command line.
 */
import { parseArgs } from "node:util";
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
  --keep            keep the logs of every cell, not only of bad ones
  --list            print the names of cells and faults
  --write-docs      put what was found into docs/reliability.md, cell by cell
  --help            print this

Brokers called "tuned" are configured as docs/bridge.md recommends, the others
have Erlang's net_ticktime. Cells that differ only in the kind of queues run at
the same time, on the same brokers. All of them take more than an hour.
`;

/** What ends a run early. */
const signals = ["SIGINT", "SIGTERM"] as const;

/**
 * Does what the command line says, and gets the exit status.
 *
 * @param print Takes each line of the output.
 */
export async function main(
  args: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  let values;
  let cells: readonly Cell[];
  let deliveries: number;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        only: { type: "string" },
        deliveries: { type: "string", default: "50000" },
        bridge: { type: "string" },
        keep: { type: "boolean", default: false },
        list: { type: "boolean" },
        "write-docs": { type: "boolean" },
        help: { type: "boolean" },
      },
    }));
    cells = select(values.only?.split(",") ?? []);
    deliveries = readCount(values.deliveries);
  } catch (error) {
    print(`matrix: ${(error as Error).message}`);
    return 2;
  }
  if (values.help) {
    print(usage.trimEnd());
    return 0;
  }
  if (values.list) {
    for (const cell of cells) print(nameOf(cell));
    for (const { name, what } of faults) print(`${name}: ${what}`);
    return 0;
  }
  const { only, bridge, keep, "write-docs": doesWrite } = values;
  const command = `deno task matrix --deliveries ${deliveries}` +
    (only === undefined ? "" : ` --only "${only}"`) +
    (bridge === undefined ? "" : ` --bridge "${bridge}"`);
  const interrupted = new AbortController();
  const onInterrupt = (): void => {
    if (!interrupted.signal.aborted) print("Interrupted: ending everything");
    interrupted.abort();
  };
  for (const signal of signals) Deno.addSignalListener(signal, onInterrupt);
  let good = 0;
  let skipped = 0;
  await runScenes(scenes(cells), {
    ...{ deliveries, bridge, signal: interrupted.signal },
    onCell: async (cell, result) => {
      const at = new Date().toISOString().slice(11, 19);
      const say = (what: string): void =>
        print(`${at} ${nameOf(cell)}: ${what}`);
      if (typeof result === "string") {
        say(`skipped: ${result}`);
        skipped++;
        return;
      }
      if (result instanceof Error) return say(result.message);
      say(lineOf(result));
      for (const loss of result.verdict.losses) print(`  ${loss}`);
      const isGood = faultsOf(result).length === 0;
      if (isGood) good++;
      if (!isGood || keep) print(`  Logs: ${await keepLogs(result)}`);
      if (doesWrite) await writeDocs(result, { command });
    },
  });
  for (const signal of signals) Deno.removeSignalListener(signal, onInterrupt);
  const ran = cells.length - skipped;
  print(`${good} of ${ran} cells were as promised, ${skipped} skipped.`);
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

function readCount(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(
      `Cannot read "--deliveries": got "${text}", expected a whole number from 1 on`,
    );
  }
  return value;
}

function printLine(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args, printLine));
