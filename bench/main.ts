/**
 * `deno task bench`: staps and what people would use instead, side by side
 * under the same load in one run.
 */
import { parseArgs } from "node:util";
import { aimTable } from "./aims.ts";
import { writeDocs } from "./docs.ts";
import { Generator } from "./generator.ts";
import { machine } from "../tools/machine.ts";
import {
  type ConnectRow,
  type Effort,
  measureConnects,
  measureTraffic,
} from "./measure.ts";
import { hasOlderStaps, useOlderStaps } from "./older.ts";
import { type PeerName, peers } from "./peers.ts";
import { failures, type Results } from "./results.ts";
import { spread } from "../tools/statistics.ts";
import { text } from "../tools/table.ts";
import { connectTable, trafficTable } from "./tables.ts";
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

/** What the command line may say. */
interface Options {
  only?: string;
  peers?: string;
  rounds?: string;
  seconds?: string;
  before?: string;
  "before-deno"?: string;
  quick?: boolean;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      peers: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      before: { type: "string" },
      "before-deno": { type: "string" },
      quick: { type: "boolean" },
      json: { type: "string" },
      from: { type: "string" },
      "write-docs": { type: "boolean" },
      list: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  if (values.list) {
    const workloads = [...traffic, ...idle, storm].map(({ name }) => name);
    print(
      `Workloads:\n${workloads.join("\n")}\n\nPeers:\n${
        Object.keys(peers).join("\n")
      }\n`,
    );
    return 0;
  }
  const results: Results = values.from === undefined
    ? await measure(values)
    : JSON.parse(await Deno.readTextFile(values.from));
  print(aimTable(results));
  if (values.json) {
    await Deno.writeTextFile(values.json, JSON.stringify(results));
  }
  if (values["write-docs"]) await writeDocs(results);
  const failed = failures(results);
  for (const line of failed) print(`failed: ${line}\n`);
  return failed.length === 0 ? 0 : 1;
}

/** Measures what `options` ask for, and prints what it finds on the way. */
async function measure(options: Options): Promise<Results> {
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
    const denoVersion = options["before-deno"];
    await useOlderStaps(options.before, { denoVersion });
  }
  const wants = (workload: { name: string; isQuick?: boolean }): boolean =>
    wantedNames?.some((name) => workload.name.startsWith(name)) ??
      (!options.quick || workload.isQuick === true);
  const choose = (names: readonly PeerName[]): PeerName[] =>
    names.filter((name) =>
      (wantedPeers === undefined || wantedPeers.includes(name)) &&
      (name !== "staps-before" || hasOlderStaps())
    );

  const effort = effortOf(options);
  const startedAt = performance.now();
  const results: Results = {
    date: new Date().toISOString().slice(0, 16) + "Z",
    machine: await machine(),
    effort: effortText(effort, options),
    traffic: [],
    idle: [],
    storms: [],
  };
  await using generator = new Generator();
  for (const workload of traffic.filter(wants)) {
    const chosen = choose(workload.peers);
    if (chosen.length === 0) continue;
    const rows = await measureTraffic(workload, {
      peers: chosen,
      effort,
      generator,
    });
    results.traffic.push({ workload, rows });
    print(`${text(trafficTable([{ workload, rows }]))}\n`);
  }
  for (const { name, clients, peers } of idle.filter(wants)) {
    const rows: ConnectRow[] = [];
    for (const peer of choose(peers)) {
      rows.push(
        await measureConnects(peer, { clients, generator, settles: true }),
      );
    }
    results.idle.push(...rows);
    print(`${text(connectTable([{ name, rows }]))}\n`);
  }
  if (wants(storm)) {
    const rows: ConnectRow[] = [];
    const { clients } = storm;
    // Each takes seconds.
    for (let round = 0; round < Math.min(5, effort.rounds); round++) {
      for (const peer of choose(storm.peers)) {
        rows.push(
          await measureConnects(peer, { clients, generator, settles: false }),
        );
      }
    }
    results.storms = medians(rows);
    const { name } = storm;
    print(`${text(connectTable([{ name, rows: results.storms }]))}\n`);
  }
  print(`${Math.round((performance.now() - startedAt) / 1000)} s\n\n`);
  return results;
}

/** The effort of a run. */
function effortOf({ rounds, seconds, quick }: Options): Effort {
  const sliceSeconds = Number(seconds ?? 0.2);
  return {
    rounds: Number(rounds ?? (quick ? 3 : 15)),
    sliceSeconds,
    warmUpSeconds: sliceSeconds * 2,
  };
}

/** Says what was measured, and what of all there is. */
function effortText(
  { rounds, sliceSeconds }: Effort,
  { only, peers, before, "before-deno": beforeDeno }: Options,
): string {
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
    const median = (get: (row: ConnectRow) => number): number =>
      spread(all.map(get)).median;
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

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) Deno.exit(await main());
