/** Gets the peers' software: from npm into a cache of our own, from Debian with apt-get. */
import { join } from "node:path";

/** The peers from npm, pinned: a result can be repeated. */
export const npmPackages = {
  ws: "8.23.0",
  "socket.io": "4.8.4",
  // What the package `bun` chooses between, without its install script. The
  // baseline runs on every x86-64.
  ...(Deno.build.arch === "aarch64"
    ? { "@oven/bun-linux-aarch64": "1.4.5" }
    : { "@oven/bun-linux-x64-baseline": "1.4.5" }),
} as const;

/** The peers from Debian. */
export const debianPackages = [
  "nginx",
  "libnginx-mod-nchan",
  "mosquitto",
  "rabbitmq-server",
];

/** The folder that the packages from npm are kept in between runs, outside the repository. */
export function cacheFolder(): string {
  const caches = Deno.env.get("XDG_CACHE_HOME") ??
    join(Deno.env.get("HOME") ?? "/root", ".cache");
  return join(caches, "staps-bench");
}

/** Installs what is missing of {@linkcode npmPackages}, and copies the scripts that import it there. */
export async function installNpmPackages(): Promise<void> {
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

/** Installs what is missing of the Debian packages `names`. */
export async function installDebianPackages(
  names: readonly string[],
): Promise<void> {
  const missing: string[] = [];
  for (const name of names) {
    const args = ["-W", "-f", "${db:Status-Status}", name];
    const { stdout } = await new Deno.Command("dpkg-query", {
      args,
      stderr: "null",
    }).output();
    if (new TextDecoder().decode(stdout) !== "installed") missing.push(name);
  }
  if (missing.length === 0) return;
  const args = [
    "install",
    "--yes",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=300",
    ...missing,
  ];
  const { success } = await new Deno.Command("apt-get", {
    args,
    stdout: "null",
  }).output();
  if (!success) {
    throw new Error(
      `Cannot install ${missing.join(", ")}: apt-get's reason stands above`,
    );
  }
}
