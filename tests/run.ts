/**
 * The test command: installs what the tests need, checks format, lint and
 * types, runs every test, and ends with one line, `N passed, N failed`.
 *
 *     deno task test [PATTERN...] [-- --filter NAME]
 *
 * Files in which something fails are run once more, alone, if they are few: many
 * tests at the same time on a machine with other work may run out of time. What
 * passes then counts as passed, and is named as flaky.
 *
 * A PATTERN selects test files by a part of their path; an argument that begins
 * with `-` goes to `deno test`. With either, the checks are left out.
 *
 * The exit status is 0 if something passed and nothing failed, else 1.
 */
import { ensurePackages, testPackages } from "../tools/packages.ts";

/**
 * These measure memory or descriptors, or need the whole machine to keep up:
 * they run after the others, one at a time.
 */
const alone = [
  "tests/chaos/run_test.ts",
  "tests/e2e/load_test.ts",
  "tests/e2e/strangers_test.ts",
];

/**
 * These have clusters of brokers, which would make the others late: they run
 * after them.
 */
const waiting = [
  "tests/e2e/broker_loss_test.ts",
  "tests/e2e/split_cluster_test.ts",
  "tests/e2e/split_join_test.ts",
  "tests/chaos/chaos_test.ts",
];

/**
 * How many files run at the same time: most wait for a broker, a frontend or a
 * time limit for half of their time.
 */
const jobs = navigator.hardwareConcurrency + 1;

/** These run once more on the runtime's listener; what it can't do is skipped, see helpers/listener.ts. */
const onBothListeners = [
  "tests/relay/brake_test.ts",
  "tests/relay/limits_test.ts",
  "tests/relay/server_frames_test.ts",
  "tests/relay/server_requests_test.ts",
  "tests/relay/server_test.ts",
];

/** One phase may take this long, a multiple of what it takes; then it is ended and counts as failed. */
const phaseTimeoutMs = 30 * 60 * 1000;

/** So many files at most get a second run. */
const maxFilesAgain = 3;

interface Tally {
  passed: number;
  failed: number;
  /** The names of the tests that failed, and passed when they were alone. */
  flaky: string[];
  /** The names of the skipped tests; each tells the reason. */
  skipped: string[];
}

async function main(args: readonly string[]): Promise<number> {
  Deno.chdir(new URL("..", import.meta.url));
  // What a test that was killed leaves goes with this folder. Servers that drop
  // their rights must be able to enter it.
  const temporary = await Deno.makeTempDir({ prefix: "staps-" });
  await Deno.chmod(temporary, 0o755);
  // See helpers/builds.ts.
  await Deno.mkdir(`${temporary}/builds`);
  Deno.env.set("TMPDIR", temporary);
  Deno.env.set("DENO_JOBS", String(jobs));
  addEventListener(
    "unload",
    () => Deno.removeSync(temporary, { recursive: true }),
  );

  const total = noTally();
  const patterns = args.filter((arg) =>
    !arg.startsWith("-") && !followsFilter(arg, args)
  );
  const flags = args.filter((arg) => !patterns.includes(arg) && arg !== "--");
  const all = await Array.fromAsync(testFiles(["tests"]));
  for (const file of [...alone, ...waiting, ...onBothListeners]) {
    if (!all.includes(file)) throw new Error(`Cannot find ${file}`);
  }
  const files = all
    .filter((file) =>
      patterns.length === 0 || patterns.some((part) => file.includes(part))
    )
    .sort();

  if (args.length === 0) {
    try {
      await ensurePackages(testPackages);
    } catch (error) {
      // Tests that can do without still run.
      print((error as Error).message);
      total.failed++;
    }
    for (const check of [["fmt", "--check"], ["lint"], ["check", "."]]) {
      add(total, await runCheck(check));
    }
  }
  const among = (list: readonly string[]): string[] =>
    files.filter((file) => list.includes(file));
  const others = files.filter((file) =>
    !alone.includes(file) && !waiting.includes(file)
  );
  add(total, await runTests(others, flags));
  Deno.env.set("STAPS_LISTENER", "runtime");
  add(total, await runTests(among(onBothListeners), flags));
  Deno.env.delete("STAPS_LISTENER");
  add(total, await runTests(among(waiting), flags));
  for (const file of among(alone)) add(total, await runTests([file], flags));

  for (const name of total.skipped) print(name);
  for (const name of total.flaky) {
    print(`${name} (flaky: failed beside others, passed alone)`);
  }
  const { passed, failed, skipped: { length } } = total;
  const skipped = length > 0 ? `, ${length} skipped` : "";
  print(`${passed} passed, ${failed} failed${skipped}`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

/** Tells whether `arg` is the NAME of `--filter NAME`. */
function followsFilter(arg: string, args: readonly string[]): boolean {
  return args[args.indexOf(arg) - 1] === "--filter";
}

async function* testFiles(folders: readonly string[]): AsyncGenerator<string> {
  for (const folder of folders) {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) yield* testFiles([path]);
      else if (entry.name.endsWith("_test.ts")) yield path;
    }
  }
}

/** Runs one of Deno's own checks, which counts as a test. */
async function runCheck(args: readonly string[]): Promise<Tally> {
  print(`deno ${args.join(" ")}`);
  const success = await runDeno(args);
  return { ...noTally(), [success ? "passed" : "failed"]: 1 };
}

/**
 * Runs the tests in `files`, as many files at a time as there are processors,
 * and those that fail a second time; types have been checked before.
 */
async function runTests(
  files: readonly string[],
  flags: readonly string[],
): Promise<Tally> {
  if (files.length === 0) return noTally();
  const listener = Deno.env.get("STAPS_LISTENER");
  if (listener !== undefined) print(`with listener = ${listener}:`);
  const { tally, failures } = await runOnce(files, ["--parallel", ...flags]);
  const again = files.filter((file) => failures.has(file));
  if (again.length === 0 || again.length > maxFilesAgain) return tally;
  for (const file of again) {
    print(`once more, alone: ${file}`);
    const second = await runOnce([file], flags);
    const stillFail = second.failures.get(file) ?? [];
    const flaky = failures.get(file)!.filter((name) =>
      second.tally.passed > 0 && !stillFail.includes(name)
    );
    tally.failed -= flaky.length;
    tally.passed += flaky.length;
    tally.flaky.push(...flaky);
  }
  return tally;
}

/** How a run of `deno test` ended. */
interface Run {
  readonly tally: Tally;
  /** The names of the tests that failed, by file. */
  readonly failures: ReadonlyMap<string, string[]>;
}

async function runOnce(
  files: readonly string[],
  flags: readonly string[],
): Promise<Run> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const args = [
      "test",
      "--allow-all",
      "--no-check",
      `--junit-path=${report}`,
    ];
    const success = await runDeno([...args, ...flags, ...files]);
    const run = readReport(await Deno.readTextFile(report), files);
    // A file that fails outside its tests isn't in the report.
    if (!success && run.tally.failed === 0) run.tally.failed = 1;
    return run;
  } finally {
    await Deno.remove(report);
  }
}

/**
 * Counts the tests of a JUnit report: a `testcase` element has a child that
 * says what went wrong, or none. A step counts as a test. Tests that a filter
 * leaves out are in the report as skipped; ours give a reason, see `skip.ts`.
 *
 * It names the file that registered a test, which may be a helper: then the one
 * of `files` counts that stands in the error, or in that of a step.
 */
function readReport(xml: string, files: readonly string[]): Run {
  const tally = noTally();
  const failed: { name: string; owner: string | undefined }[] = [];
  for (
    const [, name, file, body] of xml.matchAll(
      /<testcase name="([^"]*)" classname="([^"]*)"[^>]*>(.*?)<\/testcase>/gs,
    )
  ) {
    if (/^\s*<skipped/.test(body!)) {
      if (name!.includes("(skipped: ")) tally.skipped.push(unescapeXml(name!));
    } else if (/^\s*<(failure|error)/.test(body!)) {
      tally.failed++;
      const path = unescapeXml(file!).replace(/^\.\//, "");
      const owner = files.find((each) => each === path) ??
        files.find((each) => body!.includes(`/${each}:`));
      failed.push({ name: unescapeXml(name!), owner });
    } else tally.passed++;
  }
  const failures = new Map<string, string[]>();
  for (const { name, owner } of failed) {
    const step = failed.find((each) => each.name.startsWith(`${name} > `));
    const path = owner ?? step?.owner ?? "";
    failures.set(path, [...failures.get(path) ?? [], name]);
  }
  return { tally, failures };
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = {
    ...{ "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" },
  };
  return text.replaceAll(/&\w+;/g, (entity) => entities[entity] ?? entity);
}

/** Tells whether `deno` with `args` succeeded in time. What it prints goes straight on. */
async function runDeno(args: readonly string[]): Promise<boolean> {
  // A process group of its own, so that a run that hangs takes the servers
  // with it that its tests started.
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdin: "null",
    detached: true,
  }).spawn();
  const endGroup = (): void => {
    try {
      Deno.kill(-child.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  const interrupted = (): void => {
    endGroup();
    Deno.exit(130);
  };
  const timer = setTimeout(() => {
    print(`deno ${args[0]} took more than 30 minutes, and was ended`);
    endGroup();
  }, phaseTimeoutMs);
  Deno.addSignalListener("SIGINT", interrupted);
  Deno.addSignalListener("SIGTERM", interrupted);
  try {
    return (await child.status).success;
  } finally {
    clearTimeout(timer);
    Deno.removeSignalListener("SIGINT", interrupted);
    Deno.removeSignalListener("SIGTERM", interrupted);
    endGroup();
  }
}

function noTally(): Tally {
  return { passed: 0, failed: 0, flaky: [], skipped: [] };
}

function add(total: Tally, part: Tally): void {
  total.passed += part.passed;
  total.failed += part.failed;
  total.flaky.push(...part.flaky);
  total.skipped.push(...part.skipped);
}

function print(line: string): void {
  const bytes = new TextEncoder().encode(line + "\n");
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
