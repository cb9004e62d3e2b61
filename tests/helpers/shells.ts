/** Shells for what pages tell people to type, with programs of the test's own. */
import { permissions } from "../../scripts/permissions.ts";
import { TempFolder } from "../../tools/folder.ts";
import {
  denoDir,
  type Outcome,
  Process,
  type ProcessOptions,
  runProgram,
  stapsCommand,
} from "../../tools/process.ts";

/** What a shell gets beside its script. */
type ShellOptions = Pick<ProcessOptions, "env" | "stdin" | "detached">;

/** The program as it is called, and what it may, when it is installed. */
const installed = stapsCommand.flatMap((word) =>
  word === "--allow-all" ? permissions : [word]
);

/** A folder with `staps` and other programs, in which shells run. */
export class Shells implements AsyncDisposable {
  private constructor(readonly folder: TempFolder) {}

  /** Makes one. `programs` are scripts for sh(1), by their names. */
  static async make(
    programs: Readonly<Record<string, string>> = {},
  ): Promise<Shells> {
    const folder = await TempFolder.make();
    const words = [Deno.execPath(), ...installed].map((word) => `'${word}'`);
    const all = { staps: `exec ${words.join(" ")} "$@"`, ...programs };
    for (const [name, script] of Object.entries(all)) {
      const text = `#!/bin/sh\n${script}\n`;
      await Deno.writeTextFile(`${folder.path}/${name}`, text, { mode: 0o755 });
    }
    return new Shells(folder);
  }

  /** Gets the command that runs `script`. */
  command(
    script: string,
    { env, ...options }: ShellOptions = {},
  ): [string, string[], ProcessOptions] {
    return ["bash", ["-ec", `set -o pipefail\n${script}`], {
      ...options,
      cwd: this.folder.path,
      env: {
        PATH: `${this.folder.path}:${Deno.env.get("PATH")}`,
        DENO_DIR: denoDir(),
        ...env,
      },
    }];
  }

  /** Begins to run `script`. */
  start(script: string, options?: ShellOptions): Process {
    return new Process(...this.command(script, options));
  }

  /** Runs `script` to its end. */
  run(script: string, options?: ShellOptions): Promise<Outcome> {
    return runProgram(...this.command(script, options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
  }
}
