import assert from "node:assert/strict";
import {
  configureLog,
  log,
  type LogFields,
  type LogFormat,
  type LogOptions,
} from "../../src/common/log.ts";
import { sleep } from "../../src/common/timing.ts";
import { type Outcome, repository, runProgram } from "../../tools/process.ts";
import { anyText, fc } from "../helpers/property.ts";

const everything: LogOptions = { level: "debug", format: "text" };

/** Gets what `act` logs, as text. */
async function logged(
  options: LogOptions,
  act: () => void,
): Promise<string> {
  let output = "";
  configureLog({
    ...options,
    write: (text) => {
      output += text;
      return Promise.resolve();
    },
  });
  act();
  await log.flush();
  return output;
}

/** Runs a program that logs, through a shell's command. */
function run(
  code: string,
  { shell = '"$0" "$@"', env = {} }: {
    shell?: string;
    env?: Record<string, string>;
  } = {},
): Promise<Outcome> {
  const program =
    `import { configureLog, log } from "${repository}/src/common/log.ts";
    ${code}
    await log.flush();`;
  return runProgram("sh", [
    ...["-c", shell, Deno.execPath(), "eval", "--quiet", "--ext=ts"],
    ...[`--config=${repository}/deno.json`, program],
  ], { env });
}

Deno.test("log writes text for people, the message as it is", async () => {
  const output = await logged(everything, () => {
    log.info("{client} {{x}} %s", {
      ...{ client: 7, channel: "ba7816bf8f01", reason: 'too "big"' },
      ...{ nothing: undefined, none: null, big: 12n, yes: true, empty: "" },
    });
  });
  assert.match(
    output,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info \{client\} \{\{x\}\} %s client=7 channel=ba7816bf8f01 reason="too \\"big\\"" none=null big=12 yes=true empty=""\n$/,
  );
});

Deno.test("log writes JSON with its own keys first, which fields don't replace", async () => {
  const output = await logged({ level: "debug", format: "json" }, () => {
    log.warn("client\nclosed", { client: 7, level: "x", big: 12n, nil: null });
  });
  const { time, ...others } = JSON.parse(output);
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
  assert.deepEqual(others, {
    level: "warn",
    message: "client\nclosed",
    client: 7,
    big: "12",
    nil: null,
  });
});

Deno.test("log writes priorities for the journal, and nothing below its level, which may change", async () => {
  const act = (): void => {
    log.error("a");
    log.warn("b", { x: 1 });
    log.info("c");
    log.debug("d");
  };
  // sd-daemon(3): SD_ERR "<3>", SD_WARNING "<4>", SD_INFO "<6>", SD_DEBUG "<7>".
  const lines = ["<3>a\n", "<4>b x=1\n", "<6>c\n", "<7>d\n"];
  const levels = ["error", "warn", "info", "debug"] as const;
  for (const index of [0, 1, 2, 3, 0]) {
    const level = levels[index]!;
    const output = await logged({ level, format: "journal" }, act);
    assert.equal(output, lines.slice(0, index + 1).join(""));
    const enabled = levels.filter((each) => log.isEnabled(each));
    assert.deepEqual(enabled, levels.slice(0, index + 1));
  }
});

Deno.test("log makes one line of each record, whatever is in it", async () => {
  const text = fc.oneof(
    anyText(),
    fc.constantFrom("\n", "\r\n", "\u2028", "\x1b[31m", "\u202e", "\ud800"),
  );
  const word = fc.constantFrom(null, undefined, true, false);
  const value = fc.oneof(text, fc.double(), fc.bigInt(), word);
  const fields = fc.dictionary(text, value, { maxKeys: 4 });
  const formats = fc.constantFrom("text", "json", "journal");
  const check = async (
    message: string,
    fields: LogFields,
    format: LogFormat,
  ): Promise<void> => {
    const output = await logged({ level: "debug", format }, () => {
      log.info(message, fields);
    });
    assert.match(output, /^[^\p{Cc}\p{Cf}\u2028\u2029]*\n$/u);
    assert.ok(output.isWellFormed());
    if (format === "json") assert.equal(JSON.parse(output).message, message);
  };
  await fc.assert(fc.asyncProperty(text, fields, formats, check));
});

Deno.test("log cuts long values", async () => {
  const output = await logged(everything, () => {
    log.info("x".repeat(100_000), { reason: "y".repeat(100_000) });
  });
  assert.ok(output.length < 3000);
});

Deno.test("log writes a warning at once, and says how many lines it dropped", async () => {
  const stalled = Promise.withResolvers<void>();
  let output = "";
  configureLog({
    level: "info",
    format: "journal",
    write: async (text) => {
      output += text;
      await stalled.promise;
    },
  });
  log.info("1");
  log.warn("2");
  await sleep(0);
  assert.equal(output, "<6>1\n<4>2\n");
  for (let i = 0; i < 5000; i++) log.info("x".repeat(1000));
  stalled.resolve();
  await log.flush();
  const kept = output.match(/^<6>x+$/gm)!.length;
  assert.ok(output.endsWith(
    "\n<3>log lines dropped, standard error was read too slowly " +
      `lines=${5000 - kept}\n`,
  ));
});

const tenLines = `
  configureLog({ level: "info", format: "text" });
  for (let i = 0; i < 10; i++) {
    log.info("line", { i });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await log.flush();
  console.log("alive");`;

Deno.test("log is quiet before configureLog(), then writes to standard error and nowhere else", async () => {
  const { code, stdout, stderr } = await run(`
    log.error("too early");
    if (log.isEnabled("error")) throw new Error("Enabled");
    ${tenLines}`);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "alive\n");
  assert.match(stderr, /^(\S+ info line i=\d\n){10}$/);
});

Deno.test("log doesn't end the process when standard error is a broken pipe, closed or full", async () => {
  const shells = [
    // The reader of the pipe is gone before the first line.
    '{ sleep 0.2; "$0" "$@" 2>&1 >&3 | true; } 3>&1',
    '"$0" "$@" 2>&-',
    '"$0" "$@" 2>/dev/full',
  ];
  for (const shell of shells) {
    const { stdout } = await run(tenLines, { shell });
    assert.equal(stdout, "alive\n", shell);
  }
});

Deno.test("log writes for the journal only if standard error is the journal, which it looks up once", async () => {
  const code = `
    configureLog({ level: "info", format: "auto" });
    log.info("hello");`;
  const shell =
    'export JOURNAL_STREAM="$(stat -L -c %d:%i /dev/stderr)"; "$0" "$@"';
  assert.equal((await run(code, { shell })).stderr, "<6>hello\n");
  for (const env of [{ JOURNAL_STREAM: "8:1" }, { JOURNAL_STREAM: "" }]) {
    assert.match((await run(code, { env })).stderr, /Z info hello\n$/);
  }
  // As at a reload: the permission to look is given up.
  const later = `
    configureLog({ level: "info", format: "text" });
    for (const name of ["read", "env"]) Deno.permissions.revokeSync({ name });
    ${code}`;
  assert.equal((await run(later, { shell })).stderr, "<6>hello\n");
});
