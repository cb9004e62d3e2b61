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

let older: StapsVersion | undefined;

/** Chooses what {@linkcode olderStaps} gets. For the start of a run. */
export async function useOlderStaps(
  folder: string,
  options: { denoVersion?: string | undefined },
): Promise<void> {
  const scripts = pathToFileURL(join(await Deno.realPath(folder), "scripts/"));
  const { permissions } = await import(`${scripts}permissions.ts`);
  // Versions up to the own listener had flags, too.
  const { runtimeEnvironment, runtimeFlags = [] } = await import(
    `${scripts}runtime_environment.ts`
  );
  older = {
    folder: await Deno.realPath(folder),
    deno: await denoPath(options.denoVersion),
    environment: runtimeEnvironment,
    flags: [...runtimeFlags, ...permissions],
  };
}

/** Whether there is an older staps in this run. */
export function hasOlderStaps(): boolean {
  return older !== undefined;
}

/**
 * Gets the older staps.
 *
 * @throws {Error} If none was chosen.
 */
export function olderStaps(): StapsVersion {
  if (older === undefined) {
    throw new Error("Cannot measure an older staps: expected --before FOLDER");
  }
  return older;
}

/** Gets the path of Deno in that version, from npm; of this one without a version. */
async function denoPath(version: string | undefined): Promise<string> {
  if (version === undefined) return Deno.execPath();
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
