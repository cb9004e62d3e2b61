/**
 * `deno task floods`: how long messages take in one channel while somebody
 * floods the node in another one, or none. Figures to look at, not a test: they
 * depend on what else the machine does.
 */
import { parseArgs } from "node:util";
import { runtimeEnvironment } from "../../scripts/runtime_environment.ts";
import { startNginx } from "../helpers/nginx.ts";
import {
  Process,
  repository,
  type Staps,
  startStaps,
} from "../helpers/process.ts";
import { residentBytes } from "../helpers/resident.ts";
import { floods } from "./attacker.ts";
import type { Latency } from "./probe.ts";

const usage = `Measures latency in one channel while somebody floods the node.

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
  await using staps = await startStaps({
    // As the task `start` and the packages do.
    env: runtimeEnvironment,
    config: `[staps]\nmode = 0666\n${values.config}\n`,
  });
  await measureAll(staps, staps.socket, { names, seconds: values.seconds });
  if (!values.nginx) return;
  await Deno.chmod(staps.folder, 0o755);
  // Many strangers, from one address here.
  await using nginx = await startNginx({
    socket: staps.socket,
    replace: [["rate=50r/s", "rate=100000r/s"]],
  });
  await measureAll(staps, String(nginx.port), {
    names,
    seconds: values.seconds,
  });
}

async function measureAll(
  staps: Staps,
  where: string,
  { names, seconds }: { names: readonly string[]; seconds: string },
): Promise<void> {
  print(`\n${where.startsWith("/") ? "direct" : "through nginx"}\n`);
  print(
    `${"flood".padEnd(30)}     p50     p99     max ms  of p99   memory MiB\n`,
  );
  let baseline: number | undefined;
  for (const name of ["none", ...names.filter((each) => each !== "none")]) {
    const { p50, p99, max } = await measure(name, where, seconds);
    baseline ??= p99;
    const memory = await residentBytes(staps.pid) / 1024 / 1024;
    print(
      `${name.padEnd(30)} ${
        [p50, p99, max].map((ms) => ms.toFixed(1).padStart(7)).join(" ")
      }    ${(p99 / baseline).toFixed(1).padStart(6)}   ${
        memory.toFixed(0).padStart(6)
      }\n`,
    );
  }
}

async function measure(
  flood: string,
  where: string,
  seconds: string,
): Promise<Latency> {
  // The flood comes from elsewhere, in effect: it takes no processor from the others.
  await using attacker = new Process("nice", [
    ...["-n", "19", Deno.execPath(), "run", "--allow-all"],
    ...[`${repository}/tests/floods/attacker.ts`, flood, where],
  ]);
  await new Promise((resolve) => setTimeout(resolve, warmUpMs));
  await using probe = new Process(Deno.execPath(), [
    ...["run", "--allow-all", `${repository}/tests/floods/probe.ts`],
    ...[where, seconds],
  ]);
  const { success } = await probe.status;
  if (!success) throw new Error(`The measurement failed:\n${probe.output}`);
  if (attacker.hasEnded) {
    throw new Error(`The flood "${flood}" ended:\n${attacker.output}`);
  }
  return JSON.parse(probe.stdout);
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) await main();
