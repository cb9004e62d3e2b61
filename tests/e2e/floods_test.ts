/** Very much at once, measured: it arrives, and takes little memory. Runs alone. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { testDoors } from "../helpers/doors.ts";
import { eventually } from "../helpers/eventually.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
} from "../helpers/raw_client.ts";
import { peakBytes, resetPeak, residentBytes } from "../helpers/resident.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../helpers/ws_client.ts";

const MiB = 1024 * 1024;
const { text, ping } = opcodes;

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
      const [opcode, payload] of [
        [text, ""],
        [ping, "p".repeat(125)],
        [ping, ""],
        [opcodes.pong, ""],
      ] as const
    ) {
      const path = newPath();
      using reader = await RawClient.join(target, path);
      using flooder = await RawClient.join(target, path);
      void reader.readAway();
      // Its pongs are never read.
      const frame = frameBytes(opcode, payload);
      const block = concat(
        Array.from({ length: Math.ceil(MiB / frame.length) }, () => frame),
      );
      let isDone = false;
      const flood = (async () => {
        for (let i = 0; i < 8; i++) await flooder.write(block);
        isDone = true;
      })();
      let talks = 0;
      while (!isDone) {
        await converse(a!, b!);
        talks++;
      }
      await flood;
      assert.ok(talks > 0);
    }
    await eventually(
      async () => await residentBytes(staps.pid) < before + 128 * MiB,
      "at most 128 MiB more",
    );
  },
);
