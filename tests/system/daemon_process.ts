/** A process that becomes a daemon: `DaemonProcess` here, and what it starts. */
import type { AdminError } from "../../src/common/errors.ts";
import { Daemon } from "../../src/system/daemon.ts";
import type { Owner } from "../../src/system/unix_socket.ts";
import { Process } from "../../tools/process.ts";

/** What the process prints. */
interface DaemonReport {
  readonly error?: string;
  readonly hint?: string | undefined;
  readonly owner?: Owner;
  /** Those fields of /proc/PID/task/TID/status that tell its rights, without repetition. */
  readonly rights?: readonly string[];
  readonly cwd?: string;
  readonly umask?: number;
}

/** A process that becomes a daemon with `options`, started by the command `through`, and ends properly on SIGTERM. */
export class DaemonProcess extends Process {
  constructor(options: unknown, through: readonly string[] = []) {
    const [command, ...args] = [
      ...through,
      Deno.execPath(),
      "run",
      "--allow-all",
      "--no-lock",
      import.meta.filename!,
      JSON.stringify(options),
    ];
    super(command!, args);
  }

  /** Gets what became of it. */
  async report(): Promise<DaemonReport> {
    const [line] = await this.printed(/^\{.*\}$/m);
    return JSON.parse(line);
  }
}

if (import.meta.main) {
  const report = JSON.stringify(becomeDaemon(JSON.parse(Deno.args[0]!)));
  await Deno.stdout.write(new TextEncoder().encode(`${report}\n`));
}

function becomeDaemon(
  { hasServiceManager = false, ...options }: { hasServiceManager?: boolean },
): DaemonReport {
  try {
    const daemon = Daemon.prepare(options, { hasServiceManager });
    daemon.settle();
    Deno.addSignalListener("SIGTERM", () => {
      daemon[Symbol.dispose]();
      Deno.exit(0);
    });
    // A signal listener alone keeps no process alive.
    setInterval(() => {}, 60_000);
    const rights = rightsOfAllThreads();
    const { owner } = daemon;
    return { owner, rights, cwd: Deno.cwd(), umask: Deno.umask() };
  } catch (error) {
    const { name, message, hint } = error as AdminError;
    return { error: `${name}: ${message}`, hint };
  }
}

function rightsOfAllThreads(): string[] {
  const rights = new Set<string>();
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    const status = Deno.readTextFileSync(`/proc/self/task/${name}/status`);
    rights.add(
      status.split("\n")
        .filter((line) => /^(Uid|Gid|Groups|CapEff|CapPrm):/.test(line))
        .map((line) => line.replaceAll(/\s+/g, " ").trim())
        .join("; "),
    );
  }
  return [...rights];
}
