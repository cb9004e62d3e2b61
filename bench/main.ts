/**
 * `deno task bench`: staps and what people would use instead, side by side
 * under the same load in one run.
 */
import { parseArgs } from "node:util";
import { writeDocs } from "./docs.ts";
import { measureOwnCode } from "./own_code.ts";
import { compareTools } from "./second_tool.ts";
import { Generator } from "./generator.ts";
import { machine } from "./machine.ts";
import {
  type ConnectRow,
  type Effort,
  measureConnects,
  measurePauses,
  measureTraffic,
} from "./measure.ts";
import { hasOlderStaps, useOlderStaps } from "./older.ts";
import { type PeerName, peers, stopShared } from "./peers.ts";
import {
  aimTable,
  comparisonTable,
  connectTable,
  failures,
  ownCodeText,
  pauseTable,
  type Results,
  trafficTable,
} from "./report.ts";
import {
  idle,
  pauses,
  secondTool,
  start,
  storm,
  traffic,
} from "./workloads.ts";

const usage = `Measures staps and its peers side by side.

Usage: deno task bench [options]

  --only NAMES    workloads, by the start of their names, separated by commas
  --peers NAMES   peers, separated by commas
  --rounds N      rounds of each workload (default 15; with --quick 3)
  --seconds S     one peer's share of a round (default 0.2)
  --before FOLDER also measure the staps in FOLDER, as the peer staps-before
  --before-deno V run that with Deno V from npm (default: the Deno of this run)
  --quick         fewer workloads and rounds, about 3 minutes
  --write-docs    put the results into docs/benchmarks.md and docs/benchmarks/
  --json FILE     write the results to FILE too
  --list          print the names of workloads and peers
`;

/** The effort of a run. */
function effortOf(
  values: { rounds?: string; seconds?: string; quick?: boolean },
): Effort {
  return {
    rounds: Number(values.rounds ?? (values.quick ? 3 : 15)),
    sliceSeconds: Number(values.seconds ?? 0.2),
    warmUpSeconds: Number(values.seconds ?? 0.2) * 2,
  };
}

/** Says what was measured, and what of all there is. */
function effortText(
  { rounds, sliceSeconds }: Effort,
  { only, peers, before }: {
    only?: string;
    peers?: string;
    before?: string;
  },
): string {
  const texts = [`${rounds} rounds of ${sliceSeconds} s each.`];
  if (only) texts.push(`Only the workloads \`${only}\`.`);
  if (peers) texts.push(`Only the peers \`${peers}\`.`);
  if (before) texts.push("_staps before_ is an older version, see above.");
  return texts.join(" ");
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      peers: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean" },
      "write-docs": { type: "boolean" },
      before: { type: "string" },
      "before-deno": { type: "string" },
      json: { type: "string" },
      list: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  if (values.list) {
    print(
      `Workloads:\n${workloadNames().join("\n")}\n\nPeers:\n${
        Object.keys(peers).join("\n")
      }\n`,
    );
    return 0;
  }
  // "relay" is the question that is asked most: what does staps add?
  const only = values.only === "relay" ? "fanout-64,pairs" : values.only;
  const onlyPeers = values.only === "relay" ? "staps,relay" : values.peers;
  const wantedNames = only?.split(",");
  const wantedPeers = onlyPeers?.split(",");
  for (const name of wantedPeers ?? []) {
    if (!(name in peers)) {
      throw new RangeError(
        `Cannot measure "${name}": expected ${Object.keys(peers).join(", ")}`,
      );
    }
  }
  const wants = (workload: { name: string; isQuick?: boolean }): boolean =>
    wantedNames?.some((name) => workload.name.startsWith(name)) ??
      (!values.quick || workload.isQuick === true);
  if (values.before !== undefined) {
    const denoVersion = values["before-deno"];
    await useOlderStaps(values.before, { denoVersion });
  }
  const choose = (names: readonly PeerName[]): PeerName[] =>
    names.filter((name) =>
      (wantedPeers === undefined || wantedPeers.includes(name)) &&
      (name !== "staps-before" || hasOlderStaps())
    );

  const effort = effortOf(values);
  // Where a round takes seconds, or a figure doesn't scatter.
  const fewer = { ...effort, rounds: Math.min(5, effort.rounds) };
  const startedAt = performance.now();
  const results: Results = {
    date: new Date().toISOString().slice(0, 16) + "Z",
    machine: await machine(),
    effort: effortText(effort, values),
    traffic: [],
    idle: [],
    storms: [],
    starts: [],
    pauses: [],
    comparisons: [],
  };
  await using stack = new AsyncDisposableStack();
  stack.defer(stopShared);
  const generator = stack.use(new Generator());
  for (const workload of traffic.filter(wants)) {
    const chosen = choose(workload.peers);
    if (chosen.length === 0) continue;
    const result = {
      workload,
      rows: await measureTraffic(workload, {
        peers: chosen,
        effort,
        generator,
      }),
    };
    results.traffic.push(result);
    print(`${workload.name}: ${trafficTable(result)}\n`);
  }
  for (const { clients, ...workload } of idle.filter(wants)) {
    await connects(results.idle, { ...workload, clients, settles: true });
  }
  if (wants({ ...storm, isQuick: true })) {
    for (let round = 0; round < fewer.rounds; round++) {
      await connects(results.storms, { ...storm, settles: false });
    }
    results.storms = medians(results.storms);
    print(connectTable(results.storms) + "\n");
  }
  if (wants({ ...start, isQuick: true })) {
    for (let round = 0; round < fewer.rounds; round++) {
      await connects(results.starts, { ...start, clients: 0, settles: false });
    }
    results.starts = medians(results.starts);
    print(connectTable(results.starts) + "\n");
  }
  for (
    const workload of traffic.filter(({ name }) =>
      (pauses.traffic as readonly string[]).includes(name)
    )
  ) {
    const named = { ...workload, name: `pause-${workload.name}` };
    const chosen = choose(pauses.peers);
    if (!wants({ ...named, isQuick: false }) || chosen.length === 0) continue;
    results.pauses.push(
      ...await measurePauses(workload, {
        peers: chosen,
        effort: fewer,
        generator,
      }),
    );
  }
  if (wants({ name: "second-tool" }) && !onlyPeers) {
    for (const peer of secondTool.peers) {
      results.comparisons.push(
        await compareTools(peer, {
          ...secondTool,
          ...fewer,
          seconds: effort.sliceSeconds * 2,
          generator,
        }),
      );
    }
    print(comparisonTable(results.comparisons) + "\n");
  }
  if (wants({ name: "own-code", isQuick: true }) && !onlyPeers) {
    results.ownCode = await measureOwnCode(500);
    print(`${ownCodeText(results.ownCode)}\n\n`);
  }
  if (results.pauses.length > 0) print(pauseTable(results.pauses) + "\n");

  print(aimTable(results));
  print(`\n${Math.round((performance.now() - startedAt) / 1000)} s\n`);
  if (values.json) {
    await Deno.writeTextFile(values.json, JSON.stringify(results));
  }
  if (values["write-docs"]) await writeDocs(results);
  const failed = failures(results);
  for (const line of failed) print(`failed: ${line}\n`);
  return failed.length === 0 ? 0 : 1;

  async function connects(
    rows: ConnectRow[],
    workload: {
      name: string;
      clients: number;
      peers: readonly PeerName[];
      settles: boolean;
    },
  ): Promise<void> {
    const { clients, settles } = workload;
    const found: ConnectRow[] = [];
    for (const peer of choose(workload.peers)) {
      found.push(await measureConnects(peer, { clients, generator, settles }));
    }
    rows.push(...found);
    if (settles && found.length > 0) {
      print(`${workload.name}:\n${connectTable(found)}\n`);
    }
  }
}

/** Gets one row for each peer, with the medians of its rows. */
function medians(rows: readonly ConnectRow[]): ConnectRow[] {
  const byPeer = Map.groupBy(rows, ({ peer }) => peer);
  return [...byPeer.values()].map((all) => {
    const failed = all.find(({ failure }) => failure !== undefined);
    if (failed) return failed;
    const median = (get: (row: ConnectRow) => number): number =>
      all.map(get).toSorted((a, b) => a - b)[all.length >> 1]!;
    return {
      ...all[0]!,
      startUpMs: median((row) => row.startUpMs),
      baseBytes: median((row) => row.baseBytes),
      bytesPerClient: median((row) => row.bytesPerClient),
      connectsPerSecond: median((row) => row.connectsPerSecond),
      serverUsPerConnect: median((row) => row.serverUsPerConnect),
    };
  });
}

function workloadNames(): string[] {
  return [
    ...traffic,
    ...idle,
    storm,
    start,
    secondTool,
    { name: "own-code" },
    ...pauses.traffic.map((name) => ({ name: `pause-${name}` })),
  ]
    .map(({ name }) => name);
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) Deno.exit(await main());
