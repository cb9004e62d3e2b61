/** What came of a run, for a terminal and for docs/reliability.md. */
import { machine } from "../../tools/machine.ts";
import { writeBetween } from "../../tools/page.ts";
import { markdown, type Table, text } from "../../tools/table.ts";
import { lineOf } from "./checker.ts";
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
    text(faultTable(result)),
    text(countTable(result)),
    ...verdict.violations.slice(0, 10).map((each) => `${lineOf(each)}\n`),
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
  const date = new Date().toISOString().slice(0, 10);
  const minutes = Math.round(result.elapsedMs / 60_000);
  await writeBetween(page, {
    begin:
      `<!-- Written by \`deno task chaos${setting} --write-docs\`, never by hand. -->`,
    end: `<!-- End of what is written by the chaos${setting}. -->`,
    body:
      `\`${command}\`, ${date}: ${result.steps} steps in ${minutes} minutes, on ${await machine()}.

${markdown(faultTable(result))}
${markdown(countTable(result))}`,
  });
}

/** One row for each fault. */
function faultTable({ faults: tallies }: RunResult): Table {
  const rows = faults.flatMap(({ kind, what }) => {
    const tally = tallies.get(kind);
    if (tally === undefined) return [];
    const { obstacle, times, flowMs } = tally;
    const sorted = flowMs.toSorted((a, b) => a - b);
    const spread = sorted.length === 0
      ? ""
      : `${seconds(sorted[sorted.length >> 1]!)}, at most ${
        seconds(sorted.at(-1)!)
      }`;
    const happens = obstacle === undefined ? what : `skipped: ${obstacle}`;
    return [[kind, happens, `${times}`, times === 0 ? "" : spread]];
  });
  const columns = ["fault", "what happens", "times", "flows again after"];
  return { columns, rows };
}

function countTable({ visits, verdict, problems }: RunResult): Table {
  const list = (counts: Readonly<Record<number, number>>): string =>
    Object.entries(counts).map(([code, count]) => `${code}: ${number(count)}`)
      .join(", ") || "none";
  const rows = [
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
  return { columns: ["checked", "count"], rows };
}

function number(value: number): string {
  return value.toLocaleString("en");
}

/** Gets milliseconds as seconds, for people. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
