/** Who may import whom, and which package is known to which file. */
import assert from "node:assert/strict";
import { dirname, join, normalize } from "node:path/posix";
import { block } from "./helpers/docs.ts";
import { repository } from "../tools/process.ts";

/**
 * The folders of src/, and what each may import beside its own files: folders,
 * or single files of them. `all but X` stands for every folder, and `node`, but X.
 * docs/architecture.md has the same lines.
 */
const rules: Readonly<Record<string, readonly string[]>> = {
  common: [],
  listener: ["common"],
  relay: ["common", "listener"],
  amqp: ["common", "relay/bridge", "relay/message", "relay/channel_hash"],
  settings: ["common"],
  system: ["common"],
  admin: ["common", "relay", "system"],
  commands: ["all but node"],
  node: ["all but commands"],
};

/** A file that imports. */
interface Source {
  /** Its path in the repository. */
  readonly path: string;
  readonly text: string;
  /** What it imports: paths in the repository, `node:` modules and packages. */
  readonly imports: readonly string[];
  /** Those of `imports` of which it takes types only: nothing is left of them when it runs. */
  readonly typesOnly: ReadonlySet<string>;
}

const sources = await readSources();
const program = sources.filter(({ path }) => path.startsWith("src/"));

async function readSources(): Promise<Source[]> {
  const found: Source[] = [];
  for (const folder of ["", "src/", "tests/", "scripts/", "bench/", "tools/"]) {
    for await (const path of typeScriptFiles(folder)) {
      const text = await Deno.readTextFile(`${repository}/${path}`);
      const imports = Array.from(
        text.matchAll(
          /^(?:import|export)\b( type\b)?[^"';]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm,
        ),
        ([, type, from, bare, dynamic]) => {
          const name = (from ?? bare ?? dynamic)!;
          return {
            name: name.startsWith(".")
              ? normalize(join(path, "..", name))
              : name,
            isType: type !== undefined,
          };
        },
      );
      found.push({
        path,
        text,
        imports: imports.map(({ name }) => name),
        typesOnly: new Set(
          imports.filter(({ isType }) => isType).map(({ name }) => name),
        ),
      });
    }
  }
  return found;
}

/** Gets the paths of TypeScript files in a folder and those in it; at the top, of its own only. */
async function* typeScriptFiles(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(`${repository}/${folder}`)) {
    const path = `${folder}${entry.name}`;
    if (entry.isFile && path.endsWith(".ts")) yield path;
    else if (entry.isDirectory && folder !== "") {
      yield* typeScriptFiles(`${path}/`);
    }
  }
}

/** Gets the name of a file of `src/`, such as `relay/client`. */
function nameOf(path: string): string {
  return path.replace(/^src\//, "").replace(/\.ts$/, "");
}

/** Gets the folder of a file of `src/`; `node` is one by itself. */
function folderOf(name: string): string {
  return name.split("/")[0]!;
}

function isAllowed(folder: string, target: string): boolean {
  const targetFolder = folderOf(target);
  if (targetFolder === folder) return true;
  return rules[folder]!.some((rule) =>
    rule.startsWith("all but ")
      ? targetFolder !== rule.slice("all but ".length)
      : [target, targetFolder].includes(rule)
  );
}

Deno.test("every file of src/ is in a folder with rules, and imports only what they allow", () => {
  const problems = [];
  for (const { path, imports, typesOnly } of program) {
    const folder = folderOf(nameOf(path));
    if (rules[folder] === undefined) {
      problems.push(`${path} is in no folder with rules: see this test`);
      continue;
    }
    for (const imported of imports) {
      if (!imported.endsWith(".ts")) continue;
      // Settings are of the types that those declare for whom they are.
      if (folder === "settings" && typesOnly.has(imported)) continue;
      if (!isAllowed(folder, nameOf(imported))) {
        problems.push(`${path} may not import ${imported}`);
      }
    }
  }
  assert.deepEqual(problems, []);
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
  const problems = [];
  for (const { path, imports } of sources) {
    const rule = Object.keys(rulesOutside).findLast((each) =>
      path.startsWith(each)
    );
    if (rule === undefined) continue;
    const [, own = "none"] = /^(tests\/[^/]+\/)/.exec(path) ?? [];
    const may = ["src/", own, ...rulesOutside[rule]!];
    for (const imported of imports) {
      if (
        imported.endsWith(".ts") && dirname(imported) !== dirname(path) &&
        !may.some((each) => imported.startsWith(each))
      ) problems.push(`${path} may not import ${imported}`);
    }
  }
  assert.deepEqual(problems, []);
});

Deno.test("docs/architecture.md has the same rules", async () => {
  const text = await block("docs/architecture.md", "rules");
  const documented = text.trim().split("\n").map((line) => line.split(/ {2,}/));
  assert.deepEqual(
    documented,
    Object.entries(rules).map(([folder, may]) => [
      folder,
      folder === "settings"
        ? "common, and types that others declare for their own options"
        : may.join(", ") || "nothing",
    ]),
  );
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
  const importsOf = new Map(
    sources.map(({ path, imports, typesOnly }) => [
      path,
      imports.filter((name) => !typesOnly.has(name)),
    ]),
  );
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    assert.ok(!way.includes(path), [...way, path].join(" imports "));
    if (done.has(path)) return;
    for (const next of importsOf.get(path) ?? []) visit(next, [...way, path]);
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

/** What `deno.json` says of packages: their names, versions included. */
interface Manifest {
  readonly imports: Readonly<Record<string, string>>;
}

const manifest: Manifest = JSON.parse(
  await Deno.readTextFile(`${repository}/deno.json`),
);

Deno.test("every package is pinned, and is imported in one file only", () => {
  for (const [name, specifier] of Object.entries(manifest.imports)) {
    assert.match(specifier, /^npm:(@[\w-]+\/)?[\w-]+@\d+\.\d+\.\d+$/);
    assert.ok(specifier.startsWith(`npm:${name}@`), specifier);
    const importers = sources.filter(({ path, imports, typesOnly }) =>
      // A benchmark's peers are programs of their own.
      !path.startsWith("bench/") &&
      imports.some((each) =>
        (each === name || each.startsWith(`${name}/`)) && !typesOnly.has(each)
      )
    ).map(({ path }) => path);
    assert.ok(
      importers.length <= 1,
      `${name} is imported by ${importers.join(", ")}, expected one file`,
    );
  }
});

Deno.test("nothing is imported but files of this repository, node: modules and packages of deno.json", () => {
  const problems = [];
  for (const { path, imports } of sources) {
    if (path.startsWith("bench/")) continue;
    for (const name of imports) {
      const known = /\.(ts|json)$/.test(name) || name.startsWith("node:") ||
        Object.keys(manifest.imports).some((each) =>
          name === each || name.startsWith(`${each}/`)
        );
      if (!known) problems.push(`${path} imports ${name}`);
    }
  }
  assert.deepEqual(problems, []);
});

Deno.test("the README's table of dependencies has every package with its version, and no other", async () => {
  const readme = await Deno.readTextFile(`${repository}/README.md`);
  const rows = readme.matchAll(
    /^\| `([^`]+)` +\| (\d+\.\d+\.\d+) +\| [^|]{20,}\|$/gm,
  );
  assert.deepEqual(
    Array.from(rows, ([, name, version]) => `npm:${name}@${version}`).sort(),
    Object.values(manifest.imports).sort(),
  );
});

Deno.test("deno.lock names no host, so that it works with any registry", async () => {
  const lock = await Deno.readTextFile(`${repository}/deno.lock`);
  assert.doesNotMatch(lock, /https?:/);
});
