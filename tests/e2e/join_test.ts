/** `staps url` and `staps join` as docs/commands.md shows them, in real shells and pipes. */
import assert from "node:assert/strict";
import { joinStatus } from "../../src/commands/join/ending.ts";
import { block, readPage } from "../helpers/docs.ts";
import { eventually, within } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import {
  denoDir,
  type Outcome,
  Process,
  runProgram,
  type Staps,
  stapsCommand,
  startStaps,
} from "../helpers/process.ts";
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
  // The program as it is called when it is installed.
  const words = [Deno.execPath(), ...stapsCommand].map((word) => `'${word}'`);
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
    ['staps join -n 0 "$URL" & sleep 1; kill -INT $!; wait $!', 130, /^$/],
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
