/** Gets the peers that come from npm, into a cache of our own. */
import { join } from "node:path";

// What the package `bun` chooses between, without its install script. The
// baseline runs on every x86-64.
const bun = Deno.build.arch === "aarch64"
  ? "@oven/bun-linux-aarch64"
  : "@oven/bun-linux-x64-baseline";

/** The peers from npm, pinned: a result can be repeated. */
const packages = { ws: "8.23.0", [bun]: "1.4.5" };

/** Gets the command line of one of the scripts in bench/peers, with what it runs on installed. */
export async function npmPeer(name: "ws" | "bun"): Promise<string[]> {
  const caches = Deno.env.get("XDG_CACHE_HOME") ??
    join(Deno.env.get("HOME") ?? "/root", ".cache");
  const folder = join(caches, "staps-bench");
  await Deno.mkdir(folder, { recursive: true });
  await install(folder);
  // Node and Bun look for packages in the folders above the script.
  const script = join(folder, `${name}.mjs`);
  await Deno.copyFile(
    new URL(`peers/${name}.mjs`, import.meta.url),
    script,
  );
  const program = name === "ws"
    ? "node"
    : join(folder, "node_modules", bun, "bin", "bun");
  return [program, script];
}

/** Installs {@linkcode packages} in `folder`, unless they are there. */
async function install(folder: string): Promise<void> {
  const file = join(folder, "package.json");
  const wanted = JSON.stringify({ private: true, dependencies: packages });
  if (await Deno.readTextFile(file).catch(() => "") === wanted) return;
  await Deno.writeTextFile(file, wanted);
  const args = "install --no-audit --no-fund --ignore-scripts --loglevel=error";
  const { success } = await new Deno.Command("npm", {
    args: args.split(" "),
    cwd: folder,
    stdout: "null",
  }).output();
  if (success) return;
  await Deno.remove(file);
  throw new Error(
    `Cannot install the peers from npm in "${folder}": npm's reason stands above`,
  );
}
