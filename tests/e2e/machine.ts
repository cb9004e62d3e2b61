/**
 * A minimal Debian that boots with its own systemd, in a container of
 * systemd-nspawn without a network: for what only a real service manager shows.
 * The base system is made once and kept, see debian_systems.ts; a machine is a
 * copy of it.
 */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import {
  debian12,
  debian13,
  systemsFolder,
} from "../../tools/debian_systems.ts";
import { eventTimeoutMs, eventually, within } from "../../tools/eventually.ts";
import { exists } from "../../tools/folder.ts";
import { type Replacement, replaceOnce } from "../helpers/nginx.ts";
import { ensurePackages } from "../../tools/packages.ts";
import {
  type Outcome,
  Process,
  runOrThrow,
  runProgram,
} from "../../tools/process.ts";
import { childrenOf } from "../helpers/resident.ts";

/** How long a command in a machine may take, such as installing a package, in milliseconds. */
const commandTimeoutMs = 2 * 60_000;
/** How long copying or removing a system may take, in milliseconds: it has 300 MB. */
const fileTimeoutMs = 4 * 60_000;

/** The systems by the release's number. */
const systems = { 12: debian12, 13: debian13 } as const;

/** All that commands in a machine have of an environment. */
const environment = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  ...["HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=", "TERM=dumb"],
];

/** A running machine. It is ended and removed on disposal. */
export class Machine implements AsyncDisposable {
  /** A socket on the host that leads to port 80 in the machine. */
  readonly door: string;
  readonly #root: string;
  #nspawn: Process;
  /** The process that is number 1 in there. */
  #leader = 0;
  #doorkeeper: Process | undefined;

  private constructor(root: string) {
    this.#root = root;
    this.door = `${root}/door`;
    this.#nspawn = startNspawn(root);
    // If the test doesn't run at all, or doesn't get to its end.
    globalThis.addEventListener("unload", () => this.#nspawn.signal("SIGKILL"));
  }

  /** Gets a machine that has booted, or tells why none can here. Its system is made first, if need be. */
  static async bootIfPossible(
    release: keyof typeof systems,
  ): Promise<Machine | string> {
    if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
      return "booting a container takes Linux and root";
    }
    let machine: Machine | undefined;
    try {
      await ensurePackages(["systemd-container"]);
      const folder = await systemsFolder();
      await removeLeftovers(folder);
      const root = `${folder}/machine-${Deno.pid}-${crypto.randomUUID()}`;
      const copy = ["-a", "--reflink=auto", await systems[release](), root];
      await runOrThrow("cp", copy, { timeoutMs: fileTimeoutMs });
      machine = new Machine(root);
      await machine.#booted();
      return machine;
    } catch (error) {
      await machine?.[Symbol.asyncDispose]();
      const lines = (error as Error).message.split("\n");
      return `no container boots here: ${lines.slice(0, 4).join(" / ")}`;
    }
  }

  /** The command that runs one of the host's programs in the machine's network. */
  get intoNetwork(): string[] {
    return ["nsenter", `--target=${this.#leader}`, "--net", "--"];
  }

  /** Runs a script of sh(1) in the machine to its end. */
  run(script: string): Promise<Outcome> {
    return runProgram("nsenter", [
      ...[`--target=${this.#leader}`, "--all", "--"],
      ...["env", "-i", ...environment, "sh", "-ec", script],
    ], { timeoutMs: commandTimeoutMs });
  }

  /** Runs a script of sh(1) in the machine, and gets what it printed. @throws {Error} If it fails. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(script);
    assert.equal(code, 0, `${script}:\n${stdout}${stderr}`);
    return stdout.trim();
  }

  /** Checks that a script of sh(1) fails in the machine. */
  async shFails(script: string): Promise<void> {
    const { code, stdout } = await this.run(script);
    assert.notEqual(code, 0, `${script} didn't fail:\n${stdout}`);
  }

  /** Runs a page's block as if typed by root, and gets what it printed. */
  async paste(
    [page, name]: readonly [page: string, block: string],
    ...replace: Replacement[]
  ): Promise<string> {
    const code = replaceOnce(await block(page, name), replace);
    return await this.sh(`cd /root\n${code}`);
  }

  /** Puts a file into the machine. Not by its path on the host: a link in there could lead out. */
  async put(name: string, content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === "string"
      ? new TextEncoder().encode(content)
      : content;
    await Deno.writeFile(`${this.#root}/root/put`, bytes);
    await this.sh(`cat /root/put > '${name}'; rm /root/put`);
  }

  /** Waits until what a script prints matches `pattern`. */
  async prints(script: string, pattern: RegExp): Promise<void> {
    let printed = "";
    await eventually(
      async () => pattern.test(printed = await this.sh(script)),
      () => `${pattern} from ${script}, got ${printed}`,
    );
  }

  /** Shuts the machine down in good order, and resolves when it is up again. */
  async reboot(): Promise<void> {
    await this.run("systemctl poweroff");
    // systemd-nspawn could also reboot by itself, but not where /run is on a disk.
    await within(this.#nspawn.status, "the machine to go down");
    this.#nspawn = startNspawn(this.#root);
    await this.#booted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#doorkeeper?.stop("SIGKILL");
    // With its process 1 the whole container ends; nspawn's own end alone may
    // leave it running.
    const leader = await leaderOf(this.#nspawn.pid);
    if (leader !== undefined) Deno.kill(leader, "SIGKILL");
    await this.#nspawn.stop("SIGKILL");
    await eventually(
      () => remove(this.#root),
      `removing ${this.#root}`,
    );
  }

  /** Waits for systemd to have started everything, and opens the door. */
  async #booted(): Promise<void> {
    await eventually(
      async () => {
        if (this.#nspawn.ended) {
          throw new Error(`systemd-nspawn ended:\n${this.#nspawn.output}`);
        }
        const leader = await leaderOf(this.#nspawn.pid);
        if (leader === undefined) return false;
        this.#leader = leader;
        const { stdout } = await this.run("systemctl is-system-running");
        return /^(running|degraded)/.test(stdout);
      },
      () => `the machine to boot:\n${this.#nspawn.output.slice(-2000)}`,
      { timeoutMs: 2 * eventTimeoutMs },
    );
    await this.#doorkeeper?.stop("SIGKILL");
    const [enter, ...args] = this.intoNetwork;
    this.#doorkeeper = new Process(enter!, [
      ...[...args, "systemd-socket-activate", `--listen=${this.door}`],
      ...["/lib/systemd/systemd-socket-proxyd", "127.0.0.1:80"],
    ]);
    await this.#doorkeeper.printed(/Listening on/);
  }
}

function startNspawn(root: string): Process {
  return new Process("systemd-nspawn", [
    ...[`--directory=${root}`, "--boot", "--quiet", "--private-network"],
    // The host's systemd may be absent, or not be process 1.
    ...["--register=no", "--keep-unit", "--console=pipe"],
    // Not two of the same name; a host's name has 64 characters at most.
    `--machine=staps-${root.slice(-12)}`,
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
    await remove(`${folder}/${name}`);
  }
}

/** Tells whether a folder could be removed. */
async function remove(path: string): Promise<boolean> {
  const options = { timeoutMs: fileTimeoutMs };
  return (await runProgram("rm", ["-rf", path], options)).code === 0;
}
