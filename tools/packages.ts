/**
 * Debian packages for the tests: what they need beyond Node.js, npm and apt.
 *
 * `tests/run.ts` installs all of them before it starts. A test asks for its own
 * again, so that it also runs alone; that costs one `dpkg-query`.
 */
import { runProgram } from "./process.ts";

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

/** Installing packages takes turns: between test files that run at once, and between runs. */
const lockFile = "/run/lock/staps-test-packages";

/** How long that may take with waiting for its turn, in milliseconds. */
const installTimeoutMs = 20 * 60 * 1000;

/**
 * Installs the packages "$@", and denies services their start meanwhile:
 * Debian's invoke-rc.d and deb-systemd-invoke ask policy-rc.d, 101 means no
 * (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
 */
const script = `
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
policy=/usr/sbin/policy-rc.d
mark="# Put here by the tests of staps while they install packages"
# The administrator's own policy stays. One with our mark was left by a run that
# was killed, and is ours to remove.
if [ ! -e $policy ] || grep -qF "$mark" $policy; then
  trap "rm -f $policy" EXIT
  printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" >$policy
  chmod 755 $policy
fi
apt() { apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }
# The package lists are absent on a fresh image, and get out of date.
apt install --yes --no-install-recommends "$@" || {
  apt update
  apt install --yes --no-install-recommends "$@"
}
`;

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
  const needed = await missing(names);
  if (needed.length === 0) return;
  const what = `the Debian packages "${needed.join('", "')}"`;
  if (Deno.uid() !== 0) {
    throw new Error(
      `Cannot install ${what}: got user id ${Deno.uid()}, expected root`,
    );
  }
  const { code, stdout, stderr } = await runProgram("flock", [
    ...[lockFile, "sh", "-c", script, "sh", ...needed],
  ], { timeoutMs: installTimeoutMs, detached: true });
  if (code !== 0) {
    throw new Error(`Cannot install ${what}:\n${stdout}${stderr}`);
  }
}

/** Gets those of `names` that dpkg doesn't call installed. */
async function missing(names: readonly TestPackage[]): Promise<TestPackage[]> {
  const { stdout } = await runProgram("dpkg-query", [
    ...["--show", "--showformat=${Package} ${db:Status-Status}\n", ...names],
  ]);
  // It exits with 1 as soon as one of them is unknown, and still lists the others.
  const installed = new Set(stdout.split("\n"));
  return names.filter((name) => !installed.has(`${name} installed`));
}
