/** Another version of staps, to be measured beside this one: a folder with its files, and its Deno. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** A version of staps, and what it is started with. */
export interface StapsVersion {
  /** The folder of its repository. */
  readonly folder: string;
  /** The program that runs it. */
  readonly deno: string;
  /** What its `deno task start` gives the runtime. */
  readonly environment: Readonly<Record<string, string>>;
  readonly flags: readonly string[];
}

/** The older staps of this run, if there is one: from {@linkcode useOlderStaps}. */
export let olderStaps: StapsVersion | undefined;

/** Makes the staps in `path` part of this run, on a Deno from npm if its version is given. */
export async function useOlderStaps(
  path: string,
  denoVersion: string | undefined,
): Promise<void> {
  const folder = await Deno.realPath(path);
  const scripts = pathToFileURL(join(folder, "scripts/"));
  const { permissions } = await import(`${scripts}permissions.ts`);
  // Versions up to the own listener had flags, too.
  const { runtimeEnvironment, runtimeFlags = [] } = await import(
    `${scripts}runtime_environment.ts`
  );
  olderStaps = {
    folder,
    deno: denoVersion === undefined
      ? Deno.execPath()
      : await denoPath(denoVersion),
    environment: runtimeEnvironment,
    flags: [...runtimeFlags, ...permissions],
  };
}

/** Gets the path of Deno in that version, from npm. */
async function denoPath(version: string): Promise<string> {
  // The program itself: npx would be a process of the server, and be measured.
  const { code, stdout } = await new Deno.Command("npx", {
    args: ["--yes", `deno@${version}`, "eval", "console.log(Deno.execPath())"],
    stderr: "inherit",
  }).output();
  if (code !== 0) {
    throw new Error(`Cannot get Deno ${version}: npm's reason stands above`);
  }
  return new TextDecoder().decode(stdout).trim();
}
