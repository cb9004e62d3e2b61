/** What a run found: in full as tables, and for docs/benchmarks.md what somebody decides by. */
import { writeBetween } from "../tools/page.ts";
import { spread } from "../tools/statistics.ts";
import { markdown, short, type Table, tsv } from "../tools/table.ts";
import { aimTable } from "./aims.ts";
import type { ConnectRow } from "./measure.ts";
import type { PeerName } from "./peers.ts";
import {
  cpu,
  cpuRatio,
  median,
  ownPeer,
  type Results,
  rowOf,
  type TrafficResult,
} from "./results.ts";
import { idleClients, storm } from "./workloads.ts";

const page = new URL("../docs/benchmarks.md", import.meta.url);
const folder = new URL("../docs/benchmarks/", import.meta.url);

/** The columns on the page: the peer on its own socket, and behind nginx. */
const shown: readonly {
  title: string;
  direct: PeerName;
  nginx?: PeerName;
}[] = [
  { title: "staps", direct: "staps", nginx: "staps-nginx" },
  { title: "before", direct: "staps-before" },
  { title: "20 lines", direct: "relay", nginx: "relay-nginx" },
  { title: "Node `ws`", direct: "ws", nginx: "ws-nginx" },
  { title: "Bun", direct: "bun", nginx: "bun-nginx" },
  { title: "nchan", direct: "nchan", nginx: "nchan-tcp" },
];

/** The workloads on the page. */
const decisive = [
  "fanout-64-binary",
  "fanout-64-binary-burst",
  "fanout-1k-text",
  "fanout-16k-binary",
  "pairs-64-text",
  "nginx-fanout-64-binary",
  "nginx-pairs-64-text",
];

/** Gets a row for each workload and peer; "staps / it" is beside staps over the same way. */
export function trafficTable(results: readonly TrafficResult[]): Table {
  return {
    columns: [
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
    ],
    rows: results.flatMap(({ workload, rows }) =>
      rows.map((row) => {
        const cost = spread(row.slices.map(cpu));
        const figures = [
          cost.median,
          cost.min,
          cost.max,
          cpuRatio(rows, ownPeer(rows), row.peer),
          median(row, (slice) => slice.deliveriesPerSecond),
          median(row, (slice) => slice.deliveriesPerTurn),
          row.latencyMs?.p50 ?? NaN,
          row.latencyMs?.p99 ?? NaN,
          row.latencyMs?.p999 ?? NaN,
        ];
        return [workload.name, row.peer, ...cells(figures, row.failure)];
      })
    ),
  };
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
      rows.map((row) => {
        const figures = [
          row.bytesPerClient / 1024,
          row.baseBytes / 2 ** 20,
          row.connectsPerSecond,
          row.serverUsPerConnect,
          row.startUpMs,
        ];
        const { peer, clients, failure } = row;
        return [name, peer, `${clients}`, ...cells(figures, failure)];
      })
    ),
  };
}

/** Gets the figures as cells, or why there are none. */
function cells(
  figures: readonly number[],
  failure: string | undefined,
): string[] {
  if (failure === undefined) return figures.map(short);
  const reason = `failed: ${failure.split("\n")[0]}`;
  return figures.map((_, i) => i === 0 ? reason : "");
}

/**
 * Replaces what stands between the marks in docs/benchmarks.md, and the full
 * tables in docs/benchmarks/.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(results: Results): Promise<void> {
  const { date, machine, effort, traffic, idle, storms } = results;
  await writeBetween(page, {
    begin: "<!-- Written by `deno task bench --write-docs`, never by hand. -->",
    end: "<!-- End of what is written by the benchmark. -->",
    body: [
      `Measured at ${date} on ${machine}. ${effort}`,
      summary(results),
      aimTable(results),
    ].join("\n\n"),
  });
  const clients = connectTable([
    ...idle.map((row) => ({ name: `idle-${row.clients}`, rows: [row] })),
    { name: storm.name, rows: storms },
  ]);
  await Deno.mkdir(folder, { recursive: true });
  for (
    const [name, table] of [
      ["messages", trafficTable(traffic)],
      ["clients", clients],
    ] as const
  ) await Deno.writeTextFile(new URL(`${name}.tsv`, folder), tsv(table));
}

/** Gets the figures that somebody decides by, in Markdown: a row for each, a column for each peer. */
function summary({ traffic, idle, storms }: Results): string {
  const named = (name: string): TrafficResult | undefined =>
    traffic.find(({ workload }) => workload.name === name);
  const perPeer = (get: (peer: PeerName) => number | undefined): string[] =>
    shown.map(({ direct }) => short(get(direct) ?? NaN));
  const messages = decisive.map(named).filter((result) => result !== undefined)
    .map(({ workload: { title }, rows }) => {
      const own = ownPeer(rows);
      const isNginx = own === "staps-nginx";
      const costs = shown.map(({ direct, nginx }) => {
        const peer = isNginx ? nginx : direct;
        if (peer === undefined) return "";
        const cost = short(median(rowOf(rows, peer), cpu));
        if (peer === own) return cost;
        return `${cost} (${short(cpuRatio(rows, own, peer))})`;
      });
      return [`${title}${isNginx ? ", through nginx" : ""}`, ...costs];
    });
  const pairs = named("pairs-64-text")?.rows ?? [];
  const settled = idle.filter(({ clients }) => clients === idleClients);
  const memory = (peer: PeerName): number =>
    (rowOf(settled, peer)?.bytesPerClient ?? NaN) / 1024;
  return markdown({
    columns: ["", ...shown.map(({ title }) => title)],
    rows: [
      ...messages,
      [
        "p99 in ms, 500 × 2, 64 B text",
        ...perPeer((peer) => rowOf(pairs, peer)?.latencyMs?.p99),
      ],
      [
        `KiB per idle client of ${idleClients.toLocaleString("en")}`,
        ...perPeer(memory),
      ],
      [
        `CPU µs per connect, ${storm.clients.toLocaleString("en")} at once`,
        ...perPeer((peer) => rowOf(storms, peer)?.serverUsPerConnect),
      ],
    ],
  });
}
