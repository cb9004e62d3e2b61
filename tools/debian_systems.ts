/**
 * The Debian systems that tests use beside this machine's own, each in a folder
 * that nobody may change. debootstrap makes one in a minute, with packages from
 * the mirror that this machine's apt has, and it is kept between runs in
 * `XDG_CACHE_HOME` or /var/cache.
 */
import { exists } from "./folder.ts";
import { ensurePackages } from "./packages.ts";
import { runOrThrow, runProgram } from "./process.ts";

/** What a system needs to boot, and a frontend as Debian has it. */
const packages = ["dbus", "nginx", "procps", "systemd", "systemd-sysv"];

/** Not ours to test, and slow to start. */
const masked = [
  "apt-daily-upgrade.timer",
  "apt-daily.timer",
  "console-getty.service",
  "e2scrub_all.timer",
  "epmd.service",
  "epmd.socket",
  "rabbitmq-server.service",
  "systemd-logind.service",
];

/** How long making a system may take, in milliseconds: it downloads 80 MB, and other tests run. */
const makeTimeoutMs = 8 * 60_000;

/** Gets the top folder of a system of this machine's own release, which can boot. */
export async function debian12(): Promise<string> {
  return debianSystem((await hostDebian()).suite, { version: 3, packages });
}

/** Gets the top folder of a Debian 13 that can boot, and has RabbitMQ 4.0. */
export function debian13(): Promise<string> {
  return debianSystem("trixie", {
    version: 2,
    packages: [...packages, "rabbitmq-server"],
    unneeded: ["var/lib/apt/lists", "usr/share/doc", "usr/share/locale"],
  });
}

/** Gets the folder in which systems are kept. */
export async function systemsFolder(): Promise<string> {
  const parent = Deno.env.get("XDG_CACHE_HOME") ?? "/var/cache";
  const folder = `${parent}/staps-tests`;
  await Deno.mkdir(folder, { recursive: true });
  return folder;
}

/**
 * Gets the top folder of a system, which is made if it is missing. Test files
 * that want it at the same time wait for each other. `version` changes with
 * everything that is done to the system, so that an old one isn't used.
 *
 * @throws {Error} If it can't be made: not root, no Debian, no network.
 */
async function debianSystem(
  suite: string,
  { version, packages, unneeded = [] }: {
    version: number;
    packages: readonly string[];
    unneeded?: readonly string[];
  },
): Promise<string> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
    throw new Error("debootstrap takes Linux and root");
  }
  await ensurePackages(["debootstrap"]);
  const path = `${await systemsFolder()}/${suite}-${version}`;
  using lock = await Deno.open(`${path}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await exists(path)) return path;
  const root = `${path}.new`;
  const run = (command: string, ...args: string[]): Promise<void> =>
    runOrThrow(command, args, {
      timeoutMs: makeTimeoutMs,
      // This one's may not exist in there.
      env: { TMPDIR: "/tmp", ...proxy },
    });
  const proxy = await aptProxy();
  await run("rm", "-rf", root);
  // What it mounts in there ends with it, even if it is killed.
  await run(
    ...["unshare", "--mount", "debootstrap", "--variant=minbase"] as const,
    ...[`--include=${packages.join(",")}`, suite, root],
    (await hostDebian()).mirror,
  );
  for (const folder of ["var/cache/apt", ...unneeded]) {
    await run("rm", "-rf", `${root}/${folder}`);
  }
  await run("chroot", root, "systemctl", "mask", ...masked);
  await run("chroot", root, "systemctl", "disable", "nginx.service");
  await Deno.rename(root, path);
  return path;
}

/** Gets which Debian the host is, and where it gets its packages from. */
async function hostDebian(): Promise<{ suite: string; mirror: string }> {
  const release = await Deno.readTextFile("/etc/os-release");
  const suite = release.match(/^VERSION_CODENAME=(.*)$/m)?.[1];
  if (!/^ID=debian$/m.test(release) || suite === undefined) {
    throw new Error("the host isn't Debian, so its mirror has no Debian");
  }
  const format = "$(SITE)\t$(RELEASE)\t$(COMPONENT)\t$(CREATED_BY)";
  const { stdout } = await runProgram("apt-get", [
    ...["indextargets", "--format", format],
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
  const args = ["shell", "proxy", "Acquire::http::Proxy"];
  const { stdout } = await runProgram("apt-config", args);
  const proxy = stdout.match(/^proxy='(.+)'$/m)?.[1];
  return proxy === undefined ? {} : { http_proxy: proxy };
}
