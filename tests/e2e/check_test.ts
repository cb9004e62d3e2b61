/** `staps check` as administrators run it, in surroundings that are broken in many ways. */
import assert from "node:assert/strict";
import type { Finding } from "../../src/commands/check/finding.ts";
import { startBroker } from "../../tools/broker.ts";
import { block } from "../helpers/docs.ts";
import { startFrontend } from "../helpers/frontends.ts";
import { freePort, TempFolder } from "../../tools/folder.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import {
  type Outcome,
  runProgram,
  spawnStaps,
  stapsCommand,
  startStaps,
} from "../../tools/process.ts";
import { newPassword, Secrets } from "../helpers/secrets.ts";
import { startServer } from "../helpers/server.ts";

/** How to run `staps check`. */
interface Run {
  /** The configuration; FOLDER is a folder of its own. */
  readonly config: string;
  /** The file's permissions. */
  readonly mode?: number;
  /** Default: root may do everything, and is the frontend. */
  readonly args?: readonly string[];
  readonly through?: readonly string[];
  readonly json?: boolean;
}

/** Runs the real program. */
async function runCheck(
  { config, mode = 0o644, through = [], json = true, ...run }: Run,
): Promise<Outcome> {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/staps.conf`;
  const text = config.replaceAll("FOLDER", folder.path);
  await Deno.writeTextFile(file, text, { mode });
  const [command, ...rest] = [
    ...[...through, Deno.execPath(), ...stapsCommand],
    ...["check", `--config=${file}`, ...json ? ["--json"] : []],
    ...run.args ?? ["--user=root", "--frontend=root"],
  ];
  return await runProgram(command!, rest, { env: { NO_COLOR: "" } });
}

/** One of the findings that must be there: what was checked, how it is, and the message. */
type Expected = readonly [
  check: Finding["check"],
  level: Finding["level"],
  message: RegExp,
];

/** Checks that a run ended with `status`, and found what is expected among other things. */
function assertFound(
  { code, stdout, stderr }: Outcome,
  status: number,
  ...expected: Expected[]
): void {
  const report: { ok: boolean; findings: Finding[] } = JSON.parse(stdout);
  for (const [check, level, message] of expected) {
    const found = report.findings.some((finding) =>
      finding.check === check && finding.level === level &&
      message.test(finding.message)
    );
    assert.ok(found, `${check} ${level} ${message}: ${stdout}`);
  }
  assert.equal(code, status, stdout);
  const failed = report.findings.some(({ level }) => level === "fail");
  assert.equal(report.ok, !failed);
  assert.equal(stderr, "");
}

const sound = "[staps]\nsocket = FOLDER/s\n";

const runs: Readonly<
  Record<string, Run & { status: number; expected: Expected[] }>
> = {
  "nothing wrong": {
    config: sound,
    status: 0,
    expected: [["socket", "ok", /is free$/]],
  },
  "a mode, a folder, a limit, a group and a broker": {
    config: `${sound}mode = 0440\n` +
      `amqp = amqp://staps:secret@127.0.0.1:${freePort()}/\n` +
      "[daemon]\ndir = FOLDER/none\n",
    args: ["--user=root", "--frontend=www-data"],
    through: ["prlimit", "--nofile=4096:4096"],
    status: 1,
    expected: [
      ["socket", "fail", /^mode 0440 lets nobody connect/],
      ["daemon", "fail", /none", "dir" in \[daemon\], doesn't exist$/],
      [
        "descriptors",
        "fail",
        /may open 4096 files, expected at least 11024 for 10000 clients$/,
      ],
      ["frontend", "fail", /"www-data" can't connect to ".*\/s": it has the/],
      ["broker", "fail", /^Cannot connect to the broker at .*ECONNREFUSED/],
    ],
  },
  "a missing user, and a folder that the frontend can't pass through": {
    config:
      "[staps]\nsocket = /root/s\nmode = 0666\n[daemon]\nuser = staps-nobody\n",
    args: ["--frontend=www-data"],
    status: 1,
    expected: [
      ["user", "fail", /^There is no user "staps-nobody"/],
      ["frontend", "fail", /"www-data" can't pass through the folder "\/root"/],
    ],
  },
  "a file that can't be read, in a folder without rights": {
    config: sound,
    mode: 0o600,
    args: ["--user=nobody", "--frontend=root"],
    status: 78,
    expected: [
      ["configuration", "fail", /^The user "nobody" can't read ".*staps.conf"/],
      [
        "socket",
        "fail",
        /^The user "nobody" can't make a socket in the folder/,
      ],
    ],
  },
};

for (const [name, { status, expected, ...run }] of Object.entries(runs)) {
  Deno.test(`staps check names it: ${name}`, async () => {
    const outcome = await runCheck(run);
    assertFound(outcome, status, ...expected);
    assert.ok(!outcome.stdout.includes("secret"));
  });
}

Deno.test("staps check is content with a staps that runs, looks at its limits, and finds others in its place", async () => {
  await using folder = await TempFolder.make();
  const admin = `[admin]\nsocket = ${folder.path}/admin\n`;
  await using staps = await startStaps({
    config: admin,
    through: ["prlimit", "--nofile=5000:5000"],
  });
  const { socket } = staps;
  const check = (): Promise<Outcome> =>
    runCheck({ config: `[staps]\nsocket = ${socket}\n${admin}` });
  const limit = `^staps, process ${staps.pid}, may open 5000 files`;
  assertFound(
    await check(),
    1,
    ["descriptors", "fail", new RegExp(limit)],
    ["socket", "ok", /^staps runs, and answers on/],
    ["admin", "ok", /^staps runs, and answers on/],
  );
  const away = `${folder.path}/away`;
  await Deno.rename(socket, away);
  {
    // As after a second start by other means.
    await using _other = await startServer({ socket });
    const other = /has bound another socket than the one at/;
    assertFound(await check(), 1, ["socket", "fail", other]);
  }
  {
    await using _site = Deno.serve(
      { path: socket, onListen: () => {} },
      () => new Response("something else"),
    );
    assertFound(
      await check(),
      ...[1, ["socket", "fail", /^Another server answers on/]] as const,
    );
  }
  await staps.stop("SIGKILL");
  await Deno.rename(away, socket);
  const stale = /is left of a staps that ended/;
  assertFound(await check(), 0, ["socket", "warn", stale]);
});

Deno.test("staps check prints lines for people, without colours in a pipe", async () => {
  const config = `${sound}mode = 0666\n`;
  const { stdout, code } = await runCheck({ config, json: false });
  assert.equal(code, 0);
  assert.match(stdout, /^ok {4}configuration {2}\/.*staps\.conf$/m);
  assert.match(
    stdout,
    /^warn {2}socket {9}mode 0666 lets .*\n {21}0660 is for/m,
  );
  assert.match(stdout, /^0 failed, 1 to look at$/m);
  assert.ok(!stdout.includes("\x1b"));
});

Deno.test("staps check says what the broker says, and neither that nor a start tells the password", async (t) => {
  const secrets = new Secrets();
  const password = newPassword(secrets);
  await using broker = await startBroker({ tls: true });
  const all = { configure: ".*", write: ".*", read: ".*" };
  await broker.addUser("somebody", { password, permissions: all });
  await broker.addUser("outsider", { password });
  const { port, tls } = broker;
  const url = (
    { user = "somebody", word = password, host = `127.0.0.1:${port}` } = {},
  ): string => `://${user}:${encodeURIComponent(word)}@${host}/`;
  // What else can be wrong is in refusals_test.ts.
  const ok = /takes messages and returns them in [\d.]+ ms$/;
  const cases: Readonly<Record<string, [config: string, message: RegExp]>> = {
    "nothing wrong": [`amqp = amqp${url()}`, ok],
    "nothing wrong with TLS": [
      `amqp = amqps${
        url({ host: `127.0.0.1:${tls.port}` })
      }\n[bridge]\nca = ${tls.ca}`,
      ok,
    ],
    "a user without rights": [
      `amqp = amqp${url({ user: "outsider" })}`,
      /"outsider" has no rights in it/,
    ],
    "another password": [
      `amqp = amqp${url({ word: newPassword(secrets) })}`,
      /^Cannot log in to .* as "somebody": it refuses user or password \(403/,
    ],
    "a host that isn't there": [
      `amqp = amqp${url({ host: "nowhere.invalid" })}`,
      /^Cannot connect to the broker at nowhere\.invalid/,
    ],
    "one of several brokers down": [
      `amqp = amqp${url()}\n[bridge]\nhosts = 127.0.0.1:${port}, 127.0.0.1:1`,
      /^Cannot connect to the broker at 127\.0\.0\.1:1: /,
    ],
    "a wrong URL": [`amqp = http${url()}`, /"amqp" in .* line 5: got/],
    "a misspelled key": [`ampq = amqp${url()}`, /"ampq" in .* line 5: got an/],
  };
  for (const [name, [lines, message]] of Object.entries(cases)) {
    await t.step(name, async () => {
      const config = `[log]\nlevel = debug\n${sound}${lines}\n`;
      const checking = runCheck({ config });
      await using staps = await spawnStaps({
        config: config.replace("socket = FOLDER/s\n", ""),
      });
      // What may heal is tried again; the others end.
      await Promise.race([
        staps.status,
        staps.printed(/can't connect|bridge connected/).catch(() => {}),
      ]);
      await staps.stop();
      assert.notEqual(staps.output, "");
      secrets.assertNone(staps.output, "the start");
      const outcome = await checking;
      secrets.assertNone(outcome.stdout, "the check");
      if (message === ok) assertFound(outcome, 0, ["broker", "ok", ok]);
      else if (message.source.includes(" line ")) {
        assertFound(outcome, 78, ["configuration", "fail", message]);
      } else assertFound(outcome, 1, ["broker", "fail", message]);
    });
  }
  await t.step("and leaves no queue behind", async () => {
    assert.equal(await broker.eval("length(rabbit_amqqueue:list())"), "0");
  });
});

Deno.test("staps check --through joins a channel through the frontend, and says what came back", async () => {
  await using staps = await startStaps({
    through: inFrontendGroup,
    args: [`--listen=127.0.0.1:${freePort()}`],
  });
  await Deno.chmod(staps.folder, 0o755);
  await using nginx = await startNginx({ socket: staps.socket });
  await using other = await startStaps();
  await using site = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("no such page", { status: 404 }),
  );
  const [, open] = await staps.printed(/listening on ws:\/\/(\S+)/);
  const through = (
    url: string,
    { socket = staps.socket, args = [] }: { socket?: string; args?: string[] } =
      {},
  ): Promise<Outcome> =>
    runCheck({
      config: `[staps]\nsocket = ${socket}\n`,
      args: ["--user=root", "--frontend=root", "--through", url, ...args],
    });
  await using tls = await startFrontend("nginx", { socket: staps.socket });
  const ca = `${staps.folder}/ca.pem`;
  await Deno.writeTextFile(ca, tls.certificate);
  const own = `ws://127.0.0.1:${nginx.port}`;
  const line = await block("docs/commands.md", "through");
  const [, url] = /^staps check --through (\S+)\n$/.exec(line)!;
  const cases: [Promise<Outcome>, 0 | 1, Finding["level"], RegExp][] = [
    [
      through(url!.replace(/wss:\/\/.*/, own)),
      ...[0, "ok"] as const,
      new RegExp(`^clients talk through ${own}$`),
    ],
    [
      through(tls.tlsUrl, { args: ["--ca", ca] }),
      ...[0, "ok"] as const,
      new RegExp(`^clients talk through ${tls.tlsUrl}$`),
    ],
    [
      through(tls.tlsUrl),
      ...[1, "fail"] as const,
      /its certificate is self-signed/,
    ],
    [
      through(`http://127.0.0.1:${freePort()}`),
      ...[1, "fail"] as const,
      /nobody listens there/,
    ],
    [
      through(`http://127.0.0.1:${site.addr.port}/`),
      ...[1, "fail"] as const,
      /got HTTP status 404, expected 101 \("no such page"\)/,
    ],
    [
      through(own, { socket: other.socket }),
      ...[1, "fail"] as const,
      /^Another staps answers at ws:\/\/127\.0\.0\.1:\d+ than the/,
    ],
    [
      through(`ws://${open}`),
      ...[0, "warn"] as const,
      /lets clients join channels whose paths can be guessed/,
    ],
  ];
  for (const [outcome, status, level, message] of cases) {
    assertFound(await outcome, status, ["frontend", level, message]);
  }
  const { code, stderr } = await through(`${own}/secret`);
  assert.equal(code, 2);
  assert.match(stderr, /expected a URL without a path/);
  assert.doesNotMatch(stderr, /secret/);
});
