/** Very much at once, and readers that are slow, measured. Runs alone. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { testDoors } from "../helpers/doors.ts";
import { pause } from "../../tools/eventually.ts";
import { startStaps } from "../../tools/process.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
} from "../../tools/raw_client.ts";
import { assertTakesLess } from "../helpers/resident.ts";
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

/** Gets the next message's number. Answers pings. */
async function nextOf(reader: RawClient): Promise<number> {
  while (true) {
    const frame = await reader.readFrame();
    assert.ok(frame, "Expected a message, got the end");
    assert.notEqual(frame.opcode, close);
    if (frame.opcode === ping) await reader.send(pong, frame.payload);
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
    // Whole frames of 5 bytes without a mask; nobody is silent for long enough to get a ping.
    const expected = "\x81\x05hello".repeat(count);
    await assertTakesLess({ pid: staps.pid, mostMib: 64 }, async () => {
      const arrived = readers.map(async (reader) => {
        const got = await reader.readBytes(7 * count);
        assert.ok(Buffer.from(got).toString("latin1") === expected);
      });
      await publisher.write(block);
      await Promise.all(arrived);
    });
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
    await assertTakesLess({ pid: staps.pid, mostMib: 32 }, async () => {
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
    });
    assert.doesNotMatch(staps.stderr, /client ended/);
  },
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
