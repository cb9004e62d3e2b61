/**
 * Makes the files of a release in `dist/release`: the Debian package, the one
 * executable, a list of what they contain (SBOM), the release notes and the
 * checksums of all of them.
 *
 *     deno task release [--tag vVERSION] [--output FOLDER] [--fast] [--self-extracting]
 *
 * `--tag` is what is released: it has to name the version, and CHANGELOG.md the
 * day. Without it this is a rehearsal. The others are those of `deno task deb`
 * and `compile`. The same source gives the same files, byte for byte;
 * `SOURCE_DATE_EPOCH` is their time, else that of the last commit.
 */
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { version } from "../src/common/version.ts";
import { type Build, compile, print, sha256, top } from "./compile.ts";
import { makePackage, sourceDate } from "./deb.ts";
import { withLinks } from "./deb_docs.ts";
import { makeSbom } from "./sbom.ts";

/** What {@linkcode makeRelease} takes. */
export interface ReleaseOptions {
  /** The folder for the files; what is in there is removed. */
  readonly output: string;
  /** The tag that is released, such as `v1.2.3`; `undefined` for a rehearsal. */
  readonly tag?: string | undefined;
  /** Whether time matters more than size. */
  readonly fast?: boolean;
  /** Whether not to try `deno compile`. */
  readonly selfExtracting?: boolean;
  /** Tells people what happens. */
  readonly print?: (line: string) => void;
}

/** Makes a release, and gets how its programs were built. */
export async function makeRelease(
  { output, tag, fast = false, selfExtracting = false, print = () => {} }:
    ReleaseOptions,
): Promise<Build> {
  // Before anything that takes long.
  const notes = releaseNotes(
    await Deno.readTextFile(`${top}/CHANGELOG.md`),
    { version, tag },
  );
  const epoch = await sourceDate();
  await Deno.remove(output, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await Deno.mkdir(output, { recursive: true });
  const name = `staps-${version}`;
  const executable = `${output}/${name}-${Deno.build.os}-${Deno.build.arch}`;
  const build = await compile({ output: executable, selfExtracting, print });
  await makePackage({
    output,
    fast,
    selfExtracting: build === "self-extracting",
    print,
  });
  await Deno.writeTextFile(
    `${output}/${name}.cdx.json`,
    JSON.stringify(await makeSbom({ epoch, build }), undefined, 2) + "\n",
  );
  await Deno.writeTextFile(`${output}/RELEASE_NOTES.md`, notes);
  await Deno.writeTextFile(`${output}/SHA256SUMS`, await checksums(output));
  return build;
}

/**
 * Gets what `changelog` says of a version, without the links to other pages,
 * which lead nowhere from a release.
 *
 * @throws {Error} If it says nothing, or `tag` isn't that version's, or the version has no day yet.
 */
export function releaseNotes(
  changelog: string,
  { version, tag }: { version: string; tag: string | undefined },
): string {
  if (tag !== undefined && tag !== `v${version}`) {
    throw new Error(
      `Cannot release "${tag}": deno.json has version ${version}, expected the tag "v${version}"`,
    );
  }
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) =>
    /^[^\s,]*/.exec(text)![0] === version
  );
  const [heading = "", ...lines] = section?.trim().split("\n") ?? [];
  const text = lines.join("\n").trim();
  if (text === "") {
    throw new Error(
      `Cannot find release notes: got no text under "## ${version}" in CHANGELOG.md, expected what has changed`,
    );
  }
  if (tag !== undefined && !/, \d{4}-\d{2}-\d{2}$/.test(heading)) {
    throw new Error(
      `Cannot release "${tag}": got the heading "${heading}" in CHANGELOG.md, expected "${version}, YYYY-MM-DD"`,
    );
  }
  const plain = withLinks(text, {
    page: "CHANGELOG.md",
    placeOf: () => undefined,
  });
  return `${plain}\n`;
}

/** Gets the checksums of all files in a folder, as sha256sum(1) reads them. */
async function checksums(folder: string): Promise<string> {
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  const lines = await Promise.all(
    names.sort().map(async (name) => {
      const content = await Deno.readFile(`${folder}/${name}`);
      return `${sha256(content)}  ${name}\n`;
    }),
  );
  return lines.join("");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      tag: { type: "string" },
      output: { type: "string", default: `${top}/dist/release` },
      fast: { type: "boolean" },
      "self-extracting": { type: "boolean" },
    },
  });
  const { output, tag, fast = false } = values;
  const build = await makeRelease({
    output,
    tag,
    fast,
    selfExtracting: values["self-extracting"] ?? false,
    print,
  });
  for (const { name } of Array.from(Deno.readDirSync(output)).sort(byName)) {
    print(`${basename(output)}/${name}`);
  }
  print(`The programs are ${build}; ${tag ?? "a rehearsal"}`);
}

function byName(a: Deno.DirEntry, b: Deno.DirEntry): number {
  return a.name < b.name ? -1 : 1;
}
