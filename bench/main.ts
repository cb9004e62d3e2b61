/**
 * `deno task bench`: staps and what people would use instead, side by side
 * under the same load in one run.
 */
import { parseArgs } from "node:util";
import { machine } from "../tools/machine.ts";
import { spread } from "../tools/statistics.ts";
import { text } from "../tools/table.ts";
import { aimTable } from "./aims.ts";
import {
  type ConnectRow,
  type Effort,
  measureConnects,
  measureTraffic,
} from "./measure.ts";
import { olderStaps, useOlderStaps } from "./older.ts";
import { type PeerName, peers } from "./peers.ts";
import { connectTable, trafficTable, writeDocs } from "./report.ts";
import { failures, type Results } from "./results.ts";
import { idle, storm, traffic } from "./workloads.ts";

const usage = `Measures staps and its peers side by side.

Usage: deno task bench [options]

  --only NAMES    workloads, by the start of their names, separated by commas
  --peers NAMES   peers, separated by commas
  --rounds N      rounds of each workload (default 15; with --quick 3)
  --seconds S     one peer's share of a round (default 0.2)
  --before FOLDER also measure the staps in FOLDER, as the peer staps-before
  --before-deno V run that with Deno V from npm (default: the Deno of this run)
  --quick         fewer workloads and rounds, about 3 minutes
  --json FILE     write the results to FILE too
  --from FILE     measure nothing: take the results from FILE, see --json
  --write-docs    put the results into docs/benchmarks.md and docs/benchmarks/
  --list          print the names of workloads and peers
`;

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    peers: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string", default: "0.2" },
    before: { type: "string" },
    "before-deno": { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    from: { type: "string" },
    "write-docs": { type: "boolean" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  },
});

async function main(): Promise<number> {
  if (options.help) {
    print(usage);
    return 0;
  }
  if (options.list) {
    const workloads = [...traffic, ...idle, storm].map(({ name }) => name);
    print(
      ["Workloads:", ...workloads, "", "Peers:", ...Object.keys(peers), ""]
        .join("\n"),
    );
    return 0;
  }
  const results: Results = options.from === undefined
    ? await measure()
    : JSON.parse(await Deno.readTextFile(options.from));
  print(aimTable(results));
  if (options.json) {
    await Deno.writeTextFile(options.json, JSON.stringify(results));
  }
  if (options["write-docs"]) await writeDocs(results);
  const failed = failures(results);
  for (const line of failed) print(`failed: ${line}\n`);
  return failed.length === 0 ? 0 : 1;
}

/** Measures what is asked for, and prints what it finds on the way. */
async function measure(): Promise<Results> {
  const wantedNames = options.only?.split(",");
  const wantedPeers = options.peers?.split(",");
  for (const name of wantedPeers ?? []) {
    if (!(name in peers)) {
      throw new RangeError(
        `Cannot measure "${name}": expected ${Object.keys(peers).join(", ")}`,
      );
    }
  }
  if (options.before !== undefined) {
    await useOlderStaps(options.before, options["before-deno"]);
  }
  const wants = (workload: { name: string; isQuick?: boolean }): boolean =>
    wantedNames?.some((name) => workload.name.startsWith(name)) ??
      (!options.quick || workload.isQuick === true);
  const choose = (names: readonly PeerName[]): PeerName[] =>
    names.filter((name) =>
      (wantedPeers === undefined || wantedPeers.includes(name)) &&
      (name !== "staps-before" || olderStaps !== undefined)
    );

  const sliceSeconds = Number(options.seconds);
  const rounds = Number(options.rounds ?? (options.quick ? 3 : 15));
  const effort = { rounds, sliceSeconds, warmUpSeconds: 2 * sliceSeconds };
  const startedAt = performance.now();
  const results: Results = {
    date: new Date().toISOString().slice(0, 16) + "Z",
    machine: await machine(),
    effort: effortText(effort),
    traffic: [],
    idle: [],
    storms: [],
  };
  for (const workload of traffic.filter(wants)) {
    const names = choose(workload.peers);
    if (names.length === 0) continue;
    const rows = await measureTraffic(workload, { names, effort });
    results.traffic.push({ workload, rows });
    print(`${text(trafficTable([{ workload, rows }]))}\n`);
  }
  for (const { name, clients, peers } of idle.filter(wants)) {
    const rows: ConnectRow[] = [];
    for (const peer of choose(peers)) {
      rows.push(await measureConnects(peer, { clients, settles: true }));
    }
    results.idle.push(...rows);
    print(`${text(connectTable([{ name, rows }]))}\n`);
  }
  if (wants(storm)) {
    const { name, clients, peers } = storm;
    const rows: ConnectRow[] = [];
    // Each takes seconds.
    for (let round = 0; round < Math.min(5, effort.rounds); round++) {
      for (const peer of choose(peers)) {
        rows.push(await measureConnects(peer, { clients, settles: false }));
      }
    }
    results.storms = medians(rows);
    print(`${text(connectTable([{ name, rows: results.storms }]))}\n`);
  }
  print(`${Math.round((performance.now() - startedAt) / 1000)} s\n\n`);
  return results;
}

/** Says what was measured, and what of all there is. */
function effortText({ rounds, sliceSeconds }: Effort): string {
  const { only, peers, before, "before-deno": beforeDeno } = options;
  const texts = [`${rounds} rounds of ${sliceSeconds} s each.`];
  if (only) texts.push(`Only the workloads \`${only}\`.`);
  if (peers) texts.push(`Only the peers \`${peers}\`.`);
  if (before) {
    const deno = beforeDeno ?? Deno.version.deno;
    texts.push(`_staps before_ is an older version, on Deno ${deno}.`);
  }
  return texts.join(" ");
}

/** Gets one row for each peer, with the medians of its rows. */
function medians(rows: readonly ConnectRow[]): ConnectRow[] {
  const byPeer = Map.groupBy(rows, ({ peer }) => peer);
  return [...byPeer.values()].map((all) => {
    const failed = all.find(({ failure }) => failure !== undefined);
    if (failed) return failed;
    const median = { ...all[0]! };
    for (
      const figure of [
        "startUpMs",
        "baseBytes",
        "bytesPerClient",
        "connectsPerSecond",
        "serverUsPerConnect",
      ] as const
    ) median[figure] = spread(all.map((row) => row[figure])).median;
    return median;
  });
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

Deno.exit(await main());
