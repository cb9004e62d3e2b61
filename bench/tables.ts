/** What a run found, in full. */
import type { ConnectRow } from "./measure.ts";
import type { PeerName } from "./peers.ts";
import { cpu, cpuRatio, median, type TrafficResult } from "./results.ts";
import { spread } from "../tools/statistics.ts";
import { short, type Table } from "../tools/table.ts";

const trafficColumns = [
  "workload",
  "peer",
  "CPU µs per delivery",
  "lowest",
  "highest",
  "staps / it",
  "deliveries/s",
  "deliveries per turn",
  "p50 ms",
  "p99 ms",
  "p99.9 ms",
];

/** Gets a row for each workload and peer; "staps / it" is beside staps over the same way. */
export function trafficTable(results: readonly TrafficResult[]): Table {
  const rows = results.flatMap(({ workload, rows }) => {
    const own: PeerName = rows.some(({ peer }) => peer === "staps-nginx")
      ? "staps-nginx"
      : "staps";
    return rows.map((row) => {
      const { peer, latencyMs, failure } = row;
      if (failure !== undefined) return failed(workload.name, peer, failure);
      const cost = spread(row.slices.map(cpu));
      return [
        workload.name,
        peer,
        ...[
          cost.median,
          cost.min,
          cost.max,
          cpuRatio(rows, own, peer),
          median(row, (slice) => slice.deliveriesPerSecond),
          median(row, (slice) => slice.deliveriesPerTurn),
          latencyMs?.p50 ?? NaN,
          latencyMs?.p99 ?? NaN,
          latencyMs?.p999 ?? NaN,
        ].map(short),
      ];
    });
  });
  return { columns: trafficColumns, rows };

  function failed(name: string, peer: string, failure: string): string[] {
    const [first = ""] = failure.split("\n");
    return trafficColumns.map((_, i) =>
      [name, peer, `failed: ${first}`][i] ?? ""
    );
  }
}

/** Gets a row for each peer whose clients connected. */
export function connectTable(
  workloads: readonly { name: string; rows: readonly ConnectRow[] }[],
): Table {
  return {
    columns: [
      "workload",
      "peer",
      "clients",
      "KiB per client",
      "base MiB",
      "connects/s",
      "CPU µs per connect",
      "start-up ms",
    ],
    rows: workloads.flatMap(({ name, rows }) =>
      rows.map((row) => [
        name,
        row.peer,
        `${row.clients}`,
        ...row.failure === undefined
          ? [
            row.bytesPerClient / 1024,
            row.baseBytes / 2 ** 20,
            row.connectsPerSecond,
            row.serverUsPerConnect,
            row.startUpMs,
          ].map(short)
          : [`failed: ${row.failure.split("\n")[0]}`, "", "", "", ""],
      ])
    ),
  };
}
