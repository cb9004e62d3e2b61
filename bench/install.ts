/** Gets the peers that come from npm, into a cache of our own. */
import { join } from "node:path";

/** The peers from npm, pinned: a result can be repeated. */
export const npmPackages = {
  ws: "8.23.0",
  // What the package `bun` chooses between, without its install script. The
  // baseline runs on every x86-64.
  ...(Deno.build.arch === "aarch64"
    ? { "@oven/bun-linux-aarch64": "1.4.5" }
    : { "@oven/bun-linux-x64-baseline": "1.4.5" }),
} as const;

/** The folder that the packages from npm are kept in between runs, outside the repository. */
export function cacheFolder(): string {
  const caches = Deno.env.get("XDG_CACHE_HOME") ??
    join(Deno.env.get("HOME") ?? "/root", ".cache");
  return join(caches, "staps-bench");
}

let npmInstalled: Promise<void> | undefined;

/** Makes sure, once, that {@linkcode npmPackages} are there, and the scripts that import them beside them. */
export function ensureNpmPackages(): Promise<void> {
  return npmInstalled ??= installNpmPackages();
}

async function installNpmPackages(): Promise<void> {
  const folder = cacheFolder();
  await Deno.mkdir(folder, { recursive: true });
  const wanted = JSON.stringify({ private: true, dependencies: npmPackages });
  const file = join(folder, "package.json");
  const found = await Deno.readTextFile(file).catch(() => "");
  if (found !== wanted) {
    await Deno.writeTextFile(`${file}.new`, wanted);
    await Deno.rename(`${file}.new`, file);
    const args = [
      "install",
      "--no-audit",
      "--no-fund",
      "--ignore-scripts",
      "--loglevel=error",
    ];
    const { success } = await new Deno.Command("npm", {
      args,
      cwd: folder,
      stdout: "null",
    }).output();
    if (!success) {
      await Deno.remove(file);
      throw new Error(
        `Cannot install the peers from npm in "${folder}": npm's reason stands above`,
      );
    }
  }
  // Node and Bun look for packages in the folders above the script.
  for await (
    const { name } of Deno.readDir(new URL("peers/", import.meta.url))
  ) {
    if (name.endsWith(".mjs")) {
      await Deno.copyFile(
        new URL(`peers/${name}`, import.meta.url),
        join(folder, name),
      );
    }
  }
}

/** Gets the path of Bun's program. */
export function bunPath(): string {
  const name = Object.keys(npmPackages).find((name) =>
    name.startsWith("@oven/bun")
  )!;
  return join(cacheFolder(), "node_modules", name, "bin", "bun");
}
