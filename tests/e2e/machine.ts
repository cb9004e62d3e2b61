/**
 * A minimal Debian that boots with its own systemd, in a container of
 * systemd-nspawn without a network: for what only a real service manager shows.
 *
 * The base system is made once and kept, see debian_systems.ts; a machine is a
 * copy of it.
 */
import {
  debian12,
  debian13,
  systemsFolder,
} from "../../tools/debian_systems.ts";
import { eventTimeoutMs, eventually, within } from "../../tools/eventually.ts";
import { exists } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { type Outcome, Process, runOrThrow } from "../../tools/process.ts";
import { childrenOf } from "../helpers/resident.ts";

/** How long a command in a machine may take, such as installing a package, in milliseconds. */
const commandTimeoutMs = 2 * 60_000;
/** How long copying or removing a system may take, in milliseconds: it has 300 MB. */
const fileTimeoutMs = 4 * 60_000;

/** The systems by the release's number. */
const systems = { 12: debian12, 13: debian13 } as const;

/** A release of Debian. */
export type Release = keyof typeof systems;

/**
 * Gets a machine that has booted, or tells why none can here. The base system
 * is made first, if need be.
 */
export async function bootIfPossible(
  release: Release,
): Promise<Machine | string> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
    return "booting a container takes Linux and root";
  }
  try {
    await ensurePackages(["systemd-container"]);
    return await Machine.boot(release);
  } catch (error) {
    return `no container boots here: ${
      (error as Error).message.split("\n").slice(0, 4).join(" / ")
    }`;
  }
}

/** A running machine. It is ended and removed on disposal. */
export class Machine implements AsyncDisposable {
  readonly #root: string;
  #nspawn: Process;
  /** The process that is number 1 in there. */
  #leader = 0;

  private constructor(root: string) {
    this.#root = root;
    this.#nspawn = startNspawn(root);
    // If the test doesn't run at all, or doesn't get to its end.
    globalThis.addEventListener("unload", () => this.#nspawn.signal("SIGKILL"));
  }

  /** Gets a machine that has booted. */
  static async boot(release: Release): Promise<Machine> {
    const folder = await systemsFolder();
    await removeLeftovers(folder);
    const root = `${folder}/machine-${Deno.pid}-${crypto.randomUUID()}`;
    const system = await systems[release]();
    await runOrThrow("cp", ["-a", "--reflink=auto", system, root], {
      timeoutMs: fileTimeoutMs,
    });
    const machine = new Machine(root);
    try {
      await machine.#booted();
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a command in the machine to its end. */
  async run(...command: string[]): Promise<Outcome> {
    await using program = new Process("nsenter", [
      `--target=${this.#leader}`,
      "--all",
      "--",
      "env",
      "-i",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root",
      "LC_ALL=C.UTF-8",
      "SYSTEMD_PAGER=",
      "TERM=dumb",
      ...command,
    ]);
    const { code } = await within(
      program.status,
      `the end of ${command.join(" ")}`,
      { timeoutMs: commandTimeoutMs },
    );
    return { code, stdout: program.stdout, stderr: program.stderr };
  }

  /**
   * Runs a command in the machine, and gets what it printed.
   *
   * @throws {Error} If it fails.
   */
  async ok(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...command);
    if (code !== 0) {
      throw new Error(
        `${command.join(" ")} ended with ${code}:\n${stdout}${stderr}`,
      );
    }
    return stdout.trim();
  }

  /** Runs a script of sh(1) in the machine, and gets what it printed. @throws {Error} If it fails. */
  sh(script: string): Promise<string> {
    return this.ok("sh", "-ec", script);
  }

  /** Checks that a script of sh(1) fails in the machine. @throws {Error} If it doesn't. */
  async shFails(script: string): Promise<void> {
    const { code, stdout } = await this.run("sh", "-ec", script);
    if (code === 0) throw new Error(`${script} didn't fail:\n${stdout}`);
  }

  /**
   * Puts a file into the machine. Not by its path on the host: a link in there
   * could lead out.
   */
  async put(name: string, content: string | Uint8Array): Promise<void> {
    const path = `${this.#root}/root/put`;
    await (typeof content === "string"
      ? Deno.writeTextFile(path, content)
      : Deno.writeFile(path, content));
    await this.ok("cp", "--no-preserve=mode", "/root/put", name);
    await Deno.remove(path);
  }

  /** Gets the command that runs one of the host's programs in the machine's network. */
  intoNetwork(): string[] {
    return ["nsenter", `--target=${this.#leader}`, "--net", "--"];
  }

  /** Shuts the machine down in good order, and resolves when it is up again. */
  async reboot(): Promise<void> {
    await this.run("systemctl", "poweroff");
    // systemd-nspawn could also reboot by itself, but not where /run is on a disk.
    await within(this.#nspawn.status, "the machine to go down");
    this.#nspawn = startNspawn(this.#root);
    await this.#booted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // With its process 1 the whole container ends; nspawn's own end alone may
    // leave it running.
    const leader = await leaderOf(this.#nspawn.pid);
    if (leader !== undefined) Deno.kill(leader, "SIGKILL");
    await this.#nspawn.stop("SIGKILL");
    await eventually(
      async () => {
        try {
          await Deno.remove(this.#root, { recursive: true });
          return true;
        } catch (error) {
          return error instanceof Deno.errors.NotFound;
        }
      },
      `removing ${this.#root}`,
    );
  }

  /** Waits for systemd to have started everything. */
  async #booted(): Promise<void> {
    await eventually(
      async () => {
        if (this.#nspawn.ended) {
          throw new Error(`systemd-nspawn ended:\n${this.#nspawn.output}`);
        }
        const leader = await leaderOf(this.#nspawn.pid);
        if (leader === undefined) return false;
        this.#leader = leader;
        const { stdout } = await this.run("systemctl", "is-system-running");
        return /^(running|degraded)/.test(stdout);
      },
      () => `the machine to boot:\n${this.#nspawn.output.slice(-2000)}`,
      { timeoutMs: 2 * eventTimeoutMs },
    );
  }
}

function startNspawn(root: string): Process {
  return new Process("systemd-nspawn", [
    `--directory=${root}`,
    "--boot",
    "--quiet",
    "--private-network",
    // The host's systemd may be absent, or not be process 1.
    "--register=no",
    "--keep-unit",
    // Not two of the same name; a host's name has 64 characters at most.
    `--machine=staps-${root.slice(-12)}`,
    "--console=pipe",
  ]);
}

/** Gets the process that nspawn has as number 1. */
async function leaderOf(nspawn: number): Promise<number | undefined> {
  try {
    for (const child of await childrenOf(nspawn)) {
      const name = (await Deno.readTextFile(`/proc/${child}/comm`)).trim();
      if (name === "systemd") return child;
    }
  } catch {
    // It has ended meanwhile.
  }
  return undefined;
}

/** Removes what runs of the tests left that were killed. */
async function removeLeftovers(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    const pid = name.match(/^(?:\.#)?machine-(\d+)-/)?.[1];
    if (pid === undefined || await exists(`/proc/${pid}`)) continue;
    await runOrThrow("rm", ["-rf", `${folder}/${name}`], {
      timeoutMs: fileTimeoutMs,
    });
  }
}
