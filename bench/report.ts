/** What a run found: as tables, as charts, and against the aims. */
import type { ConnectRow, Row, Slice } from "./measure.ts";
import { type PeerName, peers } from "./peers.ts";
import { ratio, type Spread, spread } from "./statistics.ts";
import { barChart, lineChart, short } from "./svg.ts";
import type { TrafficWorkload } from "./workloads.ts";

/** Everything that a run found. */
export interface Results {
  /** ISO 8601, UTC. */
  date: string;
  machine: string;
  effort: string;
  traffic: { workload: TrafficWorkload; rows: Row[] }[];
  idle: ConnectRow[];
  storms: ConnectRow[];
}

/** Gets one figure of all slices. */
function figures(
  row: Row | undefined,
  get: (slice: Slice) => number,
): number[] {
  return row?.slices.map(get) ?? [];
}

/** Gets how many times as much CPU a delivery costs on `a` as on `b`. */
function cpuRatio(
  rows: readonly Row[],
  a: PeerName,
  b: PeerName,
): Spread | undefined {
  const [first, second] = [a, b].map((name) =>
    rows.find(({ peer }) => peer === name)
  );
  if (!first?.slices.length || !second?.slices.length) return undefined;
  return ratio(figures(first, cpu), figures(second, cpu));
}

const cpu = (slice: Slice): number => slice.serverUsPerDelivery;

/** Who staps is compared with in a table: itself over the same way. */
function own(rows: readonly Row[]): PeerName {
  const isBehindNginx = rows.some(({ peer }) => peer === "staps-nginx");
  return isBehindNginx ? "staps-nginx" : "staps";
}

/** Gets the table of one workload, in Markdown. */
export function trafficTable(
  { workload, rows }: { workload: TrafficWorkload; rows: readonly Row[] },
): string {
  const lines = [
    [
      "",
      "over",
      "CPU µs per delivery",
      "staps / it",
      "deliveries/s",
      "deliveries per turn",
      "p50 ms",
      "p99 ms",
      "p99.9 ms",
    ],
    ["---", "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:"],
  ];
  for (const row of rows) {
    const { title, transport } = peers[row.peer];
    if (row.failure !== undefined) {
      lines.push([
        title,
        transport,
        `failed: ${row.failure}`,
        ...Array.from({ length: 6 }, () => ""),
      ]);
      continue;
    }
    const times = spread(figures(row, cpu));
    const self = own(rows);
    const relation = row.peer === self
      ? undefined
      : cpuRatio(rows, self, row.peer);
    lines.push([
      title,
      transport,
      `${short(times.median)} (${short(times.min)}–${short(times.max)})`,
      relation === undefined ? "" : short(relation.median),
      short(spread(figures(row, (slice) => slice.deliveriesPerSecond)).median),
      short(spread(figures(row, (slice) => slice.deliveriesPerTurn)).median),
      ...[row.latencyMs?.p50, row.latencyMs?.p99, row.latencyMs?.p999].map((
        ms,
      ) => short(ms ?? NaN)),
    ]);
  }
  return `**${workload.title}**\n\n${
    lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")
  }\n`;
}

/** Gets the table of clients that connect, in Markdown. */
export function connectTable(rows: readonly ConnectRow[]): string {
  const lines = [
    "| | clients | KiB per idle client | base MiB | connects/s | CPU µs per connect | start-up ms |",
    "| --- | --: | --: | --: | --: | --: | --: |",
  ];
  for (const row of rows) {
    const { title } = peers[row.peer];
    if (row.failure !== undefined) {
      lines.push(
        `| ${title} | ${row.clients} | failed: ${row.failure} | | | | |`,
      );
      continue;
    }
    const has = row.clients > 0;
    const cells = [
      has ? short(row.bytesPerClient / 1024) : "",
      short(row.baseBytes / 2 ** 20),
      has ? short(row.connectsPerSecond) : "",
      has ? short(row.serverUsPerConnect) : "",
      short(row.startUpMs),
    ];
    lines.push(
      `| ${title} | ${row.clients.toLocaleString("en")} | ${
        cells.join(" | ")
      } |`,
    );
  }
  return lines.join("\n") + "\n";
}

/** An aim and what was found. */
interface Aim {
  title: string;
  /** Every ratio that counts, with the workload it comes from. */
  found: { where: string; value: number | undefined }[];
  limit: number;
}

/** Gets the table of aims, in Markdown: each with its worst workload. */
export function aimTable(results: Results): string {
  const lines = [
    "| | aim | worst | where | of all |",
    "| --- | --: | --: | --- | --- |",
  ];
  for (const { title, found, limit } of aims(results)) {
    const known = found.filter((
      entry,
    ): entry is { where: string; value: number } =>
      Number.isFinite(entry.value)
    );
    const worst = known.toSorted((a, b) => b.value - a.value)[0];
    if (worst === undefined) continue;
    const met = known.filter(({ value }) => value <= limit).length;
    const verdict = met === known.length
      ? "met"
      : `**met in ${met} of ${known.length}**`;
    lines.push(
      `| ${title} | ≤ ${limit} | ${
        worst.value.toFixed(2)
      } | ${worst.where} | ${verdict} |`,
    );
  }
  return lines.join("\n") + "\n";
}

const isSmallBurst = (name: string): boolean =>
  /^fanout-64-.*-burst$/.test(name);
const isSingle = (name: string): boolean =>
  /^fanout-(64|1k)-[a-z]+$/.test(name);
const isLarge = (name: string): boolean => name.startsWith("fanout-16k");
const isPairs = (name: string): boolean => name.startsWith("pairs");

function aims({ traffic, idle, storms }: Results): Aim[] {
  /** The ratios of CPU in every workload that both took part in. */
  const cpuOf = (
    a: PeerName,
    b: PeerName,
    select: (name: string) => boolean = () => true,
  ): Aim["found"] =>
    traffic.filter(({ workload }) => select(workload.name)).map((
      { workload, rows },
    ) => ({
      where: workload.name,
      value: cpuRatio(rows, a, b)?.median,
    }));
  const connectOf = (
    rows: ConnectRow[],
    name: PeerName,
    get: (row: ConnectRow) => number,
    clients: number,
  ): number =>
    spread(
      rows.filter((row) =>
        row.peer === name && row.clients === clients &&
        row.failure === undefined
      ).map(get),
    ).median;
  const memory = (name: PeerName): number =>
    connectOf(idle, name, (row) => row.bytesPerClient, 10_000);
  const storm = (name: PeerName): number =>
    connectOf(
      storms,
      name,
      (row) => row.serverUsPerConnect,
      storms[0]?.clients ?? 0,
    );
  const latency = (rows: Row[], name: PeerName): number =>
    rows.find(({ peer }) => peer === name)?.latencyMs?.p99 ?? NaN;
  const growthOf = (series: string): { at: number; us: number }[] =>
    traffic.filter(({ workload }) => workload.growth?.series === series).map((
      { workload, rows },
    ) => ({
      at: workload.growth!.at,
      us: spread(figures(
        rows.find(({ peer }) => peer === "staps"),
        cpu,
      )).median,
    }));
  const channels = growthOf("channels");
  const atTen = channels.find(({ at }) => at === 10)?.us ?? NaN;
  return [
    {
      title: "CPU per delivery, staps / 20-line relay",
      limit: 1.05,
      found: [
        ...cpuOf("staps", "relay"),
        ...cpuOf("staps-nginx", "relay-nginx"),
      ],
    },
    {
      title: "CPU per connect in a storm, staps / 20-line relay",
      limit: 1.05,
      found: [{ where: "storm", value: storm("staps") / storm("relay") }],
    },
    {
      title: "bursts of 64 B, staps / staps before",
      limit: 0.15,
      found: cpuOf("staps", "staps-before", isSmallBurst),
    },
    {
      title: "bursts of 64 B, staps / Bun",
      limit: 1.3,
      found: cpuOf("staps", "bun", isSmallBurst),
    },
    {
      title: "16 KiB, staps / staps before",
      limit: 0.7,
      found: cpuOf("staps", "staps-before", isLarge),
    },
    {
      title: "16 KiB, staps / Node `ws`",
      limit: 1,
      found: cpuOf("staps", "ws", isLarge),
    },
    {
      title: "one of 64 B or 1 KiB in flight, staps / staps before",
      limit: 0.9,
      found: cpuOf("staps", "staps-before", isSingle),
    },
    {
      title: "one of 64 B or 1 KiB in flight, staps / Node `ws`",
      limit: 0.8,
      found: cpuOf("staps", "ws", isSingle),
    },
    {
      title: "pairs, staps / staps before",
      limit: 0.9,
      found: cpuOf("staps", "staps-before", isPairs),
    },
    {
      title: "p99 in pairs, staps / staps before",
      limit: 1,
      found: traffic.filter(({ workload }) => isPairs(workload.name))
        .map(({ workload, rows }) => ({
          where: workload.name,
          value: latency(rows, "staps") / latency(rows, "staps-before"),
        })),
    },
    {
      title: "CPU per connect in a storm, staps / staps before",
      limit: 1,
      found: [{
        where: "storm",
        value: storm("staps") / storm("staps-before"),
      }],
    },
    {
      title: "memory per idle client at 10,000, staps / staps before",
      limit: 0.6,
      found: [{
        where: "idle-10000",
        value: memory("staps") / memory("staps-before"),
      }],
    },
    {
      title: "staps / Node `ws`, pairs",
      limit: 1,
      found: cpuOf("staps", "ws", (name) => name.startsWith("pairs")),
    },
    {
      title: "two processes behind nginx / one",
      limit: 1.05,
      found: cpuOf("staps-nginx-2", "staps-nginx"),
    },
    {
      title: "memory per idle client at 10,000, staps / 20-line relay",
      limit: 1.1,
      found: [{
        where: "idle-10000",
        value: memory("staps") / memory("relay"),
      }],
    },
    {
      title: "p99 in pairs, staps / 20-line relay",
      limit: 1,
      found: traffic.filter(({ workload }) => workload.name.startsWith("pairs"))
        .map(({ workload, rows }) => ({
          where: workload.name,
          value: latency(rows, "staps") / latency(rows, "relay"),
        })),
    },
    {
      title: "CPU per delivery, 10 busy channels of 9,000 / 10 channels",
      limit: 1.15,
      found: [{
        where: "growth-idle",
        value: spread(
          figures(
            traffic.find(({ workload }) => workload.name === "growth-idle")
              ?.rows.find(({ peer }) => peer === "staps"),
            cpu,
          ),
        ).median / atTen,
      }],
    },
    {
      title: "CPU per delivery, many busy channels / 10 channels",
      limit: 1.15,
      found: channels.filter(({ at }) => at > 10).map(({ at, us }) => ({
        where: `${at.toLocaleString("en")} channels`,
        value: us / atTen,
      })),
    },
  ];
}

/** Gets the charts by file name. */
export function charts(results: Results): Map<string, string> {
  const files = new Map<string, string>();
  const bars = (
    title: string,
    names: readonly string[],
  ): string | undefined => {
    const shown = results.traffic.filter(({ workload }) =>
      names.includes(workload.name)
    );
    if (shown.length === 0) return undefined;
    const all = [
      ...new Set(shown.flatMap(({ rows }) => rows.map(({ peer }) => peer))),
    ];
    return barChart({
      title,
      unit: "µs",
      groups: shown.map(({ workload }) => workload.title),
      series: all.map((name) => ({
        title: peers[name].title,
        stands: /^(two )?staps\b/.test(peers[name].title),
        values: shown.map(({ rows }) => {
          const { median } = spread(
            figures(rows.find(({ peer }) => peer === name), cpu),
          );
          return Number.isFinite(median) ? median : undefined;
        }),
      })),
    });
  };
  const direct = [
    "fanout-64-binary",
    "fanout-1k-text",
    "fanout-16k-binary",
    "pairs-64-text",
  ];
  add(
    "cpu-direct.svg",
    bars("CPU of the server per delivered message", direct),
  );
  add(
    "cpu-nginx.svg",
    bars(
      "CPU per delivered message, nginx included",
      direct.map((name) => `nginx-${name}`),
    ),
  );
  for (const series of ["channels", "clients"] as const) {
    const shown = results.traffic.filter(({ workload }) =>
      workload.growth?.series === series
    );
    if (shown.length < 2) continue;
    add(
      `growth-${series}.svg`,
      lineChart({
        title: series === "channels"
          ? "CPU per delivery by number of channels"
          : "CPU per delivery by clients in a channel",
        x: series === "channels"
          ? "channels of two clients"
          : "clients in one channel",
        y: "µs",
        series: (["staps", "relay"] as const).map((name) => ({
          title: name === "staps" ? "staps" : "20 lines",
          points: shown.map(({ workload, rows }) => ({
            x: workload.growth!.at,
            y: spread(figures(rows.find(({ peer }) => peer === name), cpu))
              .median,
          })).filter(({ y }) => Number.isFinite(y)),
        })),
      }),
    );
  }
  const counts = new Set(results.idle.map(({ clients }) => clients));
  if (counts.size > 1) {
    add(
      "growth-memory.svg",
      lineChart({
        title: "Memory of the server by idle clients",
        x: "clients",
        y: "MiB",
        series: (["staps", "relay"] as const).map((name) => ({
          title: name === "staps" ? "staps" : "20 lines",
          points: results.idle.filter(({ peer, failure }) =>
            peer === name && failure === undefined
          ).map((row) => ({
            x: row.clients,
            y: (row.baseBytes + row.bytesPerClient * row.clients) / 2 ** 20,
          })),
        })),
      }),
    );
  }
  return files;

  function add(name: string, chart: string | undefined): void {
    if (chart !== undefined) files.set(name, chart);
  }
}

/** Gets everything as Markdown. */
export function markdown(
  results: Results,
  options: { chartFolder?: string } = {},
): string {
  const {
    date,
    machine,
    effort,
    traffic,
    idle,
    storms,
  } = results;
  const parts = [
    `Measured at ${date} on ${machine}. ${effort}`,
    section("Aims", aimTable(results)),
    options.chartFolder
      ? [...charts(results).keys()].map((name) =>
        `![${name}](${options.chartFolder}/${name})`
      ).join("\n\n")
      : "",
    section(
      "Directly on the server's socket",
      tables((name) => /^(fanout|pairs)-/.test(name)),
    ),
    section("Through nginx", tables((name) => name.startsWith("nginx-"))),
    section("Growth", tables((name) => name.startsWith("growth-"))),
    section(
      "Idle clients, each time in a fresh process",
      idle.length ? connectTable(idle) : "",
    ),
    section("A storm of connects", storms.length ? connectTable(storms) : ""),
  ];
  return parts.filter((part) => part !== "").join("\n\n").replaceAll(
    /\n{3,}/g,
    "\n\n",
  ) + "\n";

  function tables(select: (name: string) => boolean): string {
    return traffic.filter(({ workload }) => select(workload.name)).map(
      trafficTable,
    ).join("\n");
  }
}

function section(title: string, body: string): string {
  return body === "" ? "" : `### ${title}\n\n${body}`;
}

/** Gets what failed, one line each. */
export function failures(results: Results): string[] {
  const { traffic, idle, storms } = results;
  const lost = traffic.flatMap(({ workload, rows }) =>
    rows.filter(({ failure }) => failure !== undefined)
      .map(({ peer, failure }) => `${peer} in ${workload.name}: ${failure}`)
  );
  const refused = [...idle, ...storms].filter(({ failure }) =>
    failure !== undefined
  )
    .map(({ peer, clients, failure }) =>
      `${peer} with ${clients} idle clients: ${failure}`
    );
  return [...lost, ...refused];
}
