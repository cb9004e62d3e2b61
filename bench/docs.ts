/** Puts the results of a run where people read them. */
import { aimTable } from "./aims.ts";
import { writeBetween } from "../tools/page.ts";
import type { PeerName } from "./peers.ts";
import { cpu, cpuRatio, median, type Results, rowOf } from "./results.ts";
import { markdown, short, tsv } from "../tools/table.ts";
import { connectTable, trafficTable } from "./tables.ts";
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
  await Deno.mkdir(folder, { recursive: true });
  const clients = connectTable([
    ...idle.map((row) => ({ name: `idle-${row.clients}`, rows: [row] })),
    { name: storm.name, rows: storms },
  ]);
  await Deno.writeTextFile(
    new URL("messages.tsv", folder),
    tsv(trafficTable(traffic)),
  );
  await Deno.writeTextFile(new URL("clients.tsv", folder), tsv(clients));
}

/** Gets the figures that somebody decides by, in Markdown: a row for each, a column for each peer. */
function summary({ traffic, idle, storms }: Results): string {
  const settled = idle.filter(({ clients }) => clients === idleClients);
  const perPeer = (get: (peer: PeerName) => number): string[] =>
    shown.map(({ direct }) => short(get(direct)));
  const messages = decisive.flatMap((name) => {
    const result = traffic.find(({ workload }) => workload.name === name);
    if (result === undefined) return [];
    const { workload: { title }, rows } = result;
    const isNginx = rows.some(({ peer }) => peer === "staps-nginx");
    const own = isNginx ? "staps-nginx" : "staps";
    return [[
      `${title}${isNginx ? ", through nginx" : ""}`,
      ...shown.map(({ direct, nginx }) => {
        const peer = isNginx ? nginx : direct;
        if (peer === undefined) return "";
        const cost = short(median(rowOf(rows, peer), cpu));
        return peer === own
          ? cost
          : `${cost} (${short(cpuRatio(rows, own, peer))})`;
      }),
    ]];
  });
  const pairs = traffic.find(({ workload }) =>
    workload.name === "pairs-64-text"
  );
  return markdown({
    columns: ["", ...shown.map(({ title }) => title)],
    rows: [
      ...messages,
      [
        "p99 in ms, 500 × 2, 64 B text",
        ...perPeer((peer) =>
          rowOf(pairs?.rows ?? [], peer)?.latencyMs?.p99 ?? NaN
        ),
      ],
      [
        `KiB per idle client of ${idleClients.toLocaleString("en")}`,
        ...perPeer((peer) =>
          (rowOf(settled, peer)?.bytesPerClient ?? NaN) / 1024
        ),
      ],
      [
        `CPU µs per connect, ${storm.clients.toLocaleString("en")} at once`,
        ...perPeer((peer) => rowOf(storms, peer)?.serverUsPerConnect ?? NaN),
      ],
    ],
  });
}
