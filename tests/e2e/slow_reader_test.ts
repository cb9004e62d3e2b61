/** A client that doesn't read, measured: it costs itself, and nobody else. Runs alone. */
import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { startStaps } from "../helpers/process.ts";
import { opcodes, RawClient, readClose } from "../helpers/raw_client.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { type Client, Clients } from "../helpers/ws_client.ts";

const MiB = 1024 * 1024;
const messageBytes = 64 * 1024;
const messageCount = 64 * MiB / messageBytes;

/** Gets the resident memory of the process `pid` in bytes (proc(5)). */
async function residentBytes(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

/** Publishes 64 MiB, no faster than the readers read, and checks that each of them gets everything. */
async function publishAll(
  publisher: Client,
  readers: readonly Client[],
): Promise<void> {
  const message = new Uint8Array(messageBytes);
  const view = new DataView(message.buffer);
  const ahead = 16;
  for (let sent = 0, got = 0; got < messageCount;) {
    if (sent < messageCount && sent < got + ahead) {
      view.setUint32(0, sent++);
      publisher.send(message);
      continue;
    }
    for (const reader of readers) {
      const next = await reader.next();
      assert.ok(next instanceof Uint8Array && next.length === messageBytes);
      assert.equal(new DataView(next.buffer).getUint32(0), got);
    }
    got++;
  }
}

Deno.test("a reader that never reads is closed as slow; the others get all, and the memory comes back", async () => {
  await using staps = await startStaps({
    // Long enough for it to read why it was closed, once it reads again.
    config: "[limits]\nslow_after_s = 1\nclose_timeout_s = 60\n",
  });
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const [publisher, ...readers] = await clients.joinMany(path, 6);

  // The runtime keeps some of the memory that it once had, and takes less and
  // less new: the same load, slow reader included, comes a few times before.
  for (let round = 0; round < 3; round++) {
    using _slow = await RawClient.join({ socket: staps.socket }, path);
    await publishAll(publisher!, readers);
  }
  const before = await residentBytes(staps.pid);

  using slow = await RawClient.join({ socket: staps.socket }, path);
  await publishAll(publisher!, readers);
  const ended = (): number => staps.stderr.match(/why=slow/g)?.length ?? 0;
  await eventually(() => ended() === 4, () => `4 slow clients, got ${ended()}`);
  // It still doesn't read; what was queued for it, 1 MiB at the most, is gone.
  await eventually(
    async () => await residentBytes(staps.pid) <= before + 8 * MiB,
    async () =>
      `${before / MiB} MiB of memory, got ${
        await residentBytes(staps.pid) / MiB
      }`,
  );

  // When it reads again it gets the messages up to one, and why there are no more.
  let expected = 0;
  while (true) {
    const frame = await slow.readFrame();
    assert.ok(
      frame,
      `Expected a close frame, got the end after ${expected} messages`,
    );
    if (frame.opcode === opcodes.close) {
      assert.deepEqual(readClose(frame.payload), {
        code: 4000,
        reason: "reads too slowly",
      });
      break;
    }
    if (frame.opcode !== opcodes.binary) continue;
    assert.equal(new DataView(frame.payload.buffer).getUint32(0), expected++);
  }
  assert.ok(expected > 0 && expected < messageCount);
  await slow.send(opcodes.close);
  assert.deepEqual(await slow.readToEnd(), []);
  assert.ok([publisher!, ...readers].every((client) => client.isOpen));
});
