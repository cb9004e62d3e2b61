/** What staps is to cost at most, beside others in the same run. */
import type { PeerName } from "./peers.ts";
import { cpuRatio, type Results, rowOf } from "./results.ts";
import { markdown } from "../tools/table.ts";
import { idleClients } from "./workloads.ts";

/** An aim and what was found. */
interface Aim {
  title: string;
  /** The ratio that every workload showed; NaN where one side took no part. */
  found: { where: string; value: number }[];
  limit: number;
}

/** Gets the table of aims, in Markdown: each with its worst workload. Leaves out what wasn't measured. */
export function aimTable(results: Results): string {
  const rows = aims(results).flatMap(({ title, found, limit }) => {
    const known = found.filter(({ value }) => Number.isFinite(value))
      .toSorted((a, b) => b.value - a.value);
    const [worst] = known;
    if (worst === undefined) return [];
    const met = known.filter(({ value }) => value <= limit).length;
    const verdict = met === known.length
      ? "met"
      : `**met in ${met} of ${known.length}**`;
    return [[
      title,
      `≤ ${limit}`,
      worst.value.toFixed(2),
      worst.where,
      verdict,
    ]];
  });
  const columns = ["staps / it", "aim", "worst", "where", ""];
  return markdown({ columns, rows });
}

/** Names of workloads. */
const isSmallBurst = /^fanout-64-.*-burst$/;
const isSingle = /^fanout-(64|1k)-[a-z]+$/;
const isLarge = /^fanout-16k/;
const isPairs = /^pairs/;

function aims({ traffic, idle, storms }: Results): Aim[] {
  /** CPU per delivery in each of the workloads. */
  const cpu = (other: PeerName, names: RegExp): Aim["found"] =>
    traffic.filter(({ workload }) => names.test(workload.name)).map((
      { workload, rows },
    ) => ({
      where: workload.name,
      value: cpuRatio(rows, "staps", other),
    }));
  const p99 = traffic.filter(({ workload }) => isPairs.test(workload.name))
    .map(({ workload, rows }) => {
      const of = (name: PeerName): number =>
        rowOf(rows, name)?.latencyMs?.p99 ?? NaN;
      return { where: workload.name, value: of("staps") / of("staps-before") };
    });
  const connect = (name: PeerName): number =>
    rowOf(storms, name)?.serverUsPerConnect ?? NaN;
  const settled = idle.filter(({ clients }) => clients === idleClients);
  const memory = (name: PeerName): number =>
    rowOf(settled, name)?.bytesPerClient ?? NaN;
  return [
    {
      title: "bursts of 64 B: before",
      limit: 0.15,
      found: cpu("staps-before", isSmallBurst),
    },
    {
      title: "bursts of 64 B: Bun",
      limit: 1.3,
      found: cpu("bun", isSmallBurst),
    },
    {
      title: "16 KiB: before",
      limit: 0.7,
      found: cpu("staps-before", isLarge),
    },
    { title: "16 KiB: Node `ws`", limit: 1, found: cpu("ws", isLarge) },
    {
      title: "one of 64 B or 1 KiB in flight: before",
      limit: 0.9,
      found: cpu("staps-before", isSingle),
    },
    {
      title: "one of 64 B or 1 KiB in flight: Node `ws`",
      limit: 0.8,
      found: cpu("ws", isSingle),
    },
    { title: "pairs: before", limit: 0.9, found: cpu("staps-before", isPairs) },
    { title: "pairs, p99: before", limit: 1, found: p99 },
    {
      title: "CPU per connect in a storm: before",
      limit: 1,
      found: [{
        where: "storm",
        value: connect("staps") / connect("staps-before"),
      }],
    },
    {
      title: "memory per idle client: before",
      limit: 0.6,
      found: [{
        where: `idle-${idleClients}`,
        value: memory("staps") / memory("staps-before"),
      }],
    },
  ];
}
