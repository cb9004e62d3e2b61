/** Puts the counts of a run where people read them. */
import { machine } from "../../tools/machine.ts";
import { writeBetween } from "../../tools/page.ts";
import { markdown } from "../../tools/table.ts";
import type { Report } from "./run.ts";
import { targets } from "./targets.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);
const begin =
  "<!-- Written by `deno task fuzz --write-docs`, never by hand. -->";
const end = "<!-- End of what is written by the fuzzer. -->";

/**
 * Replaces what stands about these targets between the marks in
 * docs/reliability.md; what stands about others stays.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(
  reports: readonly Report[],
  { seed }: { seed: number },
): Promise<void> {
  const text = await Deno.readTextFile(page);
  const written = text.slice(text.indexOf(begin), text.indexOf(end));
  const fresh = await newRows(reports, { seed });
  const names = new Set(fresh.map(([name]) => name));
  const kept = rowsOf(written).filter(([name]) => !names.has(name!));
  const body = tables([...kept, ...fresh]);
  await writeBetween(page, { begin, end, body });
}

/** The cells of a row in the table of targets, or in that of counts, which has three. */
type Row = readonly string[];

function rowsOf(text: string): Row[] {
  return text.split("\n").filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

async function newRows(
  reports: readonly Report[],
  { seed }: { seed: number },
): Promise<Row[]> {
  const date = new Date().toISOString().slice(0, 10);
  const where = await machine();
  return reports.flatMap(({ target, inputs, seconds, counts }) => {
    const name = `\`${target.name}\``;
    const minutes = Math.max(1, Math.round(seconds / 60));
    const run = `seed ${seed}, ${date}, ${minutes} min, ${where}`;
    const seen = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
    return [
      [name, target.about, inputs.toLocaleString("en-US"), run],
      ...seen.map((
        [what, times],
      ) => [name, what, times.toLocaleString("en-US")]),
    ];
  });
}

function tables(rows: readonly Row[]): string {
  const inOrder = targets.flatMap((target) =>
    rows.filter(([name]) => name === `\`${target.name}\``)
  );
  return [
    "None of these inputs did harm:\n",
    markdown({
      columns: ["target", "what is tried", "inputs", "run"],
      rows: inOrder.filter(({ length }) => length === 4),
    }),
    "What was seen meanwhile:\n",
    markdown({
      columns: ["target", "what", "times"],
      rows: inOrder.filter(({ length }) => length === 3),
    }),
  ].join("\n");
}
