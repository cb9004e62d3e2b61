/** docs/http.md: each block is run as it stands there, against the real program. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { freePort } from "../../tools/folder.ts";
import { Process } from "../../tools/process.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { Shells } from "../helpers/shells.ts";

const page = "docs/http.md";
const port = freePort();
const shared = shareStaps({
  config: "[log]\nlevel = debug\n",
  args: [`--listen=127.0.0.1:${port}`],
});

let shells: Shells;

Deno.test.beforeAll(async () => {
  shells = await Shells.make({
    backup: "echo saved; echo 'but not all' >&2",
  });
});
Deno.test.afterAll(() => shells[Symbol.asyncDispose]());

function urlOf(path: string, scheme = "http"): string {
  return `${scheme}://127.0.0.1:${port}${path}`;
}

/** Begins to run a block, with a channel's URL in `URL`. What runs in the shell goes with it. */
async function start(
  name: string,
  path: string,
  scheme?: string,
): Promise<Process> {
  const env = { URL: urlOf(path, scheme), BUILD: "7" };
  return shells.start(await block(page, name), { env, detached: true });
}

/** Runs a block to its end. */
async function run(name: string, path: string): Promise<Process> {
  await using shell = await start(name, path);
  assert.equal((await shell.status).code, 0, shell.output);
  return shell;
}

/** Posts as GitHub does. */
async function deliver(path: string): Promise<number> {
  const response = await fetch(urlOf(path), {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "User-Agent": "GitHub-Hookshot/044aadd",
      "X-GitHub-Event": "push",
      "X-Hub-Signature-256": "sha256=0",
    },
    body: event,
  });
  await response.body?.cancel();
  return response.status;
}

const event = '{"ref":"refs/heads/main"}';

/** Posts until somebody gets it. */
async function deliverSoon(path: string): Promise<void> {
  await eventually(async () => await deliver(path) === 200, "somebody");
}

Deno.test("docs/http.md: curl publishes, and is told how many got it", async () => {
  const path = newPath();
  const [a, b] = await shared.clients.joinMany(path, 2);
  const { stdout } = await run("post", path);
  assert.deepEqual([await a!.next(), await b!.next()], ["hello", "hello"]);
  const documented = JSON.parse(await block(page, "answer"));
  assert.deepEqual(JSON.parse(stdout), documented);
});

/** Gets what is typed and printed in a terminal on the README's first screen, with this server's URL. */
async function transcript(
  name: string,
  path: string,
): Promise<{ code: string; output: string }[]> {
  const text = (await block("README.md", name)).replaceAll(
    /(ws|http)s:\/\/example\.org\/[0-9a-f-]+/g,
    (_, scheme) => urlOf(path, scheme),
  );
  return text.split(/^\$ /m).slice(1).map((part) => {
    const end = part.indexOf("\n");
    return { code: part.slice(0, end), output: part.slice(end + 1) };
  });
}

Deno.test("README.md: two terminals and curl talk as they do there", async () => {
  const path = newPath();
  const [listening] = await transcript("terminal-one", path);
  // Somebody who doesn't type.
  await using one = shells.start(`sleep 60 | ${listening!.code}`, {
    detached: true,
  });
  await deliverSoon(path);
  for (const { code, output } of await transcript("terminal-two", path)) {
    const outcome = await shells.run(code);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.equal(outcome.stdout, output);
  }
  await one.printed(/done/);
  assert.equal(one.stdout, `${event}\n${listening!.output}`);
});

for (
  const [name, message] of [
    ["wait", "hello"],
    ["build", "build 7 is done"],
  ] as const
) {
  Deno.test(`docs/http.md: curl waits until somebody joins: ${name}`, async () => {
    const path = newPath();
    const waiting = run(name, path);
    const member = await shared.clients.join(path);
    assert.equal(await member.next(), message);
    assert.equal((await waiting).stdout, '{"members":1}\n');
  });
}

Deno.test("docs/http.md: curl listens", async () => {
  const path = newPath();
  await using curl = await start("listen", path);
  await curl.printed(/^retry: 5000$/m);
  const member = await shared.clients.join(path);
  member.send("hello\nworld");
  await curl.printed(/^data: hello\ndata: world\n$/m);
  member.send(new Uint8Array([1]));
  await curl.printed(/^event: binary\ndata: AQ==\n$/m);
});

for (
  const [name, scheme] of [["webhook", "ws"], ["webhook-curl", "http"]] as const
) {
  Deno.test(`docs/http.md: a laptop gets GitHub's events: ${name}`, async () => {
    const path = newPath();
    assert.equal(await deliver(path), 404);
    await using laptop = await start(name, path, scheme);
    await deliverSoon(path);
    await laptop.printed(/^GitHub says: \{"ref":"refs\/heads\/main"\}$/m);
  });
}

Deno.test("docs/http.md: cron publishes what a job prints, whoever is there", async () => {
  const path = newPath();
  await run("cron", path);
  const member = await shared.clients.join(path);
  assert.equal((await run("cron", path)).output, "");
  assert.equal(await member.next(), "saved\nbut not all\n");
});

Deno.test("docs/http.md: JavaScript listens and publishes", async () => {
  const path = newPath();
  const file = `${shells.folder.path}/listen.mjs`;
  await Deno.writeTextFile(file, await block(page, "javascript"));
  await using program = new Process(Deno.execPath(), [
    ...["run", "--no-config", "--allow-net", file, urlOf(path)],
  ]);
  await program.printed(/^200 \{ members: 1 \}$/m);
  await program.printed(/^text: hello$/m);
  const member = await shared.clients.join(path);
  member.send(new Uint8Array([1, 255]));
  await program.printed(/^bytes: Uint8Array\(2\) \[ 1, 255 \]$/m);
});

Deno.test("docs/http.md: Python publishes and listens", async () => {
  const path = newPath();
  const file = `${shells.folder.path}/listen.py`;
  await Deno.writeTextFile(file, await block(page, "python"));
  await using program = new Process("python3", ["-u", file, urlOf(path)]);
  await program.printed(/^nobody is there$/m);
  await deliverSoon(path);
  await program.printed(/^got: \{"ref":"refs\/heads\/main"\}$/m);
});

shared.testFarewell();
