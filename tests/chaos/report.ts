/** What came of a run, for a terminal and for docs/reliability.md. */
import { machine } from "../../bench/machine.ts";
import { writeBetween } from "../../bench/page.ts";
import { faults } from "./faults.ts";
import type { RunResult } from "./run.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);

/** Gets whether nothing at all went wrong. */
export function passed({ verdict, problems }: RunResult): boolean {
  return verdict.violationCount === 0 && problems.length === 0;
}

/** Gets the run as text with tables, for a terminal. */
export function summary(result: RunResult): string {
  const { verdict, problems } = result;
  return [
    table(faultRows(result)),
    table(countRows(result)),
    ...verdict.violations.slice(0, 10).map((violation) =>
      `${violation.kind} at ${
        (violation.timeMs / 1000).toFixed(1)
      } s, channel ${violation.channel}, connection ${violation.connection}: ` +
      `${violation.message}\n` +
      violation.before.map((line) => `  ${line}\n`).join("")
    ),
    ...problems.map((problem) => `problem: ${problem}\n`),
  ].join("\n");
}

/**
 * Replaces what stands between the marks of its setting in docs/reliability.md.
 *
 * @param options.command How to have the same run again.
 * @param options.setting The options of the command that say which brokers there are.
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(
  result: RunResult,
  { command, setting }: { command: string; setting: string },
): Promise<void> {
  const body = `\`${command}\`, ${
    new Date().toISOString().slice(0, 10)
  }: ${result.steps} steps in ${
    Math.round(result.elapsedMs / 60_000)
  } minutes, on ${await machine()}.

${markdownTable(faultRows(result), { numbersFrom: 2 })}

${markdownTable(countRows(result), { numbersFrom: 1 })}
`;
  await writeBetween(page, {
    begin:
      `<!-- Written by \`deno task chaos${setting} --write-docs\`, never by hand. -->`,
    end: `<!-- End of what is written by the chaos${setting}. -->`,
    body,
  });
}

/** Head, then one row for each fault. */
function faultRows({ faults: tallies }: RunResult): string[][] {
  const rows = [["fault", "what happens", "times", "flows again after"]];
  for (const { kind, what } of faults) {
    const tally = tallies.get(kind);
    if (tally === undefined) continue;
    rows.push([
      kind,
      tally.obstacle === undefined ? what : `skipped: ${tally.obstacle}`,
      `${tally.times}`,
      tally.times === 0 ? "" : spread(tally.flowMs),
    ]);
  }
  return rows;
}

function spread(flowMs: readonly number[]): string {
  if (flowMs.length === 0) return "";
  const sorted = flowMs.toSorted((a, b) => a - b);
  return `${seconds(sorted[sorted.length >> 1]!)}, at most ${
    seconds(sorted.at(-1)!)
  }`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function countRows({ visits, verdict, problems }: RunResult): string[][] {
  const list = (counts: Readonly<Record<number, number>>): string =>
    Object.entries(counts).map(([code, count]) => `${code}: ${number(count)}`)
      .join(", ") || "none";
  return [
    ["checked", "count"],
    ["messages", number(verdict.messages)],
    ["deliveries", number(verdict.deliveries)],
    ["channels", number(verdict.channels)],
    ["connections", number(verdict.connections)],
    ["visits of strangers, who aren't checked", number(visits)],
    ["connections ended, by code", list(verdict.closes)],
    ["handshakes refused, by status", list(verdict.refused)],
    ["promises broken", number(verdict.violationCount)],
    ["left behind, or otherwise wrong", number(problems.length)],
  ];
}

function number(value: number): string {
  return value.toLocaleString("en");
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) =>
    Math.max(...rows.map((row) => row[i]!.length))
  );
  return rows.map((row) =>
    row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd() + "\n"
  ).join("");
}

function markdownTable(
  [head, ...rows]: readonly (readonly string[])[],
  { numbersFrom }: { numbersFrom: number },
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(head!),
    line(head!.map((_, i) => i < numbersFrom ? "---" : "---:")),
    ...rows.map(line),
  ].join("\n");
}
