/** How much machine many clients take, computed from what the benchmark found: the tables of `docs/scale.md`. */

/** How many clients the table has rows for. */
const sizes = [10_000, 100_000, 1_000_000] as const;
/** How busy a core may be on average. */
const load = 0.5;
/** The default of `shutdown_spread_ms`, in seconds: in that time all clients come back. */
const spreadS = 10;
/** The number of members of the large channel. */
const largeChannel = 10_000;

/** What staps or nginx takes for one client. */
export interface Costs {
  /** Memory of an idle client, in KiB. */
  readonly clientKib: number;
  /** CPU time of a join, in microseconds. */
  readonly joinUs: number;
  /** CPU time of a delivery of 64 bytes in a channel of 500, in microseconds. */
  readonly manyUs: number;
  /** The same in a channel of two. */
  readonly pairUs: number;
}

/** What the benchmark found. */
export interface Measured {
  readonly staps: Costs;
  /** What nginx takes in addition. */
  readonly nginx: Costs;
  /** Memory of a staps process without clients, in MiB. */
  readonly baseMib: number;
  /** How many clients joined through nginx per second. */
  readonly joinsPerS: number;
}

/**
 * Gets what is needed of the benchmark's full tables.
 *
 * @param tables The texts of `docs/benchmarks/clients.tsv` and `messages.tsv`.
 * @throws {Error} If a figure isn't there: the tables have changed.
 */
export function readMeasured(
  tables: { clients: string; messages: string },
): Measured {
  const { clients, messages } = tables;
  const client = (workload: string, peer: string, column: string): number =>
    figure(clients, { workload, peer, column });
  const delivery = (workload: string, peer: string): number =>
    figure(messages, { workload, peer, column: "CPU µs per delivery" });
  const staps = {
    clientKib: client("idle-10000", "staps", "KiB per client"),
    joinUs: client("storm", "staps", "CPU µs per connect"),
    manyUs: delivery("fanout-64-binary", "staps"),
    pairUs: delivery("pairs-64-text", "staps"),
  };
  const both = (column: string): number =>
    client("storm", "staps-nginx", column);
  return {
    staps,
    nginx: {
      clientKib: both("KiB per client") -
        client("storm", "staps", "KiB per client"),
      joinUs: both("CPU µs per connect") - staps.joinUs,
      manyUs: delivery("nginx-fanout-64-binary", "staps-nginx") - staps.manyUs,
      pairUs: delivery("nginx-pairs-64-text", "staps-nginx") - staps.pairUs,
    },
    baseMib: client("idle-10000", "staps", "base MiB"),
    joinsPerS: both("connects/s"),
  };
}

/** Gets the number in one row and column of a table with tabs. @throws {Error} If there is none. */
function figure(
  table: string,
  { workload, peer, column }: {
    workload: string;
    peer: string;
    column: string;
  },
): number {
  const [head = [], ...rows] = table.split("\n").map((row) => row.split("\t"));
  const row = rows.find((each) => each[0] === workload && each[1] === peer);
  const value = Number(row?.[head.indexOf(column)] ?? "missing");
  if (Number.isFinite(value)) return value;
  throw new Error(
    `Cannot find "${column}" of "${workload}" with "${peer}" in docs/benchmarks/`,
  );
}

/** Gets how many cores `clients` take, each of whom gets a message per second. */
export function coresFor(
  clients: number,
  { joinUs, deliveryUs }: { joinUs: number; deliveryUs: number },
): number {
  const busy = clients * Math.max(deliveryUs, joinUs / spreadS) / 1e6;
  return Math.ceil(busy / load);
}

/** Gets the figures, the formulas and the table in Markdown. */
export function renderSizes(
  tables: { clients: string; messages: string },
): string {
  const measured = readMeasured(tables);
  const { staps, nginx, baseMib, joinsPerS } = measured;
  const row = (name: string, unit: string, key: keyof Costs): string =>
    `| ${name} | ${round(staps[key])} ${unit} | ${round(nginx[key])} ${unit} |`;
  return `\
| | measured | staps | nginx, in addition |
| --- | --- | ---: | ---: |
| B | memory of a process without clients | ${round(baseMib)} MiB | |
${row("M | memory of an idle client", "KiB", "clientKib")}
${row("J | CPU time of a join", "µs", "joinUs")}
${
    row(
      "D | CPU time of a delivery, 64 bytes, in a channel of 500",
      "µs",
      "manyUs",
    )
  }
${
    row(
      "D | CPU time of a delivery, 64 bytes, in a channel of two",
      "µs",
      "pairUs",
    )
  }

Through nginx, ${thousands(joinsPerS)} clients joined per second.

For N clients, each of whom gets R messages per second:

- memory = processes × B + N × M
- cores = the larger of N × R × D and N × J / ${spreadS} s, divided by ${load}, rounded up

| clients (N), R = 1 | memory: staps | nginx | large channels: processes of staps | cores for nginx | pairs: processes of staps | cores for nginx |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${sizes.map((clients) => sizeRow(clients, measured)).join("\n")}

One message to ${thousands(largeChannel)} members of one channel takes staps ${
    round(largeChannel * staps.manyUs / 1000)
  } ms.
`;
}

function sizeRow(clients: number, { staps, nginx, baseMib }: Measured): string {
  const cores = (key: "manyUs" | "pairUs"): number[] =>
    [staps, nginx].map(({ joinUs, [key]: deliveryUs }) =>
      coresFor(clients, { joinUs, deliveryUs })
    );
  const [many, pairs] = [cores("manyUs"), cores("pairUs")];
  const stapsMib = pairs[0]! * baseMib + clients * staps.clientKib / 1024;
  const nginxMib = clients * nginx.clientKib / 1024;
  const cells = [
    ...[thousands(clients), memory(stapsMib), memory(nginxMib)],
    ...[...many, ...pairs],
  ];
  return `| ${cells.join(" | ")} |`;
}

function thousands(value: number): string {
  return value.toLocaleString("en");
}

/** Two digits that count. */
function round(value: number): string {
  return thousands(Number(value.toPrecision(2)));
}

function memory(mib: number): string {
  return mib < 1000 ? `${round(mib)} MiB` : `${round(mib / 1024)} GiB`;
}
