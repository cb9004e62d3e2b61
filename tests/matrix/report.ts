/** What came of the cells, for a terminal and for docs/reliability.md. */
import { machine } from "../../tools/machine.ts";
import { writeBetween } from "../../tools/page.ts";
import { brokersOf, type Cell, cells } from "./cells.ts";
import { faults } from "./faults.ts";
import type { Result } from "./run.ts";

/** Where the table is. */
export const page = new URL("../../docs/reliability.md", import.meta.url);
const begin =
  "<!-- Written by `deno task matrix --write-docs`, never by hand. -->";
const end = "<!-- End of what is written by the matrix. -->";

/** How clients are told that messages may have been lost (docs/protocol.md). */
const toldCode = 4001;

/** How long a cell's nodes may take to be back, and its clients may hear nothing, in milliseconds. */
const maxApartMs = 10_000;

/** Gets what isn't as it was promised; nothing if all is. */
export function faultsOf({ cell, verdict, backMs }: Result): string[] {
  const { lost, wrong, closed, closedWrongly, silenceMs } = verdict;
  const codes = Object.keys(closed).map(Number);
  const isQuorum = cell.queueType === "quorum";
  const found: [boolean, string][] = [
    [lost > 0, `${lost} lost`],
    [wrong > 0, `${wrong} twice, out of order, changed, echoed or refused`],
    [isQuorum && codes.length > 0, `closed: ${countsOf(closed)}`],
    [codes.some((code) => code !== toldCode), `closed: ${countsOf(closed)}`],
    [closedWrongly > 0, `${closedWrongly} closed though they missed nothing`],
    [isQuorum && silenceMs > maxApartMs, `${seconds(silenceMs)} of silence`],
    [backMs > maxApartMs, `back after ${seconds(backMs)}`],
  ];
  return [...new Set(found.filter(([is]) => is).map(([, what]) => what))];
}

/** Gets a result as one line. */
export function lineOf(result: Result): string {
  const bad = faultsOf(result);
  return `${rowOf(result).slice(4).join(" | ")}${
    bad.length === 0 ? "" : ` | NOT AS PROMISED: ${bad.join(", ")}`
  }`;
}

/**
 * Replaces what stands about the cell of `result` between the marks in
 * docs/reliability.md; what stands about others stays.
 *
 * @param options.command What it came of.
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(
  result: Result,
  { command }: { command: string },
): Promise<void> {
  const text = await Deno.readTextFile(page);
  const written = text.slice(text.indexOf(begin), text.indexOf(end));
  const rows = new Map(
    Array.from(written.matchAll(/^\| \d\.\d+[-\w]* .*$/gm), ([line]) => {
      const row = line.split("|").slice(1, -1).map((each) => each.trim());
      return [keyOf(row), row];
    }),
  );
  const own = rowOf(result);
  rows.set(keyOf(own), own);
  const body = [
    `The last run was \`${command}\`, on ${await machine()}.`,
    "",
    line([
      ...["RabbitMQ", "queues", "nodes", "fault", "deliveries", "lost"],
      ...["closed", "in vain", "wrongly", "silence", "back after", "date"],
    ]),
    line([...Array(4).fill("---"), ...Array(7).fill("---:"), "---"]),
    ...cells.map((cell) => line(rows.get(keyOf(headOf(cell))) ?? notRun(cell))),
    "",
    ...faults.map(({ name, what }) => `- \`${name}\`: ${what}`),
    "",
  ].join("\n");
  await writeBetween(page, { begin, end, body });
}

/** What tells a row from others. */
function headOf(cell: Cell): string[] {
  const { queueType, nodes, fault } = cell;
  return [brokersOf(cell), queueType, `${nodes}`, fault.name];
}

function keyOf(row: readonly string[]): string {
  return row.slice(0, 4).join(" ");
}

function notRun(cell: Cell): string[] {
  return [...headOf(cell), "not run", ...Array(7).fill("")];
}

function rowOf({ cell, verdict, clients, backMs }: Result): string[] {
  const { deliveries, lost, closed, closedInVain, closedWrongly, silenceMs } =
    verdict;
  const isAnyClosed = Object.keys(closed).length > 0;
  return [
    ...headOf(cell),
    deliveries.toLocaleString("en-US"),
    `${lost}`,
    isAnyClosed ? `${countsOf(closed)} of ${clients}` : "0",
    `${closedInVain}`,
    `${closedWrongly}`,
    seconds(silenceMs),
    seconds(backMs),
    new Date().toISOString().slice(0, 10),
  ];
}

function countsOf(closed: Readonly<Record<number, number>>): string {
  return Object.entries(closed).map(([code, count]) => `${code}: ${count}`)
    .join(", ");
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
