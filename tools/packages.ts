/**
 * Debian packages for the tests: what they need beyond Node.js, npm and apt.
 *
 * `tests/run.ts` installs all of them before it starts. A test asks for its own
 * again, so that it also runs alone; that costs one `dpkg-query`.
 */

/** Every Debian package that some test needs. */
export const testPackages = [
  "acl",
  "apache2",
  "caddy",
  "chromium-headless-shell",
  "curl",
  "debootstrap",
  "fish",
  "git",
  "golang-github-gorilla-websocket-dev",
  "golang-go",
  "haproxy",
  "iproute2",
  "lintian",
  "man-db",
  "nftables",
  "nginx",
  "openssl",
  "podman",
  "prometheus",
  "python3-requests",
  "python3-websockets",
  "python3-yaml",
  "rabbitmq-server",
  "runc",
  "strace",
  "systemd-container",
  "zsh",
] as const;

/** What the benchmark needs beside them: other servers of the same kind. */
export const benchPackages = ["libnginx-mod-nchan"] as const;

/** The name of a package that some test or the benchmark needs. */
export type TestPackage =
  | typeof testPackages[number]
  | typeof benchPackages[number];

const policyFile = "/usr/sbin/policy-rc.d";
const policyMark =
  "# Put here by the tests of staps while they install packages";

/** Installing packages takes turns: between test files that run at once, and between runs. */
const lockFile = "/run/lock/staps-test-packages";

const installTimeoutMs = 10 * 60 * 1000;

/**
 * Makes sure that the Debian packages `names` are installed, and that the
 * services in them weren't started by that.
 *
 * Uses apt-get without recommended packages, and refreshes its lists only when
 * the installation fails without that.
 *
 * @throws {Error} If something is missing and can't be installed: not root, no apt, no network.
 */
export async function ensurePackages(
  names: readonly TestPackage[],
): Promise<void> {
  if ((await missing(names)).length === 0) return;
  if (Deno.uid() !== 0) {
    throw new Error(
      `Cannot install the Debian packages ${quoteAll(await missing(names))}: ` +
        `got user id ${Deno.uid()}, expected root`,
    );
  }
  using lock = await Deno.open(lockFile, { create: true, write: true });
  await lock.lock(true);
  // Somebody may have installed them while we waited.
  const needed = await missing(names);
  if (needed.length === 0) return;
  await using _noServices = await keepServicesStopped();
  const first = await install(needed);
  if (first.success) return;
  // The package lists are absent on a fresh image, and get out of date.
  const update = await run("apt-get", ["update", ...aptOptions]);
  const second = await install(needed);
  if (!second.success) {
    const updated = update.success
      ? ""
      : `\napt-get update failed too:\n${update.output}`;
    throw new Error(
      `Cannot install the Debian packages ${
        quoteAll(needed)
      }:\n${second.output}${updated}`,
    );
  }
}

const aptOptions = ["-q", "-o", "DPkg::Lock::Timeout=300"];

function install(names: readonly string[]): Promise<Result> {
  return run("apt-get", [
    "install",
    "--yes",
    "--no-install-recommends",
    ...aptOptions,
    ...names,
  ]);
}

/** Gets those of `names` that dpkg doesn't call installed. */
async function missing(names: readonly TestPackage[]): Promise<TestPackage[]> {
  const { output } = await run("dpkg-query", [
    "--show",
    "--showformat=${Package} ${db:Status-Status}\n",
    ...names,
  ]);
  // It exits with 1 as soon as one of them is unknown, and still lists the others.
  const installed = new Set(output.split("\n"));
  return names.filter((name) => !installed.has(`${name} installed`));
}

/**
 * Denies services their start while packages are installed: Debian's
 * invoke-rc.d and deb-systemd-invoke ask policy-rc.d, 101 means no
 * (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
 */
async function keepServicesStopped(): Promise<AsyncDisposable> {
  const nothing = {
    [Symbol.asyncDispose]: (): Promise<void> => Promise.resolve(),
  };
  let old: string | undefined;
  try {
    old = await Deno.readTextFile(policyFile);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // The administrator's own policy stays. One with our mark was left by a run
  // that was killed, and is ours to remove.
  if (old !== undefined && !old.includes(policyMark)) return nothing;
  await Deno.writeTextFile(policyFile, `#!/bin/sh\n${policyMark}\nexit 101\n`, {
    mode: 0o755,
  });
  return { [Symbol.asyncDispose]: () => Deno.remove(policyFile) };
}

interface Result {
  readonly success: boolean;
  /** Both output streams. */
  readonly output: string;
}

async function run(command: string, args: string[]): Promise<Result> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, {
      args,
      env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
      stdin: "null",
      signal: AbortSignal.timeout(installTimeoutMs),
    }).output();
    const text = new TextDecoder();
    return { success, output: text.decode(stdout) + text.decode(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`Cannot find "${command}" of Debian's package tools`, {
      cause: error,
    });
  }
}

function quoteAll(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}
