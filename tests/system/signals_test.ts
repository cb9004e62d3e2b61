import assert from "node:assert/strict";
import { Process, repository } from "../../tools/process.ts";

/** Runs `script`, which has everything that system/signals.ts exports, until it ends. */
function start(script: string, env: Record<string, string> = {}): Process {
  const src = `${repository}/src`;
  // npx sets what `deno task` sets.
  const { INIT_CWD: _, ...inherited } = Deno.env.toObject();
  return new Process(Deno.execPath(), [
    "eval",
    "--quiet",
    "--ext=ts",
    `--config=${repository}/deno.json`,
    `import { endOnBug, hangUps, interruption, nextStopSignal, outliveSignals } from "${src}/system/signals.ts";
     import { configureLog } from "${src}/common/log.ts";
     const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(line + "\\n"));
     // A signal listener alone keeps no process alive.
     setInterval(() => {}, 60_000);
     ${script}
     print("ready");`,
  ], { clearEnv: true, env: { ...inherited, ...env } });
}

const printsStopSignal = "nextStopSignal().then(print);";

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`interruption() is aborted with the exit status of ${signal}, and the process ends at the second one`, async () => {
    await using process = start(
      `const signal = interruption();
       signal.addEventListener("abort", () => print("status " + signal.reason));`,
    );
    await process.printed(/ready/);
    process.signal(signal);
    await process.printed(new RegExp(`^status ${code}$`, "m"));
    assert.equal((await process.stop(signal)).code, code);
  });
}

Deno.test("nextStopSignal() takes what comes at once after a Ctrl-C for the same under deno task", async () => {
  await using process = start(printsStopSignal, { INIT_CWD: "/" });
  await process.printed(/ready/);
  process.signal("SIGINT");
  await process.printed(/SIGINT/);
  process.signal("SIGINT");
  process.signal("SIGTERM");
  // Only one that comes later ends it.
  const timer = setInterval(() => process.signal("SIGTERM"), 50);
  const startMs = performance.now();
  assert.equal((await process.status).code, 143);
  clearInterval(timer);
  assert.ok(performance.now() - startMs > 100);
});

Deno.test("hangUps() runs the action for each signal, those of before it was set too, one after the other", async () => {
  await using process = start(
    `const set = hangUps();
     let running = 0;
     let count = 0;
     nextStopSignal().then(() => set(async () => {
       if (running++ > 0) print("overlap");
       await new Promise((resolve) => setTimeout(resolve, 20));
       running--;
       print("action " + ++count);
     }));
     Deno.addSignalListener("SIGHUP", () => print("hung up"));`,
  );
  await process.printed(/ready/);
  process.signal("SIGHUP");
  await process.printed(/hung up/);
  process.signal("SIGTERM");
  await process.printed(/action 1/);
  process.signal("SIGHUP");
  await process.printed(/(hung up\s[^]*){2}/);
  process.signal("SIGHUP");
  await process.printed(/action 3/);
  assert.doesNotMatch(process.stdout, /overlap/);
});

Deno.test("outliveSignals() keeps SIGUSR1, SIGUSR2 and an early SIGHUP from ending the process", async () => {
  await using process = start(
    `outliveSignals();
     ${printsStopSignal}`,
  );
  await process.printed(/ready/);
  for (const signal of ["SIGUSR1", "SIGUSR2", "SIGHUP"] as const) {
    process.signal(signal);
  }
  process.signal("SIGTERM");
  await process.printed(/^SIGTERM$/m);
  assert.equal((await process.stop("SIGTERM")).code, 143);
});

const cases = [
  ["an error", 'setTimeout(() => { throw new Error("/secret"); });'],
  ["a rejection", 'void Promise.reject(new Error("/secret"));'],
] as const;
for (const [what, script] of cases) {
  Deno.test(`endOnBug() ends the process with 70 after ${what}, without the message`, async () => {
    await using process = start(
      `configureLog({ level: "error", format: "text" }); endOnBug(); ${script}`,
    );
    assert.equal((await process.status).code, 70);
    assert.match(process.stderr, /this is a bug in staps.*error="?Error/);
    assert.doesNotMatch(process.output, /secret/);
  });
}
