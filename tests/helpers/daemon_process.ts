/** Starts `daemon_child.ts`, and reads what it prints. */
import type { DaemonReport } from "./daemon_child.ts";
import { Process, repository } from "./process.ts";

/** A process that becomes a daemon with `options`, started by the command `through`. */
export class DaemonProcess extends Process {
  constructor(options: unknown, through: readonly string[] = []) {
    const [command, ...args] = [
      ...through,
      Deno.execPath(),
      "run",
      "--allow-all",
      "--no-lock",
      `${repository}/tests/helpers/daemon_child.ts`,
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
