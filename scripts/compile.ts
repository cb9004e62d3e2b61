/**
 * Makes one executable of staps, `dist/staps`, which needs no Deno, no Node.js
 * and no source.
 *
 *     deno task compile [--self-extracting]
 *
 * By `deno compile` where its base runtime can be had, which comes from
 * dl.deno.land; otherwise, or if told to, a self-extracting file of what npm
 * has: `launcher.sh`, this very runtime, and the program as a few scripts.
 */
import { createHash } from "node:crypto";
import { version } from "../src/common/version.ts";
import { notices } from "./notices.ts";
import { permissions } from "./permissions.ts";
import { shellEnvironment } from "./runtime_environment.ts";

/** The repository's top folder. */
export const top = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** How long dl.deno.land may take to answer at all, in milliseconds. */
const probeMs = 5_000;
/** How long `deno compile` may take, with a download of 40 MB, in milliseconds. */
const compileMs = 5 * 60_000;

/**
 * Flags for V8. By default it finds out where in the source an instruction is
 * when an error is made, by parsing all of the program again: that is a quarter
 * of the start-up, and costs something for each error later.
 */
const engineFlags = "--v8-flags=--no-enable-lazy-source-positions";

/** Flags with which a runtime runs the bundled program, and nothing else: no download, no configuration. */
export const runFlags: readonly string[] = [
  "run",
  "--quiet",
  "--no-config",
  "--no-lock",
  "--no-check",
  "--no-remote",
  "--no-npm",
  "--cached-only",
  engineFlags,
  ...permissions,
];

/** How an executable was built. */
export type Build = "deno compile" | "self-extracting";

/** What {@linkcode compile} takes. */
export interface CompileOptions {
  /** The executable's path. */
  readonly output: string;
  /** Whether not to try `deno compile`. */
  readonly selfExtracting?: boolean;
  /** What runs the program in a self-extracting file: this runtime, unless a test has something small. */
  readonly runtime?: string;
  /** Whether to make a self-extracting file where `deno compile` can't; yes. */
  readonly fallback?: boolean;
  /** Tells people what happens. */
  readonly print?: (line: string) => void;
}

/** Makes the executable, and tells how it was built, or would have been without `fallback`. */
export async function compile(
  {
    output,
    selfExtracting = false,
    runtime = Deno.execPath(),
    fallback = true,
    print = () => {},
  }: CompileOptions,
): Promise<Build> {
  await Deno.mkdir(output.replace(/[^/]*$/, "") || ".", { recursive: true });
  if (!selfExtracting) {
    const obstacle = await tryCompile(output);
    if (obstacle === undefined) return "deno compile";
    print(`deno compile isn't possible here: ${obstacle}`);
    print("Using this runtime and a bundle instead");
  }
  if (fallback) await makeSelfExtracting(output, runtime);
  return "self-extracting";
}

/** Runs `deno compile`, or tells why it can't. */
async function tryCompile(output: string): Promise<string | undefined> {
  // The runtime waits long for a host that doesn't answer.
  const base =
    `https://dl.deno.land/release/v${Deno.version.deno}/denort-${Deno.build.target}.zip`;
  try {
    const response = await fetch(base, {
      method: "HEAD",
      signal: AbortSignal.timeout(probeMs),
    });
    if (!response.ok) return `${base} answers ${response.status}`;
  } catch (error) {
    const { message } = error as Error;
    return `${base} can't be reached: ${message.replace(/^.*?\): /, "")}`;
  }
  const folder = await Deno.makeTempDir({ prefix: "staps-compile-" });
  try {
    // The same scripts as in the other executable, which load less at first.
    const scripts = Object.entries(await bundle("deno compile"));
    for (const [name, script] of scripts) {
      await Deno.writeTextFile(`${folder}/${name}`, script);
    }
    const { success, stderr } = await run([
      "compile",
      "--quiet",
      "--no-check",
      engineFlags,
      ...permissions,
      `--include=${folder}/notices.txt`,
      `--output=${output}`,
      `${folder}/staps.js`,
    ], compileMs);
    return success ? undefined : stderr.trim().split("\n")[0];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function makeSelfExtracting(
  output: string,
  runtime: string,
): Promise<void> {
  const label = `self-extracting, deno ${Deno.version.deno}`;
  const files = [
    // By this name processes are listed.
    { name: "staps", content: await Deno.readFile(runtime) },
    ...Object.entries(await bundle(label)).map(([name, text]) => ({
      name,
      content: new TextEncoder().encode(text),
    })),
  ];
  const parts = await Promise.all(files.map(async ({ name, content }) => ({
    name,
    hash: sha256(content),
    packed: await gzip(content),
  })));
  const all = parts.map(({ name, hash }) => `${hash} ${name}`).join("\n");
  const template = await Deno.readTextFile(`${top}/scripts/launcher.sh`);
  const launcher = (start: number): Uint8Array<ArrayBuffer> => {
    let at = start + 1;
    const lines = parts.map(({ name, hash, packed }) => {
      // Numbers have a fixed width, so that the length doesn't depend on them.
      const line = `${name} ${decimal(at)} ${decimal(packed.length)} ${hash}`;
      at += packed.length;
      return line;
    });
    return new TextEncoder().encode(fill(template, {
      VERSION: version,
      TARGET: Deno.build.target,
      ARCH: Deno.build.arch,
      DENO: Deno.version.deno,
      FILES: lines.join("\n"),
      NAMES: parts.map(({ name }) => name).join(" "),
      CONTENT: `${version}-${
        sha256(new TextEncoder().encode(all)).slice(0, 16)
      }`,
      ENVIRONMENT: shellEnvironment,
      FLAGS: runFlags.join(" "),
    }));
  };
  const header = launcher(launcher(0).length);
  // Never half a file under the name, and never one that is being run.
  const unfinished = `${output}.new`;
  const file = await Deno.open(unfinished, {
    write: true,
    create: true,
    truncate: true,
  });
  await new Blob([header, ...parts.map(({ packed }) => packed)]).stream()
    .pipeTo(file.writable);
  await Deno.chmod(unfinished, 0o755);
  await Deno.rename(unfinished, output);
}

/**
 * Gets the program as scripts by file name, with everything they import:
 * `staps.js` is what to run, and the others are what it loads when needed;
 * `notices.txt` has the licences.
 * `build` is what `--version` says of how it was built.
 *
 * In one script, what few starts need (AMQP) would cost all of them.
 */
export async function bundle(build: string): Promise<Record<string, string>> {
  const folder = await Deno.makeTempDir({ prefix: "staps-bundle-" });
  try {
    const { success, stderr } = await run([
      "bundle",
      "--quiet",
      "--code-splitting",
      `--outdir=${folder}`,
      `${top}/main.ts`,
    ], compileMs);
    if (!success) throw new Error(`deno bundle failed:\n${stderr}`);
    const scripts: Record<string, string> = {
      "notices.txt": await notices(),
    };
    const entries = await Array.fromAsync(Deno.readDir(folder));
    for (const name of entries.map(({ name }) => name).sort()) {
      const script = loadLater(await Deno.readTextFile(`${folder}/${name}`));
      if (name === "main.js") {
        scripts["staps.js"] = `globalThis.stapsBuild = ${
          JSON.stringify(build)
        };\n${script}`;
      } else scripts[name] = script;
    }
    return scripts;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Makes `script` load modules of the runtime when it uses them first. commander
 * imports these for subcommands in programs of their own, which staps hasn't
 * got; loading them takes a third of the start-up.
 */
function loadLater(script: string): string {
  return script.replaceAll(
    /^import (\w+) from "(node:(?:child_process|fs))";$/gm,
    (_, name: string, module: string) =>
      `const ${name} = new Proxy({}, { get: (_, key) => ` +
      `process.getBuiltinModule(${JSON.stringify(module)})[key] });`,
  );
}

/** Replaces `@NAME@` by the value of that name. */
export function fill(
  template: string,
  values: Readonly<Record<string, string>>,
): string {
  return template.replaceAll(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`Nothing to put for @${name}@`);
    return value;
  });
}

/** Gets SHA-256 in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A number for the shell, always of the same width. */
function decimal(value: number): string {
  return String(value).padEnd(10);
}

/** Compresses without the time, so that the same input gives the same output. */
async function gzip(
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(
    new CompressionStream("gzip"),
  );
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function run(
  args: string[],
  timeoutMs: number,
): Promise<{ success: boolean; stderr: string }> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: top,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(timeoutMs),
  }).output();
  return { success, stderr: new TextDecoder().decode(stderr) };
}

/** Writes a line to standard output. */
export function print(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) {
  const output = `${top}/dist/staps`;
  const build = await compile({
    output,
    selfExtracting: Deno.args.includes("--self-extracting"),
    print,
  });
  const { size } = await Deno.stat(output);
  print(`dist/staps: ${Math.round(size / 1e6)} MB, built by ${build}`);
}
