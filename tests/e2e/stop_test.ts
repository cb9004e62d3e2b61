/** The ends that are hard to tell or to reach: busy clients, silent brokers. */
import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import { spawnStaps, startStaps } from "../helpers/process.ts";
import {
  frameBytes,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../helpers/raw_client.ts";
import { newPath } from "../helpers/shared_staps.ts";

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
