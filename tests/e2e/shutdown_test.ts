/** How the real process says goodbye. */
import assert from "node:assert/strict";
import { eventually, within } from "../helpers/eventually.ts";
import { type Staps, startStaps } from "../helpers/process.ts";
import {
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
} from "../helpers/raw_client.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients } from "../helpers/ws_client.ts";

async function assertGone(staps: Staps): Promise<void> {
  await assert.rejects(Deno.lstat(staps.socket), Deno.errors.NotFound);
  assert.doesNotMatch(staps.output, /uncaught|unhandled|Error:|\n\s+at /i);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} closes each client with 1001 and a time to come back, and ends with 0`, async () => {
    const spreadMs = 60_000;
    await using staps = await startStaps({
      config: `[limits]\nshutdown_spread_ms = ${spreadMs}\n`,
    });
    await using clients = new Clients(staps.socket);
    const all = [
      ...await clients.joinMany(newPath(), 20),
      ...await Promise.all(
        Array.from({ length: 20 }, () => clients.join(newPath())),
      ),
    ];
    const { code } = await staps.stop(signal);
    assert.equal(code, 0);
    const retries = [];
    for (const client of all) {
      const { code, reason } = await within(
        client.closed,
        "a client's close event",
      );
      assert.equal(code, 1001);
      retries.push(Number(/^service restart, retry=(\d+)$/.exec(reason)![1]));
    }
    assert.ok(
      retries.every((retry) => retry >= 0 && retry <= spreadMs),
      String(retries),
    );
    // Forty numbers below 60,000 at random: some in each half, hardly any twice.
    assert.ok(new Set(retries).size > 30, String(retries));
    assert.ok(
      Math.min(...retries) < spreadMs / 2 &&
        Math.max(...retries) > spreadMs / 2,
      String(retries),
    );
    await assertGone(staps);
  });
}

Deno.test("a stop without clients leaves no socket file, and ends with 0", async () => {
  // The process once ended before the runtime had removed the file, mostly.
  for (let i = 0; i < 5; i++) {
    await using staps = await startStaps();
    assert.equal((await staps.stop()).code, 0);
    await assertGone(staps);
  }
});

Deno.test("clients that never read, never answer, or never finish can't delay a stop", async () => {
  await using staps = await startStaps({
    config: "[limits]\nshutdown_timeout_s = 1\n",
  });
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const publisher = await clients.join(path);
  // More than the kernel takes, less than makes it a slow reader.
  using neverReads = await RawClient.join({ socket: staps.socket }, path);
  for (let i = 0; i < 6; i++) publisher.send(new Uint8Array(1024 * 1024));
  using neverAnswers = await RawClient.join(
    { socket: staps.socket },
    newPath(),
  );
  using halfAHandshake = await RawClient.connect({ socket: staps.socket });
  await halfAHandshake.write(handshakeBytes().subarray(0, 20));
  using silent = await RawClient.connect({ socket: staps.socket });
  using halfAMessage = await RawClient.join(
    { socket: staps.socket },
    newPath(),
  );
  await halfAMessage.send(opcodes.text, "half", { fin: false });

  const startedMs = performance.now();
  const { code } = await staps.stop();
  const tookMs = performance.now() - startedMs;
  assert.equal(code, 0);
  // Ten times its time limit: this machine may be busy, but nobody waited for a client.
  assert.ok(tookMs < 10_000, `Expected about 1 s, got ${tookMs} ms`);
  assert.equal((await publisher.closed).code, 1001);
  const last = (await neverAnswers.readToEnd()).at(-1)!;
  assert.deepEqual([last.opcode, readClose(last.payload).code], [
    opcodes.close,
    1001,
  ]);
  await assertGone(staps);
  void neverReads, silent;
});

Deno.test("a stop refuses new clients at once", async () => {
  await using staps = await startStaps({
    config: "[limits]\nshutdown_timeout_s = 20\n",
  });
  using neverAnswers = await RawClient.join(
    { socket: staps.socket },
    newPath(),
  );
  staps.signal("SIGTERM");
  let frame;
  while ((frame = await neverAnswers.readFrame())?.opcode !== opcodes.close) {
    assert.ok(frame);
  }
  // While it waits for that one, the socket is gone.
  await eventually(
    () =>
      RawClient.connect({ socket: staps.socket }).then(
        (client) => client.close(),
        () => true,
      ),
    "a refusal",
  );
  await neverAnswers.send(opcodes.close, frame!.payload);
  assert.equal((await within(staps.status, "the end")).code, 0);
});

Deno.test("what was published before the signal arrives before the goodbye", async () => {
  await using staps = await startStaps();
  await using clients = new Clients(staps.socket);
  const [publisher, ...readers] = await clients.joinMany(newPath(), 4);
  for (let i = 0; i < 200; i++) publisher!.send(String(i));
  // Its own frames come in order: when this one is answered, the others were read.
  assert.equal(await readers[0]!.next(), "0");
  await readers[0]!.take(199);
  staps.signal("SIGTERM");
  for (const reader of readers.slice(1)) {
    for (let i = 0; i < 200; i++) assert.equal(await reader.next(), String(i));
    assert.equal((await reader.closed).code, 1001);
  }
  assert.equal((await within(staps.status, "the end")).code, 0);
});

for (const [signal, status] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`a second signal, ${signal}, ends it at once`, async () => {
    await using staps = await startStaps({
      config: "[limits]\nshutdown_timeout_s = 600\n",
    });
    using neverAnswers = await RawClient.join(
      { socket: staps.socket },
      newPath(),
    );
    staps.signal("SIGTERM");
    await staps.printed(/stopping/);
    const { code } = await staps.stop(signal);
    assert.equal(code, status);
    await assert.rejects(Deno.lstat(staps.socket), Deno.errors.NotFound);
    void neverAnswers;
  });
}
