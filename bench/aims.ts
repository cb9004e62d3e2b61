/** What staps is to cost at most, beside others in the same run. */
import { markdown } from "../tools/table.ts";
import type { PeerName } from "./peers.ts";
import { cpuRatio, type Results, rowOf } from "./results.ts";
import { idleClients } from "./workloads.ts";

/** An aim's title, its limit, and the ratio that every workload showed; NaN where one side took no part. */
type Aim = [title: string, limit: number, found: Found[]];

interface Found {
  readonly where: string;
  readonly value: number;
}

/** Names of workloads. */
const isSmallBurst = /^fanout-64-.*-burst$/;
const isSingle = /^fanout-(64|1k)-[a-z]+$/;
const isLarge = /^fanout-16k/;
const isPairs = /^pairs/;

/** Gets the table of aims, in Markdown: each with its worst workload. Leaves out what wasn't measured. */
export function aimTable(results: Results): string {
  const rows = aims(results).flatMap(([title, limit, found]) => {
    const known = found.filter(({ value }) => Number.isFinite(value))
      .toSorted((a, b) => b.value - a.value);
    const [worst] = known;
    if (worst === undefined) return [];
    const met = known.filter(({ value }) => value <= limit).length;
    const verdict = met === known.length
      ? "met"
      : `**met in ${met} of ${known.length}**`;
    const { where, value } = worst;
    return [[title, `≤ ${limit}`, value.toFixed(2), where, verdict]];
  });
  const columns = ["staps / it", "aim", "worst", "where", ""];
  return markdown({ columns, rows });
}

function aims({ traffic, idle, storms }: Results): Aim[] {
  /** CPU per delivery in each of the workloads. */
  const cpu = (other: PeerName, names: RegExp): Found[] =>
    traffic.filter(({ workload }) => names.test(workload.name))
      .map(({ workload, rows }) => ({
        where: workload.name,
        value: cpuRatio(rows, "staps", other),
      }));
  const p99 = traffic.filter(({ workload }) => isPairs.test(workload.name))
    .map(({ workload, rows }) => ({
      where: workload.name,
      value: beside(rows, (row) => row.latencyMs?.p99 ?? NaN),
    }));
  const settled = idle.filter(({ clients }) => clients === idleClients);
  const memory = {
    where: `idle-${idleClients}`,
    value: beside(settled, (row) => row.bytesPerClient),
  };
  const storm = {
    where: "storm",
    value: beside(storms, (row) => row.serverUsPerConnect),
  };
  const single = "one of 64 B or 1 KiB in flight";
  return [
    ["bursts of 64 B: before", 0.15, cpu("staps-before", isSmallBurst)],
    ["bursts of 64 B: Bun", 1.3, cpu("bun", isSmallBurst)],
    ["16 KiB: before", 0.7, cpu("staps-before", isLarge)],
    ["16 KiB: Node `ws`", 1, cpu("ws", isLarge)],
    [`${single}: before`, 0.9, cpu("staps-before", isSingle)],
    [`${single}: Node \`ws\``, 0.8, cpu("ws", isSingle)],
    ["pairs: before", 0.9, cpu("staps-before", isPairs)],
    ["pairs, p99: before", 1, p99],
    ["CPU per connect in a storm: before", 1, [storm]],
    ["memory per idle client: before", 0.6, [memory]],
  ];
}

/** Gets how a figure of staps relates to that of staps before. */
function beside<R extends { peer: PeerName }>(
  rows: readonly R[],
  figure: (row: R) => number,
): number {
  const [own, before] = (["staps", "staps-before"] as const)
    .map((peer) => rowOf(rows, peer))
    .map((row) => row === undefined ? NaN : figure(row));
  return own! / before!;
}
