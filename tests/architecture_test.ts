/** Who may import whom, and which package is known to which file. */
import assert from "node:assert/strict";
import { join, normalize } from "node:path/posix";
import { repository } from "./helpers/process.ts";

/** A part of the program. */
interface Part {
  /** The files in it, as names in `src/` without `.ts`; `x/` is all of a folder. */
  readonly files: readonly string[];
  /** The parts, or single files, that it may import; itself always. */
  readonly mayImport: readonly string[];
}

/** A new file goes into one of these parts. docs/architecture.md explains them. */
const parts: Readonly<Record<string, Part>> = {
  words: {
    files: [
      "backlog",
      "channel_hash",
      "close",
      "errors",
      "histogram",
      "log",
      "message",
      "metrics",
      "near_miss",
      "terminal",
      "version",
    ],
    mayImport: [],
  },
  relay: {
    files: [
      "bridge",
      "channels",
      "client",
      "closing",
      "idle_timers",
      "handshake",
      "server",
      "unix_socket",
    ],
    mayImport: ["words"],
  },
  broker: {
    files: ["bridge/", "amqp_url"],
    mayImport: ["words", "bridge"],
  },
  settings: {
    files: [
      "cli",
      "config",
      "ini",
      "reference",
      "reload",
      "setting_types",
      "settings",
    ],
    mayImport: ["words", "amqp_url"],
  },
  process: {
    files: [
      "accounts",
      "daemon",
      "fd_limit",
      "permissions",
      "pid_file",
      "systemd",
    ],
    mayImport: ["words", "unix_socket"],
  },
  admin: {
    files: ["admin", "admin/", "commands/", "prometheus"],
    mayImport: ["words", "relay", "broker", "settings", "process"],
  },
};

/** A file that imports. */
interface Source {
  /** Its path in the repository. */
  readonly path: string;
  readonly text: string;
  /** What it imports: paths in the repository, `node:` modules and packages. */
  readonly imports: readonly string[];
}

const sources = await readSources();
const program = sources.filter(({ path }) => path.startsWith("src/"));

async function readSources(): Promise<Source[]> {
  const found: Source[] = [];
  const folders = ["", "src/", "tests/", "scripts/", "bench/"];
  for (const folder of folders) {
    for (const path of await typeScriptFiles(folder)) {
      const text = await Deno.readTextFile(`${repository}/${path}`);
      const imports = Array.from(
        text.matchAll(
          /^(?:import|export)\b[^"';]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm,
        ),
        ([, from, bare, dynamic]) => (from ?? bare ?? dynamic)!,
      );
      found.push({
        path,
        text,
        imports: imports.map((name) =>
          name.startsWith(".") ? normalize(join(path, "..", name)) : name
        ),
      });
    }
  }
  return found;
}

async function typeScriptFiles(folder: string): Promise<string[]> {
  const paths: string[] = [];
  try {
    for await (const entry of Deno.readDir(`${repository}/${folder}`)) {
      const path = `${folder}${entry.name}`;
      if (entry.isFile && entry.name.endsWith(".ts")) paths.push(path);
      else if (entry.isDirectory && folder !== "") {
        paths.push(...await typeScriptFiles(`${path}/`));
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return paths.sort();
}

/** Gets the name of a file of `src/` as in {@linkcode parts}. */
function nameOf(path: string): string {
  return path.replace(/^src\//, "").replace(/\.ts$/, "");
}

/** Gets the part that the file `name` is in. */
function partOf(name: string): string | undefined {
  return Object.keys(parts).find((part) =>
    parts[part]!.files.some((file) =>
      file.endsWith("/") ? name.startsWith(file) : name === file
    )
  );
}

Deno.test("every file of src/ is in a part of the program, and imports only what that part may", () => {
  const problems = [];
  for (const { path, imports } of program) {
    const name = nameOf(path);
    // `deno task dev` wraps the program.
    if (name === "dev") continue;
    const part = partOf(name);
    if (part === undefined) {
      problems.push(`${path} is in no part: add it to one in this test`);
      continue;
    }
    for (const imported of imports) {
      if (!imported.endsWith(".ts")) continue;
      const target = nameOf(imported);
      const allowed = [part, ...parts[part]!.mayImport];
      if (!allowed.includes(target) && !allowed.includes(partOf(target)!)) {
        problems.push(`${path} may not import ${imported}`);
      }
    }
  }
  assert.deepEqual(problems, []);
});

Deno.test("docs/architecture.md has the same table of parts", async () => {
  const text = await Deno.readTextFile(`${repository}/docs/architecture.md`);
  const rows = text.matchAll(/^\| (\w+) +\| ((?:`[^`]+` *)+)\| ([^|]*)\|/gm);
  const documented = Array.from(rows, ([, part, files, mayImport]) => [
    part,
    {
      files: files!.match(/[\w/]+/g)!.sort(),
      mayImport: mayImport!.match(/\w+/g)?.sort() ?? [],
    },
  ]);
  const expected = Object.entries(parts).map(([part, each]) => [
    part,
    { files: [...each.files].sort(), mayImport: [...each.mayImport].sort() },
  ]);
  assert.deepEqual(
    Object.fromEntries(documented),
    Object.fromEntries(expected),
  );
});

Deno.test("docs/architecture.md has every file of the bridge", async () => {
  const text = await Deno.readTextFile(`${repository}/docs/architecture.md`);
  const rows = text.matchAll(/^\| `(\w+\.ts)` +\|/gm);
  assert.deepEqual(
    Array.from(rows, ([, file]) => `src/bridge/${file}`).sort(),
    program.map(({ path }) => path)
      .filter((path) => path.startsWith("src/bridge/")).sort(),
  );
});

Deno.test("no file imports itself, not through others either", () => {
  const importsOf = new Map(
    sources.map(({ path, imports }) => [path, imports]),
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

Deno.test("channels know neither clients nor WebSockets, and nothing but main.ts knows how the broker is spoken to", () => {
  const importers = (pattern: RegExp): string[] =>
    program.filter(({ path, imports }) =>
      imports.some((name) => pattern.test(name) && !pattern.test(path))
    ).map(({ path }) => path);
  assert.deepEqual(importers(/^src\/client\.ts$/), ["src/server.ts"]);
  const channels = program.find(({ path }) => path === "src/channels.ts")!;
  assert.doesNotMatch(channels.text, /WebSocket|amqp/i);
  // `staps check` tries the broker as the server would.
  assert.deepEqual(
    importers(/^src\/bridge\//).filter((path) =>
      !path.startsWith("src/commands/")
    ),
    [],
  );
});

Deno.test("only main.ts ends the process", () => {
  const found = program.filter(({ text }) =>
    /\b(Deno|process)\.exit\(/.test(text)
  ).map(({ path }) => path);
  assert.deepEqual(found, []);
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
    const importers = sources.filter(({ path, imports }) =>
      // A benchmark's peers are programs of their own.
      !path.startsWith("bench/") &&
      imports.some((each) => each === name || each.startsWith(`${name}/`))
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
