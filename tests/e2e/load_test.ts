/** Very much at once, and readers that are slow, measured. Runs alone. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { testDoors } from "../helpers/doors.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import { startStaps } from "../../tools/process.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../../tools/raw_client.ts";
import { peakBytes, resetPeak, residentBytes } from "../helpers/resident.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

const MiB = 1024 * 1024;
const { text, binary, close, ping, pong } = opcodes;

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
  "88 KB of small messages to 990 readers arrive, and take less than 64 MiB",
  async ({ staps, target }) => {
    const path = newPath();
    using stack = new DisposableStack();
    const readers: RawClient[] = [];
    for (let i = 0; i < 990; i++) {
      readers.push(stack.use(await RawClient.join(target, path)));
    }
    using publisher = await RawClient.join(target, path);
    const count = 8000;
    const block = concat(
      Array.from({ length: count }, () => frameBytes(text, "hello")),
    );
    const before = await residentBytes(staps.pid);
    await resetPeak(staps.pid);
    // Whole frames of 5 bytes without a mask; nobody is silent for long enough to get a ping.
    const expected = "\x81\x05hello".repeat(count);
    const arrived = readers.map(async (reader) => {
      const got = await reader.readBytes(7 * count);
      assert.ok(Buffer.from(got).toString("latin1") === expected);
    });
    await publisher.write(block);
    await Promise.all(arrived);
    const more = await peakBytes(staps.pid) - before;
    assert.ok(more < 64 * MiB, `Expected less than 64 MiB, got ${more / MiB}`);
  },
);

testDoors(
  "floods of the smallest frames take little memory, and others go on talking",
  async ({ staps, target, server }) => {
    await using clients = new Clients(server);
    const [a, b] = await clients.joinMany(newPath(), 2);
    await converse(a!, b!);
    const before = await residentBytes(staps.pid);
    for (
      const [opcode, content] of [
        [text, ""],
        [ping, "p".repeat(125)],
        [ping, ""],
        [pong, ""],
      ] as const
    ) {
      const path = newPath();
      using reader = await RawClient.join(target, path);
      using flooder = await RawClient.join(target, path);
      void reader.readAway();
      // Its pongs are never read.
      const frame = frameBytes(opcode, content);
      const block = concat(
        Array.from({ length: Math.ceil(MiB / frame.length) }, () => frame),
      );
      let isDone = false;
      const flood = (async () => {
        for (let i = 0; i < 8; i++) await flooder.write(block);
        isDone = true;
      })();
      let talks = 0;
      for (; !isDone; talks++) await converse(a!, b!);
      await flood;
      assert.ok(talks > 0);
    }
    await eventually(
      async () => await residentBytes(staps.pid) < before + 128 * MiB,
      "at most 128 MiB more",
    );
  },
);

testDoors(
  "1 GiB as fast as it goes arrives at a reader of 50 MB/s, whose memory isn't the node's",
  async ({ staps, target }) => {
    // nginx passes on what it gets: a quarter is enough.
    const count = ("socket" in target ? 1024 : 256) * MiB / payload.length;
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
    assert.equal(staps.stderr.match(/client ended/g)?.length, 1);
    assert.match(staps.stderr, /why=slow code=4000/);
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

Deno.test("a process that stood still judges nobody by that time", async () => {
  await using staps = await startStaps({
    config:
      "[limits]\nidle_timeout_s = 2\nslow_after_s = 2\nhandshake_timeout_s = 2\n",
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
  using _late = await RawClient.connect(target);
  assert.equal((await alive.readFrame())?.opcode, ping);
  staps.signal("SIGSTOP");
  await alive.send(pong);
  // Longer than everybody has.
  await pause(4500);
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
});
