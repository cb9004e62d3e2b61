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
  "tests/e2e/readiness_test.ts",
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

/** What became of a test, a step or a check. */
interface Result {
  readonly name: string;
  /** The test file; empty if that isn't known. */
  file: string;
  /** A flaky one failed beside others, and passed alone. */
  state: "passed" | "failed" | "flaky" | "skipped";
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

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      endRunning();
      Deno.exit(130);
    });
  }

  const patterns = args.filter((arg, index) =>
    !arg.startsWith("-") && args[index - 1] !== "--filter"
  );
  const flags = args.filter((arg) => !patterns.includes(arg) && arg !== "--");
  const all = (await Array.fromAsync(testFiles("tests"))).sort();
  for (const file of [...alone, ...waiting, ...onBothListeners]) {
    if (!all.includes(file)) throw new Error(`Cannot find ${file}`);
  }
  const files = all.filter((file) =>
    patterns.length === 0 || patterns.some((part) => file.includes(part))
  );
  const among = (list: readonly string[]): string[] =>
    files.filter((file) => list.includes(file));

  const results = args.length === 0 ? await prepare() : [];
  const later = [...alone, ...waiting];
  const others = files.filter((file) => !later.includes(file));
  results.push(...await runTests(others, flags));
  Deno.env.set("STAPS_LISTENER", "runtime");
  results.push(...await runTests(among(onBothListeners), flags));
  Deno.env.delete("STAPS_LISTENER");
  results.push(...await runTests(among(waiting), flags));
  for (const file of among(alone)) {
    results.push(...await runTests([file], flags));
  }

  const of = (...states: Result["state"][]): Result[] =>
    results.filter(({ state }) => states.includes(state));
  for (const { name } of of("skipped")) print(name);
  for (const { name } of of("flaky")) {
    print(`${name} (flaky: failed beside others, passed alone)`);
  }
  const [passed, failed, skipped] = [
    of("passed", "flaky").length,
    of("failed").length,
    of("skipped").length,
  ];
  print(
    `${passed} passed, ${failed} failed` +
      (skipped > 0 ? `, ${skipped} skipped` : ""),
  );
  return failed === 0 && passed > 0 ? 0 : 1;
}

async function* testFiles(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* testFiles(path);
    else if (entry.name.endsWith("_test.ts")) yield path;
  }
}

/** Installs what tests need, and runs Deno's own checks; each counts as a test. */
async function prepare(): Promise<Result[]> {
  const results: Result[] = [];
  const add = (name: string, success: boolean): void => {
    results.push({ name, file: "", state: success ? "passed" : "failed" });
  };
  try {
    await ensurePackages(testPackages);
  } catch (error) {
    // Tests that can do without still run.
    print((error as Error).message);
    add("packages", false);
  }
  for (const check of [["fmt", "--check"], ["lint"], ["check", "."]]) {
    const name = `deno ${check.join(" ")}`;
    print(name);
    add(name, await runDeno(check));
  }
  return results;
}

/**
 * Runs the tests in `files`, as many files at a time as there are processors,
 * and those that fail a second time; types have been checked before.
 */
async function runTests(
  files: readonly string[],
  flags: readonly string[],
): Promise<Result[]> {
  if (files.length === 0) return [];
  const listener = Deno.env.get("STAPS_LISTENER");
  if (listener !== undefined) print(`with listener = ${listener}:`);
  const results = await runOnce(files, ["--parallel", ...flags]);
  const failed = results.filter(({ state }) => state === "failed");
  const again = files.filter((each) =>
    failed.some(({ file }) => file === each)
  );
  if (again.length > maxFilesAgain) return results;
  for (const file of again) {
    print(`once more, alone: ${file}`);
    const second = await runOnce([file], flags);
    if (!second.some(({ state }) => state === "passed")) continue;
    for (const result of failed) {
      const failsAgain = second.some(({ name, state }) =>
        state === "failed" && name === result.name
      );
      if (result.file === file && !failsAgain) result.state = "flaky";
    }
  }
  return results;
}

async function runOnce(
  files: readonly string[],
  flags: readonly string[],
): Promise<Result[]> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  const success = await runDeno([
    ...["test", "--allow-all", "--no-check", `--junit-path=${report}`],
    ...flags,
    ...files,
  ]);
  const results = await readReport(await Deno.readTextFile(report), files);
  // A file that fails outside its tests isn't in the report.
  if (!success && !results.some(({ state }) => state === "failed")) {
    results.push({ name: "outside of tests", file: "", state: "failed" });
  }
  return results;
}

/**
 * Reads a JUnit report: a `testcase` element has a child that says what went
 * wrong, or none. A step counts as a test. Tests that a filter leaves out are in
 * the report as skipped; ours give a reason, see `skip.ts`.
 *
 * It names the file that registered a test, which may be a helper: then the one
 * of `files` counts that stands in the error, or in that of a step, or has the
 * test's name.
 */
async function readReport(
  xml: string,
  files: readonly string[],
): Promise<Result[]> {
  const results: Result[] = [];
  const cases = xml.matchAll(
    /<testcase name="([^"]*)" classname="([^"]*)"[^>]*>(.*?)<\/testcase>/gs,
  );
  for (const [, quotedName, classname, body] of cases) {
    const name = unescapeXml(quotedName!);
    const [, outcome] = /^\s*<(skipped|failure|error)/.exec(body!) ?? [];
    if (outcome === "skipped" && !name.includes("(skipped: ")) continue;
    const path = unescapeXml(classname!).replace(/^\.\//, "");
    const file = files.find((each) => each === path) ??
      files.find((each) => body!.includes(`/${each}:`)) ?? "";
    const state = outcome === undefined
      ? "passed"
      : outcome === "skipped"
      ? "skipped"
      : "failed";
    results.push({ name, file, state });
  }
  for (const result of results) {
    if (result.file !== "" || result.state !== "failed") continue;
    const [test] = result.name.split(" > ");
    const sibling = results.find(({ name, file }) =>
      file !== "" && (name === test || name.startsWith(`${test} > `))
    );
    result.file = sibling?.file ?? await fileWith(test!, files);
  }
  return results;
}

/** Gets the one of `files` that has a text in it, or an empty string. */
async function fileWith(
  text: string,
  files: readonly string[],
): Promise<string> {
  for (const file of files) {
    if ((await Deno.readTextFile(file)).includes(text)) return file;
  }
  return "";
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = {
    ...{ "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" },
  };
  return text.replaceAll(/&\w+;/g, (entity) => entities[entity] ?? entity);
}

/** Ends what {@linkcode runDeno} runs, if it runs something. */
let endRunning = (): void => {};

/** Tells whether `deno` with `args` succeeded in time. What it prints goes straight on. */
async function runDeno(args: readonly string[]): Promise<boolean> {
  // A process group of its own, so that a run that hangs takes the servers
  // with it that its tests started.
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdin: "null",
    detached: true,
  }).spawn();
  endRunning = () => {
    try {
      Deno.kill(-child.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  const timer = setTimeout(() => {
    print(`deno ${args[0]} took more than 30 minutes, and was ended`);
    endRunning();
  }, phaseTimeoutMs);
  const { success } = await child.status;
  clearTimeout(timer);
  endRunning();
  endRunning = () => {};
  return success;
}

function print(line: string): void {
  const bytes = new TextEncoder().encode(line + "\n");
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
