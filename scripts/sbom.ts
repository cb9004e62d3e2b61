/**
 * The bill of materials of a release (SBOM), as CycloneDX 1.5: every package of
 * `deno.lock` and the runtime, each with its licence, address (purl) and hash.
 */
import { version } from "../src/common/version.ts";
import { type Build, sha256, top } from "./compile.ts";

/** The licence of the runtime: packaging/copyright has its text. */
const runtimeLicence = "MIT";

/** A program or package (CycloneDX: component). */
export interface Component {
  readonly type: "application" | "library" | "platform";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  /** `excluded`: for development and tests only, not in what is released. */
  readonly scope?: "required" | "excluded";
  readonly purl: string;
  readonly licenses: readonly (
    | { readonly license: { readonly id: string } }
    | { readonly expression: string }
  )[];
  readonly hashes?: readonly {
    readonly alg: "SHA-256" | "SHA-512";
    /** In hexadecimal. */
    readonly content: string;
  }[];
}

/** The document. */
export interface Sbom {
  readonly bomFormat: "CycloneDX";
  readonly specVersion: "1.5";
  readonly version: 1;
  readonly metadata: {
    readonly timestamp: string;
    readonly component: Component;
  };
  readonly components: readonly Component[];
  readonly dependencies: readonly {
    readonly ref: string;
    readonly dependsOn: readonly string[];
  }[];
}

/** What is used of `deno.lock`. */
interface Lock {
  readonly npm: Readonly<
    Record<string, {
      readonly integrity: string;
      readonly dependencies?: readonly string[];
    }>
  >;
}

/** What is used of `deno info --json`, with and without a file. */
interface Info {
  readonly npmCache: string;
  /** What the program loads; packages are among its modules. */
  readonly modules: readonly { readonly npmPackage?: string }[];
}

/**
 * Gets the document.
 *
 * @param options `epoch`: its time in seconds; `build`: how the program was built.
 * @throws {Error} If a package can't be had, or has no licence.
 */
export async function makeSbom(
  { epoch, build }: { epoch: number; build: Build },
): Promise<Sbom> {
  const lock: Lock = JSON.parse(await Deno.readTextFile(`${top}/deno.lock`));
  // Everything of the lock into the cache, where the licences are.
  await deno("install", "--quiet", "--frozen");
  const { npmCache }: Info = JSON.parse(await deno("info", "--json"));
  const { modules }: Info = JSON.parse(
    await deno("info", "--json", `${top}/main.ts`),
  );
  const loaded = withDependencies(
    modules.flatMap(({ npmPackage }) => npmPackage ?? []),
    lock,
  );
  const libraries = await Promise.all(
    Object.entries(lock.npm).map(async ([id, { integrity }]) => {
      const { name, version } = splitId(id);
      return component({
        type: "library",
        name,
        version,
        scope: loaded.has(id) ? "required" : "excluded",
        licence: await licenceOf(`${name}/${version}`, npmCache),
        hashes: [hashOf(integrity)],
      });
    }),
  );
  const program = component({
    type: "application",
    name: "staps",
    version,
    licence: JSON.parse(await Deno.readTextFile(`${top}/deno.json`)).license,
    purl: `pkg:generic/staps@${version}`,
  });
  const runtime = component({
    type: "platform",
    name: "deno",
    version: Deno.version.deno,
    scope: "required",
    licence: runtimeLicence,
    // `deno compile` puts another file of the same version into the program.
    ...build === "self-extracting"
      ? {
        hashes: [{
          alg: "SHA-256",
          content: sha256(await Deno.readFile(Deno.execPath())),
        }],
      }
      : {},
  });
  const direct = libraries.filter(({ scope }) => scope === "required");
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      timestamp: new Date(epoch * 1000).toISOString(),
      component: program,
    },
    components: [runtime, ...libraries],
    dependencies: [
      {
        ref: program["bom-ref"],
        dependsOn: [runtime, ...direct].map((each) => each["bom-ref"]),
      },
      { ref: runtime["bom-ref"], dependsOn: [] },
      ...Object.entries(lock.npm).map(([id, { dependencies = [] }]) => ({
        ref: npmPurl(splitId(id)),
        dependsOn: dependencies.map((name) =>
          npmPurl(splitId(lockKey(name, Object.keys(lock.npm))))
        ),
      })),
    ],
  };
}

/** Gets the packages `ids` of the lock, and those that they depend on. */
function withDependencies(
  ids: readonly string[],
  { npm }: Lock,
): ReadonlySet<string> {
  const found = new Set(ids);
  for (const id of found) {
    for (const dependency of npm[id]?.dependencies ?? []) {
      found.add(lockKey(dependency, Object.keys(npm)));
    }
  }
  return found;
}

/** Gets which of `keys` a dependency in the lock means: `name`, or `name@version` if there are several. */
function lockKey(dependency: string, keys: readonly string[]): string {
  const key = keys.find((key) =>
    key === dependency || splitId(key).name === dependency
  );
  if (key === undefined) throw new Error(`deno.lock lacks "${dependency}"`);
  return key;
}

function component(
  { licence, purl, hashes, ...rest }:
    & Pick<Component, "type" | "name" | "version" | "scope" | "hashes">
    & { readonly licence: string; readonly purl?: string },
): Component {
  const address = purl ?? npmPurl(rest);
  return {
    ...rest,
    "bom-ref": address,
    purl: address,
    licenses: [
      /\s/.test(licence)
        ? { expression: licence }
        : { license: { id: licence } },
    ],
    ...hashes && { hashes },
  };
}

/** Takes the key of a package in the lock apart, such as `ws@8.23.0`. */
function splitId(id: string): { name: string; version: string } {
  const at = id.lastIndexOf("@");
  return { name: id.slice(0, at), version: id.slice(at + 1) };
}

/** Gets a package's address (purl-spec: type npm). */
function npmPurl({ name, version }: { name: string; version: string }): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** Turns Subresource Integrity (W3C) into a hash. */
function hashOf(
  integrity: string,
): { alg: "SHA-512"; content: string } {
  const [, base64] = /^sha512-(.+)$/.exec(integrity) ?? [];
  if (base64 === undefined) {
    throw new Error(`Cannot use the hash "${integrity}": expected sha512`);
  }
  return { alg: "SHA-512", content: Uint8Array.fromBase64(base64).toHex() };
}

/** Gets the licence that a package in the cache says it has, as SPDX names it. */
async function licenceOf(folder: string, npmCache: string): Promise<string> {
  // One folder for each registry.
  for await (const { name } of Deno.readDir(npmCache)) {
    try {
      const { license } = JSON.parse(
        await Deno.readTextFile(`${npmCache}/${name}/${folder}/package.json`),
      );
      if (typeof license === "string") return license;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`Cannot find the licence of ${folder}`);
}

async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: top,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (!success) {
    throw new Error(`deno ${args.join(" ")} failed:\n${text.decode(stderr)}`);
  }
  return text.decode(stdout);
}
