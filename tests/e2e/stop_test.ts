/** The ends that are hard to tell or to reach: busy clients, silent brokers. */
import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { ask } from "../helpers/admin.ts";
import { TempFolder } from "../helpers/folder.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import { spawnStaps, startStaps } from "../helpers/process.ts";
import {
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../helpers/raw_client.ts";
import { clientsFor } from "../../src/system/open_files.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { type Client, Clients, converse } from "../helpers/ws_client.ts";

/** Tells whether there is something at `path`. */
function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

for (const way of ["directly", "through nginx"]) {
  // The runtime dropped most of them before the close frame was written.
  Deno.test(`clients that never stop sending learn why they are closed, ${way}`, async () => {
    await using staps = await startStaps({
      through: inFrontendGroup,
      config: "[limits]\nmessages_per_second = 1000\n",
    });
    await using nginx = way === "directly"
      ? undefined
      : await startNginx({ socket: staps.socket });
    const target = nginx ? { port: nginx.port } : { socket: staps.socket };

    const tooFast = Array.from({ length: 10 }, () => sendUntilClosed(target));
    for (const { code } of await Promise.all(tooFast)) assert.equal(code, 1008);

    const steady = Array.from(
      { length: 10 },
      () => sendUntilClosed(target, { pauseMs: 5 }),
    );
    await eventually(
      () => staps.stderr.match(/client connected/g)?.length === 20,
      "20 clients",
    );
    assert.equal((await staps.stop()).code, 0);
    for (const { code } of await Promise.all(steady)) assert.equal(code, 1001);
  });
}

/** Joins a channel and sends without end. Gets the close frame that ends it. */
async function sendUntilClosed(
  target: Target,
  { pauseMs }: { pauseMs?: number } = {},
): Promise<{ code: number; reason: string }> {
  using client = await RawClient.join(target, newPath());
  const message = frameBytes(opcodes.text, "x".repeat(50));
  let closed = false;
  const sending = (async () => {
    while (!closed) {
      await client.write(message);
      if (pauseMs) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  })().catch(() => {});
  try {
    while (true) {
      const frame = await client.readFrame();
      if (frame === undefined) return { code: 1006, reason: "" };
      if (frame.opcode === opcodes.close) return readClose(frame.payload);
    }
  } finally {
    closed = true;
    await sending;
  }
}

Deno.test("SIGTERM ends it while it waits for a broker at its start", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr as Deno.NetAddr;
  const host = `127.0.0.1:${port}`;
  await using staps = await spawnStaps({
    config: `[staps]\namqp = amqp://a:b@${host}/\n` +
      // Each of them keeps it for five seconds.
      `[bridge]\nhosts = ${Array(20).fill(host).join(", ")}\n`,
  });
  using _connection = await silent.accept();
  const { code } = await staps.stop();
  assert.equal(code, 0, staps.output);
  assert.doesNotMatch(staps.stderr, /listening/);
  assert.match(staps.stderr, /stopped/);
  assert.equal(exists(staps.socket), false);
});

// The runtime's server gives up accepting when it can't open another file: the
// process died of it and took every client along, without a word.
Deno.test("a limit of open files below clients lets fewer in, and those stay", async () => {
  await using staps = await startStaps({
    through: ["prlimit", "--nofile=200"],
  });
  await using clients = new Clients(staps.socket);
  const first = await clients.joinMany("/first", 2);
  const answers = await Promise.all(
    // No more at once than have a place to be told that there is none.
    Array.from({ length: 4 }, async () => {
      const path = newPath();
      const answers = [];
      for (let i = 0; i < 75; i++) {
        const client = await RawClient.connect({ socket: staps.socket });
        await client.write(handshakeBytes({ path }));
        const { status } = await client.readResponse({ toHead: true });
        if (status !== 101) client.close();
        answers.push({ client, status });
      }
      return answers;
    }),
  );
  const statuses = answers.flat().map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 101).length, 148);
  assert.equal(statuses.filter((status) => status === 503).length, 152);
  await converse(...first as [Client, Client]);
  for (const { client } of answers.flat()) client.close();
});

Deno.test("silent connections up to the limit of open files: newcomers are refused, members and the admin socket notice nothing, and all is well afterwards", async () => {
  const files = 200;
  await using folder = await TempFolder.make();
  const admin = `${folder.path}/admin.sock`;
  await using staps = await startStaps({
    through: ["prlimit", `--nofile=${files}`],
    config: `[admin]\nsocket = ${admin}\n`,
  });
  const target = { socket: staps.socket };
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const [one, other] = await clients.joinMany(path, 2) as [Client, Client];

  // They only connect: each takes a descriptor until its time is up.
  const silent = await Promise.all(
    Array.from({ length: 3 * files }, () => RawClient.connect(target)),
  );
  // Those that staps has no place for, not even to tell them, are closed.
  assert.deepEqual(await silent.at(-1)!.readToEnd(), []);
  for (let i = 0; i < 3; i++) await converse(one, other);
  assert.equal((await ask(admin, "/healthz")).status, 200);

  // A place among those that are told.
  silent[clientsFor(files)]!.close();
  await eventually(async () => {
    using newcomer = await RawClient.connect(target);
    try {
      await newcomer.write(handshakeBytes({ path }));
      return (await newcomer.readResponse()).status === 503;
    } catch {
      // Closed without a word, as long as that one's place isn't free.
      return false;
    }
  }, "503 for a newcomer");

  for (const client of silent) client.close();
  await eventually(
    () => clients.join(path).then(() => true, () => false),
    "a place for a newcomer",
  );
  await converse(one, other);
  assert.equal((await ask(admin, "/healthz")).status, 200);
  assert.equal((await staps.stop()).code, 0);
});

// Where even the reserve is less than staps needs.
Deno.test("without a descriptor left, newcomers wait, members notice nothing, and all is well afterwards", async () => {
  await using staps = await startStaps({
    through: ["prlimit", "--nofile=80"],
  });
  const target = { socket: staps.socket };
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const [one, other] = await clients.joinMany(path, 2) as [Client, Client];
  const silent = await Promise.all(
    Array.from({ length: 150 }, () => RawClient.connect(target)),
  );
  await eventually(
    // One that was inherited may have a number beyond the limit.
    () => descriptors(staps.pid) >= 80,
    () => `80 open files, got ${descriptors(staps.pid)}`,
  );
  for (let i = 0; i < 3; i++) await converse(one, other);

  for (const client of silent) client.close();
  await eventually(
    () => clients.join(path).then(() => true, () => false),
    "a place for a newcomer",
  );
  await converse(one, other);
  assert.equal((await staps.stop()).code, 0);
});

/** Gets the number of descriptors that the process `pid` has open. */
function descriptors(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}
