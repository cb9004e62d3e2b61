/** Who may import whom, and which package is known to which file. */
import assert from "node:assert/strict";
import denoJson from "../deno.json" with { type: "json" };
import { dirname, join, normalize } from "node:path/posix";
import { block } from "./helpers/docs.ts";
import { repository } from "../tools/process.ts";

/**
 * The folders of src/, and what each may import beside its own files, as
 * docs/architecture.md has it: folders, or single files of them. `all but X`
 * stands for every folder, and `node`, but X.
 */
const rules: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  (await block("docs/architecture.md", "rules")).trim().split("\n")
    .map((line) => line.split(/ {2,}|, (?:and )?/))
    .map(([folder, ...may]) => [folder, may]),
);

/** What a rule says where types may be imported from everywhere: whose options they are. */
const types = "types that others declare for their own options";

/** A file that imports. */
interface Source {
  /** Its path in the repository. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly {
    /** A path in the repository, a `node:` module or a package. */
    readonly name: string;
    /** Whether it takes types only: nothing is left of that when it runs. */
    readonly isType: boolean;
  }[];
}

const importPattern =
  /^(?:import|export)\b( type\b)?[^"';]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm;

async function readSource(path: string): Promise<Source> {
  const text = await Deno.readTextFile(`${repository}/${path}`);
  const imports = Array.from(
    text.matchAll(importPattern),
    ([, type, from, bare, dynamic]) => {
      const name = (from ?? bare ?? dynamic)!;
      const isFile = name.startsWith(".");
      return {
        name: isFile ? normalize(join(path, "..", name)) : name,
        isType: type !== undefined,
      };
    },
  );
  return { path, text, imports };
}

/** Reads the TypeScript files in a folder and those in it; at the top, of its own only. */
async function* readSources(folder: string): AsyncGenerator<Source> {
  for await (const entry of Deno.readDir(`${repository}/${folder}`)) {
    const path = `${folder}${entry.name}`;
    if (entry.isFile && path.endsWith(".ts")) yield await readSource(path);
    else if (entry.isDirectory && folder !== "") yield* readSources(`${path}/`);
  }
}

const sources: Source[] = [];
for (const folder of ["", "src/", "tests/", "scripts/", "bench/", "tools/"]) {
  sources.push(...await Array.fromAsync(readSources(folder)));
}
const program = sources.filter(({ path }) => path.startsWith("src/"));

/** Checks that `files` import only what `isAllowed` lets them. */
function checkImports(
  files: readonly Source[],
  isAllowed: (
    source: Source,
    imported: Source["imports"][number],
  ) => boolean,
): void {
  const problems = files.flatMap((source) =>
    source.imports.filter((imported) => !isAllowed(source, imported))
      .map(({ name }) => `${source.path} may not import ${name}`)
  );
  assert.deepEqual(problems, []);
}

/** Gets the path of a file of `src/` in there, such as `relay/client`, and its folder; `node` is one by itself. */
function placeOf(path: string): { name: string; folder: string } {
  const name = path.replace(/^src\//, "").replace(/\.ts$/, "");
  return { name, folder: name.split("/")[0]! };
}

Deno.test("every file of src/ is in a folder with rules, and imports only what they allow", () => {
  checkImports(program, ({ path }, { name: imported, isType }) => {
    const { folder } = placeOf(path);
    assert.ok(rules[folder], `${path} is in no folder with rules: see above`);
    const target = placeOf(imported);
    if (!imported.endsWith(".ts") || target.folder === folder) return true;
    if (isType && rules[folder].includes(types)) return true;
    return rules[folder].some((rule) =>
      rule.startsWith("all but ")
        ? rule !== `all but ${target.folder}`
        : [target.name, target.folder].includes(rule)
    );
  });
});

/**
 * What files outside src/ may import beside src/ and their own folder, by the
 * beginning of their path; the last one that fits counts. Folders of tests
 * share nothing but what is in helpers; soak and matrix are runs of chaos.
 */
const rulesOutside: Readonly<Record<string, readonly string[]>> = {
  "scripts/": ["scripts/", "main.ts"],
  "tools/": ["tools/"],
  "bench/": ["bench/", "tools/", "scripts/"],
  "tests/": ["tests/helpers/", "tools/", "scripts/", "main.ts"],
  "tests/bench/": ["tests/helpers/", "tools/", "bench/"],
  "tests/floods/": ["tests/helpers/", "tests/chaos/", "tools/", "scripts/"],
  "tests/matrix/": ["tests/helpers/", "tests/chaos/", "tools/"],
  "tests/soak/": ["tests/helpers/", "tests/chaos/", "tools/", "scripts/"],
};

Deno.test("tests and bench share what is in tools/, and folders of tests what is in helpers/", () => {
  checkImports(sources, ({ path }, { name }) => {
    const place = Object.keys(rulesOutside)
      .findLast((each) => path.startsWith(each));
    if (place === undefined || !name.endsWith(".ts")) return true;
    const [own = "none"] = /^tests\/[^/]+\//.exec(path) ?? [];
    return dirname(name) === dirname(path) ||
      ["src/", own, ...rulesOutside[place]!]
        .some((each) => name.startsWith(each));
  });
});

Deno.test("docs/architecture.md's steps are in the files that it names", async () => {
  const text = await Deno.readTextFile(`${repository}/docs/architecture.md`);
  const steps = Array.from(
    text.matchAll(/`([a-z_/]+\.ts)` `(#?\w+)\(\)`/g),
    ([, file, name]) => ({ path: `src/${file}`, name: name! }),
  );
  assert.ok(steps.length >= 12);
  for (const { path, name } of steps) {
    const text = program.find((source) => source.path === path)?.text ?? "";
    const declaration = new RegExp(`^  (?:async )?${name}\\(`, "m");
    assert.match(text, declaration, `${name}() isn't in ${path}`);
  }
});

Deno.test("no file loads itself, not through others either", () => {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    assert.ok(!way.includes(path), [...way, path].join(" imports "));
    if (done.has(path)) return;
    for (const { name, isType } of byPath.get(path)?.imports ?? []) {
      if (!isType) visit(name, [...way, path]);
    }
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
});

Deno.test("only main.ts ends the process, and a second signal or a bug", () => {
  const found = program.filter(({ text }) =>
    /\b(Deno|process)\.exit\(/.test(text)
  ).map(({ path }) => path);
  assert.deepEqual(found, ["src/system/signals.ts"]);
});

/** Packages with their versions, as `deno.json` has them. */
const packages: Readonly<Record<string, string>> = denoJson.imports;

// A benchmark's peers are programs of their own.
const ours = sources.filter(({ path }) => !path.startsWith("bench/"));

/** Whether `imported` is the package `name`, or a part of it. */
function isOf(name: string, imported: string): boolean {
  return imported === name || imported.startsWith(`${name}/`);
}

Deno.test("every package is pinned, and is imported in one file only of the program, and of the tests", () => {
  for (const [name, specifier] of Object.entries(packages)) {
    const [, version] = specifier.split(`npm:${name}@`);
    assert.match(version ?? "", /^\d+\.\d+\.\d+$/, specifier);
    const importers = ours.filter(({ imports }) =>
      imports.some((each) => isOf(name, each.name) && !each.isType)
    ).map(({ path }) => path);
    const folders = new Set(importers.map((path) => path.split("/")[0]));
    assert.equal(folders.size, importers.length, `${importers}: ${name}`);
  }
});

Deno.test("nothing is imported but files of this repository, node: modules and packages of deno.json", () => {
  checkImports(ours, (_, { name }) =>
    /\.(ts|json)$|^node:/.test(name) ||
    Object.keys(packages).some((each) => isOf(each, name)));
});

Deno.test("the README's table of dependencies has every package with its version, and no other", async () => {
  const readme = await Deno.readTextFile(`${repository}/README.md`);
  const rows = readme.matchAll(
    /^\| `([^`]+)` +\| (\d+\.\d+\.\d+) +\| [^|]{20,}\|$/gm,
  );
  assert.deepEqual(
    Array.from(rows, ([, name, version]) => `npm:${name}@${version}`).sort(),
    Object.values(packages).sort(),
  );
});

Deno.test("deno.lock names no host, so that it works with any registry", async () => {
  const lock = await Deno.readTextFile(`${repository}/deno.lock`);
  assert.doesNotMatch(lock, /https?:/);
});
