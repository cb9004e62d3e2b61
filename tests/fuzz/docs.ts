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
  const names = reports.map(({ target }) => target.name);
  const rows = [
    ...rowsOf(written).filter(([name]) => !names.includes(plain(name!))),
    ...await newRows(reports, { seed }),
  ];
  await writeBetween(page, { begin, end, body: tables(rows) });
}

/** The cells of a row in the table of targets, or in that of counts, which has three. */
type Row = readonly string[];

function rowsOf(text: string): Row[] {
  return text.split("\n").filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

function plain(name: string): string {
  return name.replaceAll("`", "");
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
      [name, target.about, group(inputs), run],
      ...seen.map(([what, times]) => [name, what, group(times)]),
    ];
  });
}

function tables(rows: readonly Row[]): string {
  const inOrder = targets.flatMap((target) =>
    rows.filter(([name]) => plain(name!) === target.name)
  );
  const isCount = (row: Row): boolean => row.length === 3;
  return [
    "None of these inputs did harm:\n",
    markdown({
      columns: ["target", "what is tried", "inputs", "run"],
      rows: inOrder.filter((row) => !isCount(row)),
    }),
    "What was seen meanwhile:\n",
    markdown({
      columns: ["target", "what", "times"],
      rows: inOrder.filter(isCount),
    }),
  ].join("\n");
}

function group(count: number): string {
  return count.toLocaleString("en-US");
}
