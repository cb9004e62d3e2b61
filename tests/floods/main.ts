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

const columns = [
  ...["p50", "p99", "max ms", "p99 with it elsewhere", "times", "memory MiB"],
];

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
  const start = (): Promise<Staps> =>
    startStaps({
      // As the task `start` and the packages do.
      env: runtimeEnvironment,
      config: `[staps]\nmode = 0666\n${values.config}\n`,
    });
  await using staps = await start();
  await using other = await start();
  const { seconds } = values;
  const measureAll = async (here: string, elsewhere: string): Promise<void> => {
    printRow("flood", columns);
    for (const name of names) {
      const before = await measure(name, elsewhere, { probed: here, seconds });
      const latency = await measure(name, here, { probed: here, seconds });
      const memory = await residentBytes(staps.pid) / 1024 / 1024;
      const { p50, p99, max } = latency;
      const figures = [p50, p99, max, before.p99, p99 / before.p99];
      printRow(name, [
        ...figures.map((figure) => figure.toFixed(1)),
        memory.toFixed(0),
      ]);
    }
  };
  await measureAll(staps.socket, other.socket);
  if (!values.nginx) return;
  print("\nthrough nginx");
  await using nginx = await startNginxFor(staps);
  await using otherNginx = await startNginxFor(other);
  await measureAll(`${nginx.port}`, `${otherNginx.port}`);
}

async function startNginxFor(staps: Staps): Promise<Nginx> {
  await Deno.chmod(staps.folder, 0o755);
  // Many strangers, from one address here.
  return await startNginx({
    socket: staps.socket,
    replace: [["rate=50r/s", "rate=100000r/s"]],
  });
}

function printRow(name: string, cells: readonly string[]): void {
  const right = cells.map((cell, i) =>
    cell.padStart(Math.max(6, columns[i]!.length) + 2)
  );
  print(`\n${name.padEnd(28)}  ${right.join("")}`);
}

/** Floods `where`, and measures at `probed`: each a unix socket or a port. */
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

if (import.meta.main) {
  await main();
  print("\n");
}
