/**
 * A minimal Debian that boots with its own systemd, in a container of
 * systemd-nspawn without a network: for what only a real service manager shows.
 *
 * The base system is made once, by debootstrap with the host's package mirror,
 * and kept in `XDG_CACHE_HOME` or /var/cache; a machine is a copy of it.
 */
import { eventTimeoutMs, eventually, within } from "./eventually.ts";
import { ensurePackages } from "./packages.ts";
import { type Outcome, Process, runProgram } from "./process.ts";

/** What the base system has beyond Debian's minimum. */
const packages = [
  "dbus",
  "nginx-light",
  "procps",
  "systemd",
  "systemd-sysv",
];
/** Changes with what is done to the base system, so that an old one isn't used. */
const baseVersion = 2;
/** How long a command in a machine may take, such as installing a package, in milliseconds. */
const commandTimeoutMs = 2 * 60_000;
/** How long copying or removing a system may take, in milliseconds: it has 300 MB. */
const fileTimeoutMs = 4 * 60_000;
/** How long debootstrap may take, in milliseconds: it downloads 80 MB. */
const baseTimeoutMs = 8 * 60_000;

/**
 * Gets a machine that has booted, or tells why none can here. The base system
 * is made first, if need be.
 */
export async function bootIfPossible(): Promise<Machine | string> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
    return "booting a container takes Linux and root";
  }
  try {
    await ensurePackages(["debootstrap", "systemd-container"]);
    await base();
    return await Machine.boot();
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
  static async boot(): Promise<Machine> {
    const folder = await cacheFolder();
    await removeLeftovers(folder);
    const root = `${folder}/machine-${Deno.pid}-${crypto.randomUUID()}`;
    await must("cp", ["-a", "--reflink=auto", await base(), root]);
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
        if (this.#nspawn.hasEnded) {
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
    `--machine=staps-${Deno.pid}`,
    "--console=pipe",
  ]);
}

/** Gets the process that nspawn has as number 1. */
async function leaderOf(nspawn: number): Promise<number | undefined> {
  try {
    const children = await Deno.readTextFile(
      `/proc/${nspawn}/task/${nspawn}/children`,
    );
    for (const child of children.trim().split(" ").filter(Boolean)) {
      const name = (await Deno.readTextFile(`/proc/${child}/comm`)).trim();
      if (name === "systemd") return Number(child);
    }
  } catch {
    // It has ended meanwhile.
  }
  return undefined;
}

async function cacheFolder(): Promise<string> {
  const parent = Deno.env.get("XDG_CACHE_HOME") ?? "/var/cache";
  const folder = `${parent}/staps-tests`;
  await Deno.mkdir(folder, { recursive: true });
  return folder;
}

/** Gets the folder of the base system, which is made if it is missing. */
async function base(): Promise<string> {
  const folder = await cacheFolder();
  const { suite, mirror } = await hostDebian();
  const path = `${folder}/${suite}-${baseVersion}`;
  using lock = await Deno.open(`${path}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await exists(path)) return path;
  const unfinished = `${path}.new`;
  await must("rm", ["-rf", unfinished]);
  await must("debootstrap", [
    "--variant=minbase",
    `--include=${packages.join(",")}`,
    suite,
    unfinished,
    mirror,
  ], { timeoutMs: baseTimeoutMs, env: await aptProxy() });
  await must("rm", ["-rf", `${unfinished}/var/cache/apt`]);
  // Not ours to test, and slow to start.
  await must("chroot", [
    unfinished,
    "systemctl",
    "mask",
    "systemd-logind.service",
    "console-getty.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
  ]);
  await must("chroot", [unfinished, "systemctl", "disable", "nginx.service"]);
  await Deno.rename(unfinished, path);
  return path;
}

/** Gets which Debian the host is, and where it gets its packages from. */
async function hostDebian(): Promise<{ suite: string; mirror: string }> {
  const release = await Deno.readTextFile("/etc/os-release");
  const suite = release.match(/^VERSION_CODENAME=(.*)$/m)?.[1];
  if (!/^ID=debian$/m.test(release) || suite === undefined) {
    throw new Error("the host isn't Debian, so its mirror has no Debian");
  }
  const { stdout } = await runProgram("apt-get", [
    "indextargets",
    "--format",
    "$(SITE)\t$(RELEASE)\t$(COMPONENT)\t$(CREATED_BY)",
  ]);
  for (const line of stdout.split("\n")) {
    const [site, release, component, by] = line.split("\t");
    if (release === suite && component === "main" && by === "Packages") {
      return { suite, mirror: site! };
    }
  }
  throw new Error(
    `apt has no list of packages of ${suite}: run apt-get update`,
  );
}

/** Gets the proxy that apt uses, as debootstrap's environment. */
async function aptProxy(): Promise<Record<string, string>> {
  const { stdout } = await runProgram("apt-config", [
    "shell",
    "proxy",
    "Acquire::http::Proxy",
  ]);
  const proxy = stdout.match(/^proxy='(.+)'$/m)?.[1];
  return proxy === undefined ? {} : { http_proxy: proxy };
}

/** Removes what runs of the tests left that were killed. */
async function removeLeftovers(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    const pid = name.match(/^machine-(\d+)-/)?.[1];
    if (pid === undefined || await exists(`/proc/${pid}`)) continue;
    await must("rm", ["-rf", `${folder}/${name}`]);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}

async function must(
  command: string,
  args: string[],
  { timeoutMs = fileTimeoutMs, env = {} }: {
    timeoutMs?: number;
    env?: Record<string, string>;
  } = {},
): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env,
    stdin: "null",
    signal: AbortSignal.timeout(timeoutMs),
  }).output();
  if (success) return;
  const text = new TextDecoder();
  throw new Error(
    `${command} ${args.join(" ")} failed:\n${
      (text.decode(stdout) + text.decode(stderr)).slice(-1500)
    }`,
  );
}
