/** What a run found: in full as tables, and for docs/benchmarks.md what somebody decides by. */
import { writeBetween } from "../tools/page.ts";
import { spread } from "../tools/statistics.ts";
import { markdown, short, type Table, tsv } from "../tools/table.ts";
import { aimTable } from "./aims.ts";
import type { ConnectRow, Row } from "./measure.ts";
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

/** A column: its title, and its figure in a row. */
type Figure<R> = [title: string, get: (row: R) => number | undefined];

const trafficFigures: Figure<{ row: Row; rows: readonly Row[] }>[] = [
  ["CPU µs per delivery", ({ row }) => spread(row.slices.map(cpu)).median],
  ["lowest", ({ row }) => spread(row.slices.map(cpu)).min],
  ["highest", ({ row }) => spread(row.slices.map(cpu)).max],
  ["staps / it", ({ row, rows }) => cpuRatio(rows, ownPeer(rows), row.peer)],
  ["deliveries/s", ({ row }) => median(row, (of) => of.deliveriesPerSecond)],
  [
    "deliveries per turn",
    ({ row }) => median(row, (of) => of.deliveriesPerTurn),
  ],
  ["p50 ms", ({ row }) => row.latencyMs?.p50],
  ["p99 ms", ({ row }) => row.latencyMs?.p99],
  ["p99.9 ms", ({ row }) => row.latencyMs?.p999],
];

const connectFigures: Figure<ConnectRow>[] = [
  ["KiB per client", (row) => row.bytesPerClient / 1024],
  ["base MiB", (row) => row.baseBytes / 2 ** 20],
  ["connects/s", (row) => row.connectsPerSecond],
  ["CPU µs per connect", (row) => row.serverUsPerConnect],
  ["start-up ms", (row) => row.startUpMs],
];

/** Gets a row for each workload and peer; "staps / it" is beside staps over the same way. */
export function trafficTable(results: readonly TrafficResult[]): Table {
  return {
    columns: ["workload", "peer", ...trafficFigures.map(([title]) => title)],
    rows: results.flatMap(({ workload, rows }) =>
      rows.map((row) => [
        workload.name,
        row.peer,
        ...cells(trafficFigures, { row, rows }, row.failure),
      ])
    ),
  };
}

/** Gets a row for each peer whose clients connected. */
export function connectTable(
  workloads: readonly { name: string; rows: readonly ConnectRow[] }[],
): Table {
  const titles = connectFigures.map(([title]) => title);
  return {
    columns: ["workload", "peer", "clients", ...titles],
    rows: workloads.flatMap(({ name, rows }) =>
      rows.map((row) => [
        name,
        row.peer,
        `${row.clients}`,
        ...cells(connectFigures, row, row.failure),
      ])
    ),
  };
}

/** Gets the figures of a row as cells, or why there are none. */
function cells<R>(
  figures: readonly Figure<R>[],
  row: R,
  failure: string | undefined,
): string[] {
  if (failure === undefined) {
    return figures.map(([, get]) => short(get(row) ?? NaN));
  }
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
