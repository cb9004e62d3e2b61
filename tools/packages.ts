/**
 * Debian packages for the tests: what they need beyond Node.js, npm and apt.
 *
 * `tests/run.ts` installs all of them before it starts. A test asks for its own
 * again, so that it also runs alone; that costs one `dpkg-query`.
 */
import { exists } from "./folder.ts";
import { type Outcome, runProgram } from "./process.ts";

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

/** The name of a package that some test needs, or the benchmark beside them: another server of the same kind. */
export type TestPackage = typeof testPackages[number] | "libnginx-mod-nchan";

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
      `Cannot install the Debian packages "${names.join('", "')}": ` +
        `got user id ${Deno.uid()}, expected root`,
    );
  }
  using lock = await Deno.open(lockFile, { create: true, write: true });
  await lock.lock(true);
  // Somebody may have installed them while we waited.
  const needed = await missing(names);
  if (needed.length === 0) return;
  await using _noServices = await keepServicesStopped();
  const args = ["install", "--yes", "--no-install-recommends", ...needed];
  if ((await run("apt-get", args)).code === 0) return;
  // The package lists are absent on a fresh image, and get out of date.
  const update = await run("apt-get", ["update"]);
  const { code, stdout, stderr } = await run("apt-get", args);
  if (code === 0) return;
  const updated = update.code === 0
    ? ""
    : `\napt-get update failed too:\n${update.stdout}${update.stderr}`;
  throw new Error(
    `Cannot install the Debian packages "${needed.join('", "')}":\n` +
      stdout + stderr + updated,
  );
}

/** Gets those of `names` that dpkg doesn't call installed. */
async function missing(names: readonly TestPackage[]): Promise<TestPackage[]> {
  const { stdout } = await run("dpkg-query", [
    ...["--show", "--showformat=${Package} ${db:Status-Status}\n", ...names],
  ]);
  // It exits with 1 as soon as one of them is unknown, and still lists the others.
  const installed = new Set(stdout.split("\n"));
  return names.filter((name) => !installed.has(`${name} installed`));
}

/**
 * Denies services their start while packages are installed: Debian's
 * invoke-rc.d and deb-systemd-invoke ask policy-rc.d, 101 means no
 * (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
 */
async function keepServicesStopped(): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  // The administrator's own policy stays. One with our mark was left by a run
  // that was killed, and is ours to remove.
  if (
    await exists(policyFile) &&
    !(await Deno.readTextFile(policyFile)).includes(policyMark)
  ) return stack.move();
  const script = `#!/bin/sh\n${policyMark}\nexit 101\n`;
  await Deno.writeTextFile(policyFile, script, { mode: 0o755 });
  stack.defer(() => Deno.remove(policyFile));
  return stack.move();
}

/** Runs one of Debian's package tools. */
function run(command: string, args: readonly string[]): Promise<Outcome> {
  const options = command === "apt-get"
    ? ["-q", "-o", "DPkg::Lock::Timeout=300"]
    : [];
  return runProgram(command, [...options, ...args], {
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    timeoutMs: installTimeoutMs,
  });
}
