/** The ends that are hard to tell or to reach: busy clients, silent brokers. */
import assert from "node:assert/strict";
import { eventually, within } from "../helpers/eventually.ts";
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
    for (const { code } of await Promise.all(steady)) assert.equal(code, 1012);
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

// The runtime gives up accepting when it can't open another file: the process
// died of it and took every client along, without a word.
Deno.test("a limit of open files below clients lets fewer in, and those stay", async () => {
  await using staps = await startStaps({
    through: ["prlimit", "--nofile=200"],
  });
  await using clients = new Clients(staps.socket);
  const first = await clients.joinMany("/first", 2);
  const answers = await Promise.all(
    Array.from({ length: 15 }, async () => {
      const path = newPath();
      const answers = [];
      for (let i = 0; i < 20; i++) {
        const client = await RawClient.connect({ socket: staps.socket });
        await client.write(handshakeBytes({ path }));
        const { status } = await client.readResponse({ toHead: true });
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

Deno.test("where no file can be opened any more, clients are told, and it ends with 1", async () => {
  await using staps = await startStaps({
    through: ["prlimit", "--nofile=100"],
  });
  await using clients = new Clients(staps.socket);
  const client = await clients.join(newPath());
  // They only connect, which counts for nobody but the kernel.
  const silent = await Promise.allSettled(
    Array.from(
      { length: 150 },
      () => RawClient.connect({ socket: staps.socket }),
    ),
  );
  assert.equal((await client.closed).code, 1012);
  const { code } = await within(staps.status, "the end");
  assert.equal(code, 1);
  assert.match(staps.stderr, /error: Cannot accept clients any more: /);
  for (const one of silent) if (one.status === "fulfilled") one.value.close();
});
