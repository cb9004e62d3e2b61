/** `staps url`, `join` and `publish` as docs/commands.md shows them, in real shells, pipes and terminals. */
import assert from "node:assert/strict";
import { joinStatus } from "../../src/commands/join/ending.ts";
import { channelHash } from "../../src/relay/channel_hash.ts";
import { block, readPage } from "../helpers/docs.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { startFrontend } from "../helpers/frontends.ts";
import { inFrontendGroup } from "../helpers/nginx.ts";
import { type Outcome, Process, runProgram } from "../../tools/process.ts";
import { Screen } from "../helpers/screen.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { Shells } from "../helpers/shells.ts";
import type { Client } from "../../tools/ws_client.ts";

const page = "docs/commands.md";
const shared = shareStaps({
  through: inFrontendGroup,
  args: ["--listen=127.0.0.1:0"],
  config: "[limits]\nmessage_bytes = 100000\n",
});

let shells: Shells;
/** Where the running staps is for WebSocket clients. */
let base: string;

Deno.test.beforeAll(async () => {
  shells = await Shells.make({ logger: 'echo "$@"' });
  const listening = await shared.staps.printed(/listening on (ws:\S+)/);
  base = listening[1]!;
});
Deno.test.afterAll(() => shells[Symbol.asyncDispose]());

/** A channel of a test's own, with one client in it, and shells that have its URL. */
class Channel {
  readonly env: { URL: string };

  private constructor(readonly path: string, readonly peer: Client) {
    this.env = { URL: base + path };
  }

  static async make(): Promise<Channel> {
    const path = newPath();
    return new Channel(path, await shared.clients.join(path));
  }

  start(script: string): Process {
    return shells.start(script, { env: this.env });
  }

  run(script: string): Promise<Outcome> {
    return shells.run(script, { env: this.env });
  }

  /** Waits until a shell has joined, too. */
  async joined(): Promise<void> {
    const line = `channel=${channelHash(this.path)}`;
    await eventually(
      () => shared.staps.stderr.split(line).length > 2,
      "another client",
    );
  }
}

Deno.test("the page's URL is one that the frontends let in", async () => {
  const code = await block(page, "url");
  const { stdout } = await shells.run(`${code}echo "$URL"`);
  assert.match(
    stdout,
    /^wss:\/\/staps\.example\.org\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$/,
  );
});

for (
  const [name, message] of [
    ["publish", "backup done"],
    ["socket", "hello"],
    ["environment", "hello"],
  ] as const
) {
  Deno.test(`a line from a pipe is published: ${name}`, async () => {
    const channel = await Channel.make();
    const code = (await block(page, name))
      .replace("/run/staps/staps.sock", shared.staps.socket);
    const outcome = await channel.run(code);
    assert.deepEqual(outcome, { code: 0, stdout: "", stderr: "" });
    assert.equal(await channel.peer.next(), message);
  });
}

for (
  const [name, variable, asked] of [
    ["wait", "message", undefined],
    ["ask", "answer", "are you there?"],
  ] as const
) {
  Deno.test(`a script waits for a message: ${name}`, async () => {
    const channel = await Channel.make();
    const code = await block(page, name);
    await using program = channel.start(`${code}printf '<%s>' "$${variable}"`);
    await channel.joined();
    if (asked !== undefined) assert.equal(await channel.peer.next(), asked);
    channel.peer.send("one");
    channel.peer.send("two");
    assert.equal((await program.status).code, 0);
    assert.equal(program.stdout, "<one>");
  });
}

Deno.test("a script does something for each message", async () => {
  const channel = await Channel.make();
  const code = await block(page, "loop");
  assert.match(code, /\blogger\b/);
  const logger = 'logger() { echo "$1"; [ "$1" != "got two" ] || exit 0; }';
  await using program = channel.start(`${logger}\n${code}`);
  await channel.joined();
  for (const word of ["one", "two"]) {
    channel.peer.send(word);
    await program.printed(new RegExp(`^got ${word}$`, "m"));
  }
  // The pipe has no reader any more: the next message to be printed shows it.
  const more = setInterval(() => channel.peer.send("more"), 50);
  await program.status.finally(() => clearInterval(more));
  assert.equal((await program.status).code, 0);
});

Deno.test("a file arrives as it was", async () => {
  const channel = await Channel.make();
  const photo = crypto.getRandomValues(new Uint8Array(60_000));
  const [from, to] = ["from", "to"].map((name) =>
    `${shells.folder.path}/${name}`
  );
  for (const name of [from!, to!]) await Deno.mkdir(name);
  await Deno.writeFile(`${from}/photo.jpg`, photo);
  const receive = await block(page, "receive");
  await using receiver = channel.start(`cd ${to}\n${receive}`);
  await channel.joined();
  const sent = await channel.run(`cd ${from}\n${await block(page, "send")}`);
  assert.deepEqual(sent, { code: 0, stdout: "", stderr: "" });
  assert.equal((await receiver.status).code, 0);
  assert.deepEqual(await Deno.readFile(`${to}/photo.jpg`), photo);
  assert.deepEqual(await channel.peer.next(), photo);
});

Deno.test("many lines through slow pipes arrive in order, none missing", async () => {
  const channel = await Channel.make();
  const count = 20_000;
  await using receiver = channel.start(
    `staps join -n ${count} "$URL" | md5sum`,
  );
  await channel.joined();
  const sent = await channel.run(
    `seq ${count} | tee >(md5sum >&2) | staps join "$URL"`,
  );
  assert.equal(sent.stdout, "");
  const expected = await runProgram("sh", ["-c", `seq ${count} | md5sum`]);
  assert.equal((await receiver.status).code, 0);
  assert.equal(receiver.stdout, expected.stdout);
  assert.equal((await channel.peer.take(count)).at(-1), String(count));
});

Deno.test("docs/commands.md has each exit status", async () => {
  const { text } = await readPage(page);
  const table = text.slice(text.indexOf("### Its exit status"));
  for (const status of Object.values(joinStatus)) {
    assert.match(table, new RegExp(`^\\| ${status} +\\|`, "m"));
  }
});

Deno.test("the server's close gives the exit status", async () => {
  const channel = await Channel.make();
  const { code, stderr } = await channel.run(
    'head -c 100001 /dev/zero | staps join --binary "$URL"',
  );
  assert.equal(code, joinStatus.refused);
  assert.match(
    stderr,
    /^staps: closed by the server: 1009 message over \d+ bytes\n$/,
  );
  assert.equal(channel.peer.count, 0);
});

Deno.test("SIGINT ends it with the signal's status", async () => {
  const channel = await Channel.make();
  await using program = channel.start(
    'staps join -n 0 "$URL" & echo "as $!"; wait $!',
  );
  const [, pid] = await program.printed(/^as (\d+)$/m);
  await channel.joined();
  Deno.kill(Number(pid), "SIGINT");
  assert.equal((await within(program.status, "the end")).code, 130);
  assert.equal(program.stderr, "");
});

Deno.test("a script learns whether anybody got what it publishes, or waits until somebody joins", async () => {
  const tell = await block(page, "tell");
  const path = newPath();
  const env = { URL: base + path };
  const unheard = await shells.run(tell, { env });
  assert.equal(unheard.code, 0);
  assert.match(unheard.stdout, /^nobody has heard of the backup$/m);
  await using waiting = shells.start(await block(page, "tell-waiting"), {
    env,
  });
  const member = await shared.clients.join(path);
  assert.equal(await member.next(), "backup done");
  assert.equal((await waiting.status).code, 0);
  const heard = await shells.run(tell, { env });
  assert.equal(heard.code, 0);
  assert.equal(heard.stdout, '{"members":1}\n');
  assert.equal(await member.next(), "backup done");
});

/** Runs `staps join` on a terminal of 40 columns, by util-linux's script(1). */
function onTerminal(
  { env }: Channel,
  { before = "", after = "" } = {},
): Process {
  const code = `stty cols 40 rows 20; ${before} staps join "$URL"; ` +
    `echo "ended with $?"; ${after}`;
  return shells.start(`exec script -qec '${code}' /dev/null`, {
    // Ctrl-C goes to script's own shell as well, and only bash outlives it.
    env: { ...env, SHELL: "/bin/bash", TERM: "xterm", NO_COLOR: "1" },
    stdin: "piped",
  });
}

/** Waits until the screen ends with these lines. */
async function sees(program: Process, ...lines: string[]): Promise<void> {
  const seen = (): string[] =>
    Screen.of(program.stdout, 40).lines.slice(-lines.length);
  await eventually(
    () => seen().join("\n") === lines.join("\n"),
    () => `the screen ${JSON.stringify(lines)}, got ${JSON.stringify(seen())}`,
  );
}

/** Waits for the end, at which the terminal has to be as it was. */
async function givesBack(program: Process, ending: RegExp): Promise<void> {
  await program.printed(ending);
  assert.equal((await within(program.status, "the end")).code, 0);
  assert.match(program.stdout, / icanon .* echo /s);
}

Deno.test("on a terminal, what comes in leaves alone what is being typed", async () => {
  const channel = await Channel.make();
  const { peer } = channel;
  await using program = onTerminal(channel, { after: "stty -a" });
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
  await givesBack(program, /ended with 0\r/);
});

Deno.test("on a terminal, Ctrl-C ends it, and gives the terminal back", async () => {
  const channel = await Channel.make();
  await using program = onTerminal(channel, { after: "stty -a" });
  await sees(program, "staps: joined", ">");
  await program.write("half");
  await sees(program, "> half");
  await program.write("\x03");
  await givesBack(program, /half\r\nended with 130\r/);
  assert.equal(channel.peer.count, 0);
});

Deno.test("on a terminal, Ctrl-Z stops it, and fg lets it go on", async () => {
  const channel = await Channel.make();
  await using program = onTerminal(channel, {
    before: "set -m;",
    after: 'fg; echo "then with $?"',
  });
  await sees(program, "staps: joined", ">");
  await program.write("abc");
  await sees(program, "> abc");
  await program.write("\x1a");
  // 128 and the number of SIGTSTP.
  await program.printed(/ended with 148\r\n[^]*> abc/);
  await program.write("d\r");
  assert.equal(await channel.peer.next(), "abcd");
  await program.write("\x04");
  await program.printed(/then with 0/);
});

Deno.test("a terminal that can't move its cursor is read line by line", async () => {
  const channel = await Channel.make();
  await using program = onTerminal(channel, { before: "TERM=dumb" });
  await program.printed(/joined/);
  await program.write("hello\n");
  assert.equal(await channel.peer.next(), "hello");
  await program.write("\x04");
  await program.printed(/ended with 0/);
  const { lines } = Screen.of(program.stdout, 40);
  assert.deepEqual(lines, ["staps: joined", "hello", "ended with 0", ""]);
});

Deno.test("through nginx with TLS, it trusts the system's store and --ca, and shows refusals", async () => {
  const { socket, folder } = shared.staps;
  await Deno.chmod(folder, 0o755);
  await using nginx = await startFrontend("nginx", { socket });
  const ca = `${shells.folder.path}/ca.pem`;
  await Deno.writeTextFile(ca, nginx.certificate);
  const channel = await Channel.make();
  const join = (options: string, path = channel.path): Promise<Outcome> =>
    shells.run(`echo hello | ${options} ${nginx.tlsUrl}${path}`);
  const unknown = await join("staps join");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /\nstaps: hint: .*--ca FILE\n$/);
  for (
    const options of [
      `staps join --ca ${ca}`,
      `SSL_CERT_FILE=${ca} staps join`,
    ]
  ) {
    const outcome = await join(options);
    assert.deepEqual(outcome, { code: 0, stdout: "", stderr: "" });
    assert.equal(await channel.peer.next(), "hello");
  }
  const refused = await join(`staps join --ca ${ca}`, "/closed");
  assert.match(refused.stderr, /: got HTTP status 404, expected 101/);
});

shared.testFarewell();
