/** Puts the counts of a run where people read them. */
import { machine } from "../../bench/machine.ts";
import { writeBetween } from "../../bench/page.ts";
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
    ...rowsOf(written).filter((row) => !names.includes(targetOf(row))),
    ...await Promise.all(reports.map((report) => newRows(report, { seed }))),
  ].flat();
  await writeBetween(page, { begin, end, body: tables(rows) });
}

/** A row of the table of targets, or of that of counts. */
type Row = string;

function rowsOf(text: string): Row[] {
  return text.split("\n").filter((line) => line.startsWith("| `"));
}

function targetOf(row: Row): string {
  return /`(.+?)`/.exec(row)![1]!;
}

async function newRows(
  { target, inputs, seconds, counts }: Report,
  { seed }: { seed: number },
): Promise<Row[]> {
  const date = new Date().toISOString().slice(0, 10);
  const minutes = Math.max(1, Math.round(seconds / 60));
  const run = `seed ${seed}, ${date}, ${minutes} min, ${await machine()}`;
  return [
    `| \`${target.name}\` | ${target.about} | ${group(inputs)} | ${run} |`,
    ...Object.entries(counts)
      .toSorted(([, a], [, b]) => b - a)
      .map(([name, count]) =>
        `| \`${target.name}\` | ${name} | ${group(count)} |`
      ),
  ];
}

function tables(rows: readonly Row[]): string {
  const inOrder = targets.flatMap(({ name }) =>
    rows.filter((row) => targetOf(row) === name)
  );
  const isCount = (row: Row): boolean => row.split("|").length === 5;
  return [
    "None of these inputs did harm:",
    "",
    "| target | what is tried | inputs | run |",
    "| --- | --- | ---: | --- |",
    ...inOrder.filter((row) => !isCount(row)),
    "",
    "What was seen meanwhile:",
    "",
    "| target | what | times |",
    "| --- | --- | ---: |",
    ...inOrder.filter(isCount),
    "",
  ].join("\n");
}

function group(count: number): string {
  return count.toLocaleString("en-US");
}
