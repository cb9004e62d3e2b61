/** A fast sender is held back before a reader is lost, measured. Runs alone. */
import assert from "node:assert/strict";
import { testDoors } from "../helpers/doors.ts";
import { pause } from "../helpers/eventually.ts";
import { startStaps } from "../helpers/process.ts";
import {
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../helpers/raw_client.ts";
import { peakBytes, resetPeak, residentBytes } from "../helpers/resident.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../helpers/ws_client.ts";

const MiB = 1024 * 1024;
const { binary, close, ping, pong } = opcodes;

/** A message of 256 KiB with room for its number, and the frame that it is in. */
const payload = new Uint8Array(256 * 1024);

function numbered(number: number): Uint8Array {
  new DataView(payload.buffer).setUint32(0, number);
  return frameBytes(binary, payload);
}

/** Gets the next message's number, or what the close says. Answers pings. */
async function nextOf(
  reader: RawClient,
): Promise<number | ReturnType<typeof readClose>> {
  while (true) {
    const frame = await reader.readFrame();
    assert.ok(frame, "Expected a message, got the end");
    if (frame.opcode === ping) await reader.send(pong, frame.payload);
    if (frame.opcode === close) return readClose(frame.payload);
    if (frame.opcode !== binary) continue;
    return new DataView(frame.payload.buffer).getUint32(0);
  }
}

testDoors(
  "1 GiB as fast as it goes arrives at a reader of 50 MB/s, whose memory isn't the node's",
  async ({ staps, target }) => {
    const count = 1024 * MiB / payload.length;
    const path = newPath();
    using publisher = await RawClient.join(target, path);
    using reader = await RawClient.join(target, path);
    const before = await residentBytes(staps.pid);
    await resetPeak(staps.pid);
    const startMs = performance.now();
    const reading = (async () => {
      for (let expected = 0; expected < count; expected++) {
        assert.equal(await nextOf(reader), expected);
        const dueMs = startMs + (expected + 1) * payload.length / 50_000;
        await pause(Math.max(0, dueMs - performance.now()));
      }
    })();
    for (let i = 0; i < count; i++) await publisher.write(numbered(i));
    await reading;
    const more = await peakBytes(staps.pid) - before;
    assert.ok(more < 32 * MiB, `Expected less than 32 MiB, got ${more / MiB}`);
    assert.doesNotMatch(staps.stderr, /client ended/);
  },
);

testDoors(
  "nine fast readers beside a stuck one get everything, and wait for it once",
  async ({ staps, target }) => {
    const count = 256;
    const path = newPath();
    using stack = new DisposableStack();
    const join = async (): Promise<RawClient> =>
      stack.use(await RawClient.join(target, path));
    const stuck = await join();
    const publisher = await join();
    const readers: RawClient[] = [];
    for (let i = 0; i < 9; i++) readers.push(await join());
    const reading = readers.map(async (reader) => {
      let waits = 0;
      for (let expected = 0; expected < count; expected++) {
        const sinceMs = performance.now();
        assert.equal(await nextOf(reader), expected);
        if (performance.now() - sinceMs > 1000) waits++;
      }
      return waits;
    });
    for (let i = 0; i < count; i++) await publisher.write(numbered(i));
    assert.deepEqual(await Promise.all(reading), readers.map(() => 1));
    assert.equal(staps.stderr.match(/why=slow code=4000/g)?.length, 1);
    // It is told, behind what was queued for it.
    for (let expected = 0;; expected++) {
      const next = await nextOf(stuck);
      if (typeof next === "number") assert.equal(next, expected);
      else {
        assert.deepEqual(next, { code: 4000, reason: "reads too slowly" });
        break;
      }
    }
  },
  { config: "[limits]\nslow_after_s = 2\nclose_timeout_s = 30\n" },
);

// Both, if both are behind by then: see "Brake" in tests/relay/brake_test.ts. What is on
// its way to one may be too much for the other to have more than a little queued.
Deno.test("of two who only write, who is behind is closed as slow", async () => {
  await using staps = await startStaps({
    config: "[limits]\nslow_after_s = 2\nclose_timeout_s = 30\n",
  });
  const target = { socket: staps.socket };
  const path = newPath();
  using a = await RawClient.join(target, path);
  using b = await RawClient.join(target, path);
  const writing = [a, b].map(async (client) => {
    try {
      while (true) await client.write(frameBytes(binary, payload));
    } catch {
      // Closed.
    }
  });
  await staps.printed(/why=slow/);
  const ends = [a, b].map(async (client) => {
    let next;
    do next = await nextOf(client); while (typeof next === "number");
    assert.equal(next.code, 4000);
  });
  await Promise.race(ends);
  for (const client of [a, b]) client.close();
  await Promise.allSettled([...ends, ...writing]);
});

Deno.test("a process that stood still judges nobody by that time", async () => {
  await using staps = await startStaps({
    config:
      "[limits]\nidle_timeout_s = 4\nslow_after_s = 4\nhandshake_timeout_s = 4\n",
  });
  const target = { socket: staps.socket };
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const [a, b] = await clients.joinMany(newPath(), 2);
  using alive = await RawClient.join(target, newPath());
  using publisher = await RawClient.join(target, path);
  using behind = await RawClient.join(target, path);
  // More than brake_bytes and what the kernel takes wait for it.
  const publishing = (async () => {
    for (let i = 0; i < 8; i++) await publisher.write(numbered(i));
  })();
  using late = await RawClient.connect(target);
  assert.equal((await alive.readFrame())?.opcode, ping);
  staps.signal("SIGSTOP");
  await alive.send(pong);
  // Longer than everybody has.
  await pause(9000);
  staps.signal("SIGCONT");
  for (let expected = 0; expected < 8; expected++) {
    assert.equal(await nextOf(behind), expected);
  }
  await publishing;
  await converse(a!, b!);
  // Another round of pings.
  assert.equal((await alive.readFrame())?.opcode, ping);
  await alive.send(pong);
  assert.doesNotMatch(staps.stderr, /client ended/);
  late.close();
});
