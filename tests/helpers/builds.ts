/** The executable and the Debian package, made once for all tests of a run: each takes seconds of all processors. */
import { compile } from "../../scripts/compile.ts";
import { makePackage } from "../../scripts/deb.ts";
import { exists } from "../../tools/folder.ts";

/** Gets the path of the self-extracting executable. */
export function builtExecutable(): Promise<string> {
  return once(
    "executable",
    (folder) => compile({ output: `${folder}/staps`, selfExtracting: true }),
  );
}

/** Gets the path of the Debian package. */
export function builtPackage(): Promise<string> {
  return once(
    "package",
    (output) => makePackage({ output, fast: true, selfExtracting: true }),
  );
}

/** Gets the one file that `make` puts into a folder; nobody may change it. */
async function once(
  name: string,
  make: (folder: string) => Promise<unknown>,
): Promise<string> {
  const folder = `${await folderOfRun()}/${name}`;
  using lock = await Deno.open(`${folder}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (!await exists(folder)) {
    await make(`${folder}.new`);
    await Deno.rename(`${folder}.new`, folder);
  }
  const [file] = await Array.fromAsync(Deno.readDir(folder));
  return `${folder}/${file!.name}`;
}

let ownFolder: string | undefined;

/** Gets the folder that `tests/run.ts` makes for all files; those that run without it have one of their own. */
async function folderOfRun(): Promise<string> {
  const ofRun = `${Deno.env.get("TMPDIR")}/builds`;
  if (await exists(ofRun)) return ofRun;
  if (ownFolder === undefined) {
    const made = ownFolder = Deno.makeTempDirSync({ prefix: "staps-builds-" });
    Deno.chmodSync(made, 0o755);
    globalThis.addEventListener(
      "unload",
      () => Deno.removeSync(made, { recursive: true }),
    );
  }
  return ownFolder;
}
