/** `staps check` as administrators run it, in surroundings that are broken one by one. */
import assert from "node:assert/strict";
import type { Finding } from "../../src/commands/check/finding.ts";
import { type Broker, startBroker } from "../helpers/broker.ts";
import { Authority } from "../helpers/certificates.ts";
import { block } from "../helpers/docs.ts";
import { freePort, TempFolder } from "../helpers/folder.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import { startServer } from "../helpers/server.ts";
import {
  type Outcome,
  runProgram,
  stapsCommand,
  startStaps,
} from "../helpers/process.ts";

/** What `--json` prints. */
interface Report {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

/** Runs the real program in a folder of its own. */
async function runCheck(
  config: string,
  { args = [], through = [], json = true, mode = 0o644 }: {
    mode?: number;
    args?: readonly string[];
    through?: readonly string[];
    json?: boolean;
  } = {},
): Promise<Outcome> {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(file, config.replaceAll("FOLDER", folder.path), {
    mode,
  });
  const [command, ...rest] = [
    ...through,
    Deno.execPath(),
    ...stapsCommand,
    "check",
    `--config=${file}`,
    ...json ? ["--json"] : [],
    ...args,
  ];
  return await runProgram(command!, rest, { env: { NO_COLOR: "" } });
}

/** What a set-up is expected to lead to. */
interface Expected {
  readonly check: Finding["check"];
  readonly level: "ok" | "warn" | "fail";
  readonly message: RegExp;
  readonly status: number;
}

function expectFinding(
  outcome: Outcome,
  { check, level, message, status }: Expected,
): void {
  const report: Report = JSON.parse(outcome.stdout);
  const found = report.findings.some((finding) =>
    finding.check === check && finding.level === level &&
    message.test(finding.message)
  );
  assert.ok(found, `${check} ${level} ${message}: ${outcome.stdout}`);
  assert.equal(outcome.code, status, outcome.stdout);
  assert.equal(
    report.ok,
    !report.findings.some(({ level }) => level === "fail"),
  );
  assert.equal(outcome.stderr, "");
}

/** A configuration in which nothing is wrong, as long as nothing is added. */
const sound = "[staps]\nsocket = FOLDER/s\n";
/** root may do everything, and is the frontend of these. */
const asRoot = ["--user=root", "--frontend=root"];

const setUps: readonly (Expected & {
  readonly name: string;
  readonly config: string;
  /** The file's permissions. */
  readonly mode?: number;
  readonly args?: readonly string[];
  readonly through?: readonly string[];
})[] = [
  {
    name: "nothing wrong",
    config: sound,
    check: "socket",
    level: "ok",
    message: /is free$/,
    status: 0,
  },
  {
    name: "a mode that lets nobody in",
    config: `${sound}mode = 0440\n`,
    check: "socket",
    level: "fail",
    message: /^mode 0440 lets nobody connect/,
    status: 1,
  },
  {
    name: "a mode that lets everybody in",
    config: `${sound}mode = 0666\n`,
    check: "socket",
    level: "warn",
    message: /^mode 0666 lets every user/,
    status: 0,
  },
  {
    name: "a missing folder",
    config: "[staps]\nsocket = FOLDER/none/s\n",
    check: "socket",
    level: "fail",
    message: /^The folder ".*\/none" doesn't exist$/,
    status: 1,
  },
  {
    name: "a folder in which the user has no rights",
    config: sound,
    args: ["--user=nobody", "--frontend=root"],
    check: "socket",
    level: "fail",
    message: /^The user "nobody" can't make a socket in the folder/,
    status: 1,
  },
  {
    name: "a file in the socket's place",
    config: "[staps]\nsocket = FOLDER/staps.conf\n",
    check: "socket",
    level: "fail",
    message: /is a file, expected a socket or nothing$/,
    status: 1,
  },
  {
    name: "an unknown key",
    config: `${sound}sokcet = /x\n`,
    check: "configuration",
    level: "fail",
    message: /"sokcet" in .* line 3: got an unknown key/,
    status: 78,
  },
  {
    name: "a configuration that the user can't read",
    config: sound,
    mode: 0o600,
    args: ["--user=nobody", "--frontend=root"],
    check: "configuration",
    level: "fail",
    message: /^The user "nobody" can't read ".*staps.conf"$/,
    status: 78,
  },
  {
    name: "a low limit of descriptors",
    config: sound,
    through: ["prlimit", "--nofile=4096:4096"],
    check: "descriptors",
    level: "fail",
    message: /may open 4096 files, expected at least 11024 for 10000 clients$/,
    status: 1,
  },
  {
    name: "a frontend without the socket's group",
    config: sound,
    args: ["--user=root", "--frontend=www-data"],
    check: "frontend",
    level: "fail",
    message: /"www-data" can't connect to ".*\/s": it has the mode 0660/,
    status: 1,
  },
  {
    name: "a folder that the frontend can't pass through",
    config: "[staps]\nsocket = /root/s\nmode = 0666\n",
    args: ["--user=root", "--frontend=www-data"],
    check: "frontend",
    level: "fail",
    message: /"www-data" can't pass through the folder "\/root"/,
    status: 1,
  },
  {
    name: "a user who doesn't exist",
    config: `${sound}[daemon]\nuser = staps-nobody\n`,
    args: ["--frontend=root"],
    check: "user",
    level: "fail",
    message: /^There is no user "staps-nobody"/,
    status: 1,
  },
  {
    name: "a missing folder of [daemon]",
    config: `${sound}[daemon]\ndir = FOLDER/none\n`,
    check: "daemon",
    level: "fail",
    message: /none", "dir" in \[daemon\], doesn't exist$/,
    status: 1,
  },
  {
    name: "a broker that is down",
    config: `${sound}amqp = amqp://staps:secret@127.0.0.1:${freePort()}/\n`,
    check: "broker",
    level: "fail",
    message: /^Cannot connect to the broker at 127.0.0.1:\d+: .*ECONNREFUSED/,
    status: 1,
  },
];

for (
  const { name, config, mode, args = asRoot, through, ...expected } of setUps
) {
  Deno.test(`staps check names it: ${name}`, async () => {
    const outcome = await runCheck(config, {
      args,
      ...mode && { mode },
      ...through && { through },
    });
    expectFinding(outcome, expected);
    assert.ok(!outcome.stdout.includes("secret"));
  });
}

Deno.test("staps check names it: a stale socket", async () => {
  await using folder = await TempFolder.make();
  const socket = `${folder.path}/stale`;
  // The runtime removes its own sockets; a killed process doesn't.
  await runProgram("python3", [
    "-c",
    `import socket; socket.socket(socket.AF_UNIX).bind(${
      JSON.stringify(socket)
    })`,
  ]);
  expectFinding(
    await runCheck(`[staps]\nsocket = ${socket}\n`, { args: asRoot }),
    {
      check: "socket",
      level: "warn",
      message: /is left of a staps that ended/,
      status: 0,
    },
  );
});

Deno.test("staps check names it: another server on the socket", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/live`;
  await using _other = Deno.serve(
    { path, onListen: () => {} },
    () => new Response("something else"),
  );
  expectFinding(
    await runCheck(`[staps]\nsocket = ${path}\n`, { args: asRoot }),
    {
      check: "socket",
      level: "fail",
      message: /^Another server answers on/,
      status: 1,
    },
  );
});

Deno.test("staps check is content with a staps that runs, and looks at its limits", async () => {
  await using folder = await TempFolder.make();
  const admin = `[admin]\nsocket = ${folder.path}/admin\n`;
  await using staps = await startStaps({
    config: admin,
    through: ["prlimit", "--nofile=5000:5000"],
  });
  const outcome = await runCheck(
    `[staps]\nsocket = ${staps.socket}\n${admin}`,
    {
      args: asRoot,
    },
  );
  const low = { check: "descriptors", level: "fail", status: 1 } as const;
  expectFinding(outcome, {
    ...low,
    message: new RegExp(`^staps, process ${staps.pid}, may open 5000 files`),
  });
  for (const check of ["socket", "admin"] as const) {
    expectFinding(outcome, {
      check,
      level: "ok",
      message: /^staps runs, and answers on/,
      status: 1,
    });
  }
  // Another staps in its place, as after a second start by other means.
  await Deno.rename(staps.socket, `${folder.path}/away`);
  await using _other = await startServer({ socket: staps.socket });
  expectFinding(
    await runCheck(`[staps]\nsocket = ${staps.socket}\n${admin}`, {
      args: asRoot,
    }),
    {
      check: "socket",
      level: "fail",
      message: /has bound another socket than the one at/,
      status: 1,
    },
  );
});

Deno.test("staps check prints lines for people, without colours in a pipe", async () => {
  const { stdout, code } = await runCheck(`${sound}mode = 0666\n`, {
    args: asRoot,
    json: false,
  });
  assert.equal(code, 0);
  assert.match(stdout, /^ok {4}configuration {2}\/.*staps\.conf$/m);
  assert.match(
    stdout,
    /^warn {2}socket {9}mode 0666 lets .*\n {21}0660 is for/m,
  );
  assert.match(stdout, /^0 failed, 1 to look at$/m);
  assert.ok(!stdout.includes("\x1b"));
});

Deno.test("staps check with a real broker", async (t) => {
  await using broker = await startBroker({ tls: true });
  await setUpBroker(broker);
  const { port } = broker;
  const tls = broker.tls;
  const amqp = (url: string, more = ""): string =>
    `${sound}amqp = ${url}\n[bridge]\n${more}`;
  await using folder = await TempFolder.make();
  const otherCa = `${folder.path}/other.pem`;
  await runProgram("openssl", [
    ..."req -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=other".split(" "),
    ...["-keyout", `${folder.path}/key`, "-out", otherCa],
  ]);
  const cases: readonly (Omit<Expected, "check" | "status"> & {
    name: string;
    config: string;
  })[] = [
    {
      name: "all is well",
      config: amqp(broker.url()),
      level: "ok",
      message: /takes messages and returns them in [\d.]+ ms$/,
    },
    {
      name: "all is well with TLS",
      config: amqp(
        `amqps://staps:secret@127.0.0.1:${tls.port}/`,
        `ca = ${tls.ca}\n`,
      ),
      level: "ok",
      message: /returns them/,
    },
    {
      name: "a wrong password",
      config: amqp(`amqp://staps:hidden-word@127.0.0.1:${port}/`),
      level: "fail",
      message:
        /^Cannot log in to .* as "staps": it refuses user or password \(403 ACCESS_REFUSED - /,
    },
    {
      name: "an unknown vhost",
      config: amqp(`amqp://staps:secret@127.0.0.1:${port}/nowhere`),
      level: "fail",
      message:
        /^Cannot use the virtual host "nowhere" .*: it doesn't exist \(530 .* not found\)$/,
    },
    {
      name: "missing rights",
      config: amqp(broker.url("/", { user: "poor:secret" })),
      level: "fail",
      message: /the user "poor" lacks the right "\w+" on the \w+ "staps/,
    },
    {
      name: "an exchange of another kind",
      config: amqp(broker.url(), "exchange = other\n"),
      level: "fail",
      message: /"other" .*exists with other arguments/,
    },
    {
      name: "an authority that didn't sign the broker's certificate",
      config: amqp(
        `amqps://staps:secret@127.0.0.1:${tls.port}/`,
        `ca = ${otherCa}\n`,
      ),
      level: "fail",
      message:
        /^Cannot connect to the broker at .*: the broker's certificate isn't trusted, .* \(.*certificate.*\)$/,
    },
    {
      name: "a missing file of authorities",
      config: amqp(
        `amqps://staps:secret@127.0.0.1:${tls.port}/`,
        "ca = /nowhere/ca.pem\n",
      ),
      level: "fail",
      message: /there is no file "\/nowhere\/ca.pem"$/,
    },
    {
      name: "one of several brokers down",
      config: amqp(broker.url(), `hosts = 127.0.0.1:${port}, 127.0.0.1:1\n`),
      level: "fail",
      message: /^Cannot connect to the broker at 127.0.0.1:1: /,
    },
  ];
  for (const { name, config, ...expected } of cases) {
    await t.step(name, async () => {
      const outcome = await runCheck(config, { args: asRoot });
      expectFinding(outcome, {
        check: "broker",
        status: expected.level === "ok" ? 0 : 1,
        ...expected,
      });
      assert.ok(!/secret|hidden-word/.test(outcome.stdout));
    });
  }
  await t.step("and leaves no queue behind", async () => {
    assert.equal(await broker.eval("length(rabbit_amqqueue:list())"), "0");
  });
});

async function setUpBroker(broker: Broker): Promise<void> {
  await broker.addUser("poor", {
    password: "secret",
    permissions: { configure: "^$", write: "^staps", read: "^staps" },
  });
  await broker.eval(
    `rabbit_exchange:declare(rabbit_misc:r(<<"/">>, exchange, <<"other">>), ` +
      `fanout, true, false, false, [], <<"test">>), ok`,
  );
}

Deno.test("staps check --through joins a channel through the frontend, and says what came back", async (t) => {
  await using staps = await startStaps({
    through: inFrontendGroup,
    args: [`--listen=127.0.0.1:${freePort()}`],
  });
  await Deno.chmod(staps.folder, 0o755);
  await using nginx = await startNginx({ socket: staps.socket });
  await using other = await startStaps();
  await using authority = await Authority.make();
  const [, open] = await staps.printed(/listening on ws:\/\/(\S+)/);
  const config = (socket: string): string => `[staps]\nsocket = ${socket}\n`;
  const through = (url: string, socket = staps.socket): Promise<Outcome> =>
    runCheck(config(socket), {
      args: [...asRoot, "--through", url, "--ca", authority.file],
    });
  const expected = { check: "frontend", status: 1 } as const;
  const own = `ws://127.0.0.1:${nginx.port}`;

  await t.step("as the page says", async () => {
    const line = await block("docs/commands.md", "through");
    const [, url] = /^staps check --through (\S+)\n$/.exec(line)!;
    expectFinding(await through(url!.replace(/wss:\/\/.*/, own)), {
      ...{ check: "frontend", level: "ok", status: 0 },
      message: new RegExp(`^clients talk through ${own}$`),
    });
  });
  await t.step("nobody is there", async () => {
    expectFinding(await through(`http://127.0.0.1:${freePort()}`), {
      ...{ ...expected, level: "fail" },
      message: /nobody listens there/,
    });
  });
  await t.step("another site", async () => {
    await using site = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response("no such page", { status: 404 }),
    );
    expectFinding(await through(`http://127.0.0.1:${site.addr.port}/`), {
      ...{ ...expected, level: "fail" },
      message: /got HTTP status 404, expected 101 \("no such page"\)/,
    });
  });
  await t.step("a certificate of nobody", async () => {
    const { cert, key } = await authority.selfSigned();
    await using site = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {}, cert, key },
      () => new Response(),
    );
    expectFinding(await through(`wss://localhost:${site.addr.port}`), {
      ...{ ...expected, level: "fail" },
      message: /its certificate is self-signed/,
    });
  });
  await t.step("another staps", async () => {
    expectFinding(await through(own, other.socket), {
      ...{ ...expected, level: "fail" },
      message: /^Another staps answers at ws:\/\/127\.0\.0\.1:\d+ than the/,
    });
  });
  await t.step("no rule for paths", async () => {
    expectFinding(await through(`ws://${open}`), {
      ...{ check: "frontend", level: "warn", status: 0 },
      message: /lets clients join channels whose paths can be guessed/,
    });
  });
  await t.step("a URL with a path", async () => {
    const { code, stderr } = await through(`${own}/secret`);
    assert.equal(code, 2);
    assert.match(stderr, /expected a URL without a path/);
    assert.doesNotMatch(stderr, /secret/);
  });
});
