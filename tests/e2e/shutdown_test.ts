/** How the real process says goodbye, and that nobody can delay it. */
import assert from "node:assert/strict";
import { testDoors } from "../helpers/doors.ts";
import { eventually, pause, within } from "../../tools/eventually.ts";
import { spawnStaps, type Staps, startStaps } from "../../tools/process.ts";
import {
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../../tools/raw_client.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients } from "../../tools/ws_client.ts";

/** Checks that staps has ended with `expected`, without a socket file and without a stack trace. */
async function assertGone(staps: Staps, expected = 0): Promise<void> {
  const { code } = await within(staps.status, "the end");
  assert.equal(code, expected, staps.output);
  await assert.rejects(Deno.lstat(staps.socket), Deno.errors.NotFound);
  assert.doesNotMatch(staps.output, /uncaught|unhandled|Error:|\n\s+at /i);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} closes each client with 1001 and a time to come back, behind what was published before, and ends with 0`, async () => {
    await using staps = await startStaps({
      // It waits for no longer than it has to.
      config:
        "[limits]\nshutdown_spread_ms = 60000\nshutdown_timeout_s = 600\n",
    });
    await using clients = new Clients(staps.socket);
    const [publisher, first, ...others] = await clients.joinMany(newPath(), 20);
    const messages = Array.from({ length: 200 }, (_, i) => String(i));
    for (const message of messages) publisher!.send(message);
    // When this one has the last, staps has read it.
    await first!.take(messages.length);
    staps.signal(signal);
    for (const reader of others) {
      assert.deepEqual(await reader.take(messages.length), messages);
    }
    const retries = new Set<number>();
    for (const reader of [first!, ...others]) {
      const { code, reason } = await within(reader.closed, "a close event");
      assert.equal(code, 1001);
      const [, retry] = /^service restart, retry=(\d+)$/.exec(reason)!;
      assert.ok(Number(retry) <= 60_000);
      retries.add(Number(retry));
    }
    // Numbers up to 60,000 at random: hardly any twice.
    assert.ok(retries.size > 10, [...retries].join());
    await assertGone(staps);
  });
}

Deno.test("a stop without clients leaves no socket file, and ends with 0", async () => {
  // The process once ended before the runtime had removed the file, mostly.
  for (let i = 0; i < 3; i++) {
    await using staps = await startStaps();
    staps.signal("SIGTERM");
    await assertGone(staps);
  }
});

Deno.test("clients that never read, never answer, or never finish can't delay a stop", async () => {
  await using staps = await startStaps({
    config: "[limits]\nshutdown_timeout_s = 1\n",
  });
  const target = { socket: staps.socket };
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const publisher = await clients.join(path);
  // More than the kernel takes, less than makes it a slow reader.
  using _neverReads = await RawClient.join(target, path);
  for (let i = 0; i < 6; i++) publisher.send(new Uint8Array(1024 * 1024));
  using neverAnswers = await RawClient.join(target, newPath());
  using halfAHandshake = await RawClient.connect(target);
  await halfAHandshake.write(handshakeBytes().subarray(0, 20));
  using _silent = await RawClient.connect(target);
  using halfAMessage = await RawClient.join(target, newPath());
  await halfAMessage.send(opcodes.text, "half", { fin: false });

  // Ten times its time limit: this machine may be busy, but nobody waited for a client.
  await staps.stop("SIGTERM", { timeoutMs: 10_000 });
  assert.equal((await publisher.closed).code, 1001);
  const last = (await neverAnswers.readToEnd()).at(-1)!;
  assert.equal(last.opcode, opcodes.close);
  assert.equal(readClose(last.payload).code, 1001);
  await assertGone(staps);
});

for (const [signal, status] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`a stop refuses new clients at once; a second signal, ${signal}, ends it`, async () => {
    await using staps = await startStaps({
      config: "[limits]\nshutdown_timeout_s = 600\n",
    });
    const target = { socket: staps.socket };
    using neverAnswers = await RawClient.join(target, newPath());
    staps.signal("SIGTERM");
    assert.equal((await neverAnswers.readFrame())?.opcode, opcodes.close);
    // While it waits for that one, the socket is gone.
    await eventually(
      () => RawClient.connect(target).then((one) => one.close(), () => true),
      "a refusal",
    );
    staps.signal(signal);
    await assertGone(staps, status);
  });
}

/** Joins a channel and sends without end. Gets the code that it is closed with. */
async function sendUntilClosed(
  target: Target,
  pauseMs?: number,
): Promise<number> {
  using client = await RawClient.join(target, newPath());
  const message = frameBytes(opcodes.text, "x".repeat(50));
  let closed = false;
  const sending = (async () => {
    while (!closed) {
      await client.write(message);
      if (pauseMs) await pause(pauseMs);
    }
  })().catch(() => {});
  try {
    while (true) {
      const frame = await client.readFrame();
      if (frame === undefined) return 1006;
      if (frame.opcode === opcodes.close) return readClose(frame.payload).code;
    }
  } finally {
    closed = true;
    await sending;
  }
}

// The runtime dropped most of them before the close frame was written.
testDoors(
  "clients that never stop sending learn why they are closed",
  async ({ staps, target }) => {
    const ten = (pauseMs?: number): Promise<number>[] =>
      Array.from({ length: 10 }, () => sendUntilClosed(target, pauseMs));
    assert.deepEqual(await Promise.all(ten()), Array(10).fill(1008));
    const steady = ten(5);
    await eventually(
      () => staps.stderr.match(/client connected/g)?.length === 20,
      "20 clients",
    );
    staps.signal("SIGTERM");
    assert.deepEqual(await Promise.all(steady), Array(10).fill(1001));
    await assertGone(staps);
  },
  { config: "[limits]\nmessages_per_second = 1000\n" },
);

Deno.test("SIGTERM ends it while it waits for a broker at its start", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const host = `127.0.0.1:${silent.addr.port}`;
  await using staps = await spawnStaps({
    config: `[staps]\namqp = amqp://a:b@${host}/\n` +
      // Each of them keeps it for five seconds.
      `[bridge]\nhosts = ${Array(20).fill(host).join(", ")}\n`,
  });
  using _connection = await silent.accept();
  staps.signal("SIGTERM");
  await assertGone(staps);
  assert.doesNotMatch(staps.stderr, /listening/);
  assert.match(staps.stderr, /stopped/);
});
