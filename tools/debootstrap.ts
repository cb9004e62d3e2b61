/**
 * Small Debian systems in folders of their own, made once by debootstrap and
 * kept between runs in `XDG_CACHE_HOME` or /var/cache.
 *
 * Packages come from the mirror that this machine's apt has.
 */
import { exists } from "./folder.ts";
import { ensurePackages } from "./packages.ts";
import { runOrThrow, runProgram } from "./process.ts";

/** How long debootstrap may take, in milliseconds: it downloads 80 MB, and other tests run. */
const debootstrapTimeoutMs = 8 * 60_000;
/** How long removing a system may take, in milliseconds: it has 300 MB. */
const removeTimeoutMs = 4 * 60_000;

/** What a system is made of. */
export interface DebianRecipe {
  /** Debian's name of the release; by default this machine's own. */
  readonly suite?: string;
  /** Changes with everything that is done to the system, so that an old one isn't used. */
  readonly version: number;
  /** What it has beyond Debian's minimum, without recommended packages. */
  readonly packages: readonly string[];
  /** Does the rest, once the packages are in `root`. */
  readonly finish?: (root: string) => Promise<void>;
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
 * that want it at the same time wait for each other. Nobody may change it.
 *
 * @throws {Error} If it can't be made: not root, no Debian, no network.
 */
export async function debianSystem(recipe: DebianRecipe): Promise<string> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
    throw new Error("debootstrap takes Linux and root");
  }
  await ensurePackages(["debootstrap"]);
  const { suite: hostSuite, mirror } = await hostDebian();
  const suite = recipe.suite ?? hostSuite;
  const path = `${await systemsFolder()}/${suite}-${recipe.version}`;
  using lock = await Deno.open(`${path}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await exists(path)) return path;
  const unfinished = `${path}.new`;
  const remove = (...paths: string[]): Promise<void> =>
    runOrThrow("rm", ["-rf", ...paths], { timeoutMs: removeTimeoutMs });
  await remove(unfinished);
  // What it mounts in there ends with it, even if it is killed.
  await runOrThrow("unshare", [
    "--mount",
    "debootstrap",
    "--variant=minbase",
    `--include=${recipe.packages.join(",")}`,
    suite,
    unfinished,
    mirror,
  ], {
    timeoutMs: debootstrapTimeoutMs,
    // This one's may not exist in there.
    env: { TMPDIR: "/tmp", ...await aptProxy() },
  });
  await remove(`${unfinished}/var/cache/apt`);
  await recipe.finish?.(unfinished);
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
