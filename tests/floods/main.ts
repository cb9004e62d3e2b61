/**
 * `deno task floods`: how long messages take in one channel while somebody
 * floods the node in another one, or none. Figures to look at, not a test: they
 * depend on what else the machine does.
 */
import { parseArgs } from "node:util";
import { runtimeEnvironment } from "../../scripts/runtime_environment.ts";
import { print } from "../chaos/terminal.ts";
import { pause } from "../../tools/eventually.ts";
import { type Nginx, startNginx } from "../helpers/nginx.ts";
import {
  Process,
  repository,
  type Staps,
  startStaps,
} from "../../tools/process.ts";
import { residentBytes } from "../helpers/resident.ts";
import { floods } from "./attacker.ts";
import type { Latency } from "./probe.ts";

const usage = `Measures latency in one channel while somebody floods the node,
and right before that while the same flood is for another node: what is slower
then is the machine.

Usage: deno task floods [options]

  --seconds N     how long to measure during each flood (default 10)
  --only FLOODS   the floods to take, separated by semicolons (default all)
  --nginx         through nginx with the shipped example, not only direct
  --config LINE   a line for the configuration, such as "listener = runtime"
  --list          print the floods
  --help          print this
`;

/** How long a flood goes on before it is measured, in milliseconds. */
const warmUpMs = 1000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      seconds: { type: "string", default: "10" },
      only: { type: "string" },
      nginx: { type: "boolean", default: false },
      config: { type: "string", default: "" },
      list: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return print(usage);
  const names = values.only?.split(";") ?? Object.keys(floods);
  if (values.list) return print(`${names.join("\n")}\n`);
  const start = () =>
    startStaps({
      // As the task `start` and the packages do.
      env: runtimeEnvironment,
      config: `[staps]\nmode = 0666\n${values.config}\n`,
    });
  await using staps = await start();
  await using other = await start();
  const { seconds } = values;
  await measureAll(staps, names, (flood) => ({
    flood,
    seconds,
    probed: staps.socket,
    flooded: [other.socket, staps.socket],
  }));
  if (!values.nginx) return;
  print("\nthrough nginx");
  await using nginx = await startNginxFor(staps);
  await using otherNginx = await startNginxFor(other);
  await measureAll(staps, names, (flood) => ({
    flood,
    seconds,
    probed: String(nginx.port),
    flooded: [String(otherNginx.port), String(nginx.port)],
  }));
}

async function startNginxFor(staps: Staps): Promise<Nginx> {
  await Deno.chmod(staps.folder, 0o755);
  // Many strangers, from one address here.
  return await startNginx({
    socket: staps.socket,
    replace: [["rate=50r/s", "rate=100000r/s"]],
  });
}

interface Measurement {
  readonly flood: string;
  readonly seconds: string;
  /** Where the messages go that are measured: a unix socket or a port. */
  readonly probed: string;
  /** Where the flood goes, once and then the other time. */
  readonly flooded: readonly [elsewhere: string, here: string];
}

async function measureAll(
  staps: Staps,
  names: readonly string[],
  measurement: (flood: string) => Measurement,
): Promise<void> {
  print(
    `\n${
      "flood".padEnd(28)
    }   p50    p99    max ms   p99 with it elsewhere    times   memory MiB\n`,
  );
  for (const name of names) {
    const { flood, seconds, probed, flooded } = measurement(name);
    const elsewhere = await measure(flood, flooded[0], { probed, seconds });
    const here = await measure(flood, flooded[1], { probed, seconds });
    const memory = await residentBytes(staps.pid) / 1024 / 1024;
    const { p50, p99, max } = here;
    print(
      `${name.padEnd(28)}${inColumn(p50, 6)} ${inColumn(p99, 6)} ${
        inColumn(max, 6)
      } ${inColumn(elsewhere.p99, 25)} ${inColumn(p99 / elsewhere.p99, 8)} ${
        memory.toFixed(0).padStart(12)
      }\n`,
    );
  }
}

function inColumn(figure: number, width: number): string {
  return figure.toFixed(1).padStart(width);
}

async function measure(
  flood: string,
  where: string,
  { probed, seconds }: { probed: string; seconds: string },
): Promise<Latency> {
  // The flood comes from elsewhere, in effect: it takes no processor from the others.
  await using attacker = new Process("nice", [
    ...["-n", "19", Deno.execPath(), "run", "--allow-all"],
    ...[`${repository}/tests/floods/attacker.ts`, flood, where],
  ]);
  await pause(warmUpMs);
  await using probe = new Process(Deno.execPath(), [
    ...["run", "--allow-all", `${repository}/tests/floods/probe.ts`],
    ...[probed, seconds],
  ]);
  const { success } = await probe.status;
  if (!success) throw new Error(`The measurement failed:\n${probe.output}`);
  if (attacker.ended) {
    throw new Error(`The flood "${flood}" ended:\n${attacker.output}`);
  }
  return JSON.parse(probe.stdout);
}

if (import.meta.main) await main();
