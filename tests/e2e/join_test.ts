/** `staps url` and `staps join` as docs/commands.md shows them, in real shells and pipes. */
import assert from "node:assert/strict";
import { joinStatus } from "../../src/commands/join/ending.ts";
import { Authority } from "../helpers/certificates.ts";
import { block, readPage } from "../helpers/docs.ts";
import { eventually, within } from "../helpers/eventually.ts";
import { freePort, TempFolder } from "../helpers/folder.ts";
import { mainConfig } from "../helpers/nginx.ts";
import { ensurePackages } from "../helpers/packages.ts";
import {
  denoDir,
  type Outcome,
  Process,
  runProgram,
  type Staps,
  stapsCommand,
  startStaps,
} from "../helpers/process.ts";
import { Screen } from "../helpers/screen.ts";
import { permissions } from "../../scripts/permissions.ts";
import { type Client, Clients } from "../helpers/ws_client.ts";

const page = "docs/commands.md";

let staps: Staps;
let clients: Clients;
let folder: TempFolder;
/** Where the running staps is for WebSocket clients. */
let base: string;
let channels = 0;

Deno.test.beforeAll(async () => {
  staps = await startStaps({
    args: ["--listen=127.0.0.1:0"],
    config: "[admin]\nsocket = ~/admin\n[limits]\nmessage_bytes = 100000\n",
  });
  const [, port] = await staps.printed(/listening on ws:\/\/127.0.0.1:(\d+)/);
  base = `ws://127.0.0.1:${port}`;
  clients = new Clients(staps.socket);
  folder = await TempFolder.make();
  // The program as it is called, and what it may, when it is installed.
  const allowed = stapsCommand.flatMap((word) =>
    word === "--allow-all" ? permissions : [word]
  );
  const words = [Deno.execPath(), ...allowed].map((word) => `'${word}'`);
  await Deno.writeTextFile(
    `${folder.path}/staps`,
    `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`,
    { mode: 0o755 },
  );
});

Deno.test.afterAll(async () => {
  await clients?.[Symbol.asyncDispose]();
  await staps?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

/** A channel of the test's own, with one client in it. */
async function newChannel(): Promise<{ path: string; peer: Client }> {
  const path = `/${crypto.randomUUID()}`;
  channels++;
  return { path, peer: await clients.join(path) };
}

/** What a shell needs to run a block of the page for the channel `path`. */
function shell(
  script: string,
  path: string,
): [string, string[], { env: Record<string, string>; cwd: string }] {
  return ["bash", ["-c", `set -o pipefail\n${script}`], {
    env: {
      PATH: `${folder.path}:${Deno.env.get("PATH")}`,
      DENO_DIR: denoDir(),
      URL: base + path,
    },
    cwd: folder.path,
  }];
}

function run(script: string, path: string): Promise<Outcome> {
  return runProgram(...shell(script, path));
}

/** Waits until a block that runs has joined the peer. */
async function joined(count = 2): Promise<void> {
  await eventually(async () => {
    const { stdout } = await runProgram("curl", [
      ...["-s", "--unix-socket", `${staps.folder}/admin`],
      "http://localhost/status",
    ]);
    const { clients, channels: now } = JSON.parse(stdout);
    // Every other channel still has its one peer.
    return clients - now === count - 1;
  }, `${count} clients in one channel`);
}

/** Waits for the end of a pipe that nobody reads any more: the next message to be printed shows it. */
async function endPipe(program: Process, peer: Client): Promise<void> {
  const more = setInterval(() => peer.isOpen && peer.send("more"), 50);
  try {
    assert.equal((await within(program.status, "the pipe's end")).code, 0);
  } finally {
    clearInterval(more);
  }
}

Deno.test("the page's URL is one that the frontends let in", async () => {
  const code = await block(page, "url");
  const { stdout } = await run(`${code}echo "$URL"`, "/");
  assert.match(
    stdout,
    /^wss:\/\/staps\.example\.org\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$/,
  );
});

Deno.test("a line from a pipe is published", async () => {
  const { path, peer } = await newChannel();
  const { code, stderr } = await run(await block(page, "publish"), path);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  assert.equal(await peer.next(), "backup done");
  peer.close();
});

for (const name of ["socket", "environment"]) {
  Deno.test(`a line is published by way of the ${name}`, async () => {
    const { path, peer } = await newChannel();
    const code = (await block(page, name))
      .replace("/run/staps/staps.sock", staps.socket);
    const outcome = await run(code, path);
    assert.deepEqual(outcome, { code: 0, stdout: "", stderr: "" });
    assert.equal(await peer.next(), "hello");
    peer.close();
  });
}

Deno.test("a script waits for a message", async () => {
  const { path, peer } = await newChannel();
  const code = await block(page, "wait");
  await using program = new Process(
    ...shell(`${code}printf '<%s>' "$message"`, path),
  );
  await joined();
  peer.send("one");
  peer.send("two");
  assert.equal((await program.status).code, 0);
  assert.equal(program.stdout, "<one>");
  peer.close();
});

Deno.test("a script asks and gets the answer", async () => {
  const { path, peer } = await newChannel();
  const code = await block(page, "ask");
  await using program = new Process(
    ...shell(`${code}printf '<%s>' "$answer"`, path),
  );
  assert.equal(await peer.next(), "are you there?");
  peer.send("yes");
  assert.equal((await program.status).code, 0);
  assert.equal(program.stdout, "<yes>");
  peer.close();
});

Deno.test("a script does something for each message", async () => {
  const { path, peer } = await newChannel();
  const code = await block(page, "loop");
  assert.match(code, /\blogger\b/);
  const logger = 'logger() { echo "$1"; [ "$1" != "got two" ] || exit 0; }';
  await using program = new Process(...shell(`${logger}\n${code}`, path));
  await joined();
  peer.send("one");
  await program.printed(/^got one$/m);
  peer.send("two");
  await program.printed(/^got two$/m);
  await endPipe(program, peer);
  peer.close();
});

Deno.test("a file arrives as it was", async () => {
  const { path, peer } = await newChannel();
  const photo = crypto.getRandomValues(new Uint8Array(60_000));
  const [from, to] = [`${folder.path}/from`, `${folder.path}/to`];
  for (const name of [from, to]) await Deno.mkdir(name);
  await Deno.writeFile(`${from}/photo.jpg`, photo);
  const receive = await block(page, "receive");
  await using receiver = new Process(...shell(`cd ${to}\n${receive}`, path));
  await joined();
  const sent = await run(`cd ${from}\n${await block(page, "send")}`, path);
  assert.deepEqual(sent, { code: 0, stdout: "", stderr: "" });
  assert.equal((await receiver.status).code, 0);
  assert.deepEqual(await Deno.readFile(`${to}/photo.jpg`), photo);
  assert.deepEqual(await peer.next(), photo);
  peer.close();
});

Deno.test("many lines through slow pipes arrive in order, none missing", async () => {
  const { path, peer } = await newChannel();
  const count = 20_000;
  await using receiver = new Process(
    ...shell(`staps join -n ${count} "$URL" | md5sum`, path),
  );
  await joined();
  const { stdout } = await run(
    `seq ${count} | tee >(md5sum >&2) | staps join "$URL"`,
    path,
  );
  assert.equal(stdout, "");
  const { stdout: sum } = await runProgram("bash", [
    ...["-c", `seq ${count} | md5sum`],
  ]);
  assert.equal((await receiver.status).code, 0);
  assert.equal(receiver.stdout, sum);
  const last = (await peer.take(count)).at(-1);
  assert.equal(last, String(count));
  peer.close();
});

Deno.test("the exit status tells what happened", async () => {
  const { path, peer } = await newChannel();
  const { text } = await readPage(page);
  const table = text.slice(text.indexOf("### Its exit status"));
  for (const status of Object.values(joinStatus)) {
    assert.match(table, new RegExp(`^\\| ${status} +\\|`, "m"));
  }
  const cases: [script: string, status: number, stderr: RegExp][] = [
    ['staps join "$URL" < /dev/null', 0, /^$/],
    ["staps join ws://127.0.0.1:1/x", 1, /^staps: error: Cannot connect/],
    ["staps join", 2, /^staps: error: Cannot join: there is no URL\n/],
    ['staps join -n x "$URL"', 2, /expected a whole number/],
    ["printf '\\xff' | staps join \"$URL\"", 65, /isn't UTF-8/],
    [
      'head -c 100001 /dev/zero | staps join --binary "$URL"',
      4,
      /^staps: closed by the server: 1009 message over \d+ bytes\n$/,
    ],
  ];
  for (const [script, status, stderr] of cases) {
    const outcome = await run(script, path);
    assert.equal(outcome.code, status, `${script}: ${outcome.stderr}`);
    assert.match(outcome.stderr, stderr, script);
    assert.ok(!outcome.stderr.includes(path.slice(1)), script);
  }
  assert.equal(peer.count, 0);
  peer.close();
});

Deno.test("Ctrl-C ends it with the signal's status", async () => {
  const { path, peer } = await newChannel();
  await using program = new Process(
    ...shell('staps join -n 0 "$URL" & echo "as $!"; wait $!', path),
  );
  const [, pid] = await program.printed(/^as (\d+)$/m);
  await joined();
  Deno.kill(Number(pid), "SIGINT");
  assert.equal((await within(program.status, "the end")).code, 130);
  assert.equal(program.stderr, "");
  peer.close();
});

Deno.test("whoever reads only the first line ends it at the next", async () => {
  const { path, peer } = await newChannel();
  await using program = new Process(
    ...shell('staps join -n 0 "$URL" | head -n 1', path),
  );
  await joined();
  peer.send("one");
  await program.printed(/one/);
  await endPipe(program, peer);
  assert.equal(program.stdout, "one\n");
  peer.close();
});

Deno.test("it comes back after a restart, when the server asks for it", async () => {
  await using first = await startStaps({
    config: "[limits]\nshutdown_spread_ms = 50\n",
  });
  const path = `/${crypto.randomUUID()}`;
  await using program = new Process(
    ...shell(
      `staps join --reconnect -n 1 --socket ${first.socket} ${path}`,
      path,
    ),
  );
  {
    await using here = new Clients(first.socket);
    const peer = await here.join(path);
    await first.printed(/client connected client=2/);
    assert.equal(peer.isOpen, true);
  }
  await first.stop();
  await program.printed(/1001 service restart, retry=/);
  await using second = new Process(Deno.execPath(), [
    ...stapsCommand,
    `--config=${first.folder}/staps.conf`,
    `--socket=${first.socket}`,
  ]);
  await second.printed(/listening/);
  await second.printed(/client connected/);
  await using here = new Clients(first.socket);
  (await here.join(path)).send("welcome back");
  assert.equal((await program.status).code, 0);
  assert.equal(program.stdout, "welcome back\n");
});

/** What util-linux's script(1) needs to run `staps join` on a terminal of 40 columns. */
function onTerminal(
  path: string,
  { before = "", after = "" } = {},
): Process {
  const [command, args, options] = shell(
    `stty cols 40 rows 20; ${before}staps join "$URL"; ` +
      `echo "ended with $?"; ${after}`,
    path,
  );
  const words = [command, ...args].map((word) =>
    `'${word.replaceAll("'", "'\\''")}'`
  );
  return new Process("script", ["-qec", words.join(" "), "/dev/null"], {
    ...options,
    // Ctrl-C goes to script's own shell as well, and only bash outlives it.
    env: {
      ...options.env,
      SHELL: "/bin/bash",
      TERM: "xterm",
      NO_COLOR: "1",
    },
    stdin: "piped",
  });
}

/** Waits until the screen ends with these lines. */
async function sees(program: Process, ...lines: string[]): Promise<void> {
  const seen = (): string[] =>
    Screen.of(program.stdout, 40).lines.slice(-lines.length);
  try {
    await eventually(
      () => seen().join("\n") === lines.join("\n"),
      "the screen",
    );
  } catch {
    assert.deepEqual(seen(), lines, JSON.stringify(program.stdout));
  }
}

Deno.test("on a terminal, what comes in leaves alone what is being typed", async () => {
  const { path, peer } = await newChannel();
  await using program = onTerminal(path, { after: "stty -a" });
  await sees(program, "staps: joined", ">");
  await program.write("helo");
  await sees(program, "staps: joined", "> helo");
  peer.send("how are\x1b[2J you?");
  await sees(program, "< how are\\u001b[2J you?", "> helo");
  // Left, a letter, and Enter; then up, and another letter.
  await program.write("\x1b[Dl\r");
  assert.equal(await peer.next(), "hello");
  await program.write("\x1b[A!");
  await sees(program, "> hello", "> hello!");
  peer.send("fine");
  await sees(program, "> hello", "< fine", "> hello!");
  await program.write("\r");
  assert.equal(await peer.next(), "hello!");
  await program.write("\x04");
  await program.printed(/ended with 0\r/);
  // The terminal is as it was.
  assert.equal((await within(program.status, "the end")).code, 0);
  assert.match(program.stdout, / icanon .* echo /s);
  peer.close();
});

Deno.test("on a terminal, Ctrl-C ends it, and gives the terminal back", async () => {
  const { path, peer } = await newChannel();
  await using program = onTerminal(path, { after: "stty -a" });
  await sees(program, "staps: joined", ">");
  await program.write("half");
  await sees(program, "> half");
  await program.write("\x03");
  await program.printed(/half\r\nended with 130\r/);
  assert.equal((await within(program.status, "the end")).code, 0);
  assert.match(program.stdout, / icanon .* echo /s);
  assert.equal(peer.count, 0);
  peer.close();
});

Deno.test("on a terminal, Ctrl-Z stops it, and fg lets it go on", async () => {
  const { path, peer } = await newChannel();
  await using program = onTerminal(path, {
    before: "set -m; ",
    after: 'fg; echo "then with $?"',
  });
  await sees(program, "staps: joined", ">");
  await program.write("abc");
  await sees(program, "> abc");
  await program.write("\x1a");
  // 128 and the number of SIGTSTP.
  await program.printed(/ended with 148\r\n[^]*> abc/);
  await program.write("d\r");
  assert.equal(await peer.next(), "abcd");
  await program.write("\x04");
  await program.printed(/then with 0/);
  peer.close();
});

Deno.test("a terminal that can't move its cursor is read line by line", async () => {
  const { path, peer } = await newChannel();
  await using program = onTerminal(path, { before: "TERM=dumb " });
  await program.printed(/joined/);
  await program.write("hello\n");
  assert.equal(await peer.next(), "hello");
  await program.write("\x04");
  await program.printed(/ended with 0/);
  const { lines } = Screen.of(program.stdout, 40);
  assert.deepEqual(lines, ["staps: joined", "hello", "ended with 0", ""]);
  peer.close();
});

/** Starts nginx with TLS before the staps of this file; it refuses what isn't below /. */
async function startTlsNginx(
  authority: Authority,
): Promise<{ port: number; nginx: Process }> {
  await ensurePackages(["nginx"]);
  const { certFile, keyFile } = await authority.certify();
  const port = freePort();
  const { path } = authority.folder;
  await Deno.writeTextFile(
    `${path}/site.conf`,
    `server {
      listen 127.0.0.1:${port} ssl;
      ssl_certificate ${certFile};
      ssl_certificate_key ${keyFile};
      default_type text/plain;
      location / {
        proxy_pass http://${base.replace("ws://", "")};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
      }
      location /closed/ { return 503 "closed for today\\n"; }
    }`,
  );
  await Deno.writeTextFile(
    `${path}/nginx.conf`,
    mainConfig(path, "nogroup"),
  );
  const nginx = new Process("nginx", ["-p", path, "-c", `${path}/nginx.conf`]);
  await eventually(async () => {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return true;
    } catch {
      return nginx.ended;
    }
  }, "nginx");
  return { port, nginx };
}

Deno.test("through nginx with TLS, it trusts the system's store and --ca, and shows refusals", async () => {
  await using authority = await Authority.make();
  const { port, nginx } = await startTlsNginx(authority);
  try {
    const { path, peer } = await newChannel();
    const joinTls = (script: string, place = path): Promise<Outcome> =>
      run(script.replace("$TLS", `wss://localhost:${port}${place}`), path);
    const unknown = await joinTls("echo 0 | staps join $TLS");
    assert.equal(unknown.code, 1);
    assert.match(
      unknown.stderr,
      /: its certificate is signed by an unknown authority, "Test authority"\nstaps: hint: --ca FILE/,
    );
    const ways = [
      `staps join --ca ${authority.file} $TLS`,
      `SSL_CERT_FILE=${authority.file} staps join $TLS`,
    ];
    for (const [index, way] of ways.entries()) {
      const outcome = await joinTls(`echo ${index} | ${way}`);
      assert.deepEqual(outcome, { code: 0, stdout: "", stderr: "" });
      assert.equal(await peer.next(), String(index));
    }
    const insecure = await joinTls("echo 2 | staps join --insecure $TLS");
    assert.equal(insecure.code, 0);
    assert.match(insecure.stderr, /^staps: --insecure: .*\n$/);
    assert.equal(await peer.next(), "2");
    const refused = await joinTls(`${ways[0]}`, "/closed/x");
    assert.match(
      refused.stderr,
      /: got HTTP status 503, expected 101 \("closed for today"\)\n/,
    );
    peer.close();
  } finally {
    // Killed, the master would leave its workers behind.
    await nginx.stop("SIGTERM");
  }
});

Deno.test("it tells in plain words that nobody is there", async () => {
  const cases: [url: string, message: RegExp][] = [
    [
      `ws://127.0.0.1:${freePort()}`,
      /: nobody listens there\n.*is the server running/,
    ],
    [
      "wss://nowhere.invalid",
      /: (there is no such host|its address can't be looked up)/,
    ],
  ];
  for (const [url, message] of cases) {
    const { code, stderr } = await run(`staps join ${url}/secret-path`, "/");
    assert.equal(code, 1);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /secret-path/);
  }
});
