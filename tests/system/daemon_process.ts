/** A process that becomes a daemon: `DaemonProcess` here, and what it starts. */
import { Daemon } from "../../src/system/daemon.ts";
import type { Owner } from "../../src/system/unix_socket.ts";
import { Process } from "../../tools/process.ts";

/** What the process prints. */
interface DaemonReport {
  readonly error?: string;
  readonly hint?: string;
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
  const { hasServiceManager = false, ...options } = JSON.parse(Deno.args[0]!);
  try {
    const daemon = Daemon.prepare(options, { hasServiceManager });
    daemon.settle();
    Deno.addSignalListener("SIGTERM", () => {
      daemon[Symbol.dispose]();
      Deno.exit(0);
    });
    // A signal listener alone keeps no process alive.
    setInterval(() => {}, 60_000);
    report({
      owner: daemon.owner,
      rights: rightsOfAllThreads(),
      cwd: Deno.cwd(),
      umask: Deno.umask(),
    });
  } catch (error) {
    const { name, message, hint } = error as Error & { hint?: string };
    report({
      error: `${name}: ${message}`,
      ...(hint === undefined ? {} : { hint }),
    });
    Deno.exit(1);
  }
}

function report(result: DaemonReport): void {
  Deno.stdout.writeSync(
    new TextEncoder().encode(`${JSON.stringify(result)}\n`),
  );
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
