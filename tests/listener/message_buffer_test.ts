import assert from "node:assert/strict";
import { MessageBuffer } from "../../src/listener/message_buffer.ts";
import { headBytes, opcodes } from "../../src/listener/frames.ts";

const MiB = 1024 * 1024;
/** A mask that changes nothing. */
const key = 0;

/** Collects `count` bytes in parts, of a message that can become `mostBytes` large. */
function collect(count: number, mostBytes = 64 * MiB): MessageBuffer {
  const buffer = new MessageBuffer();
  const part = new Uint8Array(1000).fill(0x61);
  for (let left = count; left > 0; left -= part.length) {
    const size = Math.min(part.length, left);
    buffer.append(part, 0, size, { key, mostBytes });
  }
  return buffer;
}

Deno.test("MessageBuffer.toFrame() keeps at most a quarter more memory than the frame has", () => {
  for (const count of [1, 100, 513, 70_000, 300_000, MiB + 1]) {
    const frame = collect(count).toFrame(opcodes.text);
    assert.equal(frame.length, headBytes(count) + count);
    assert.equal(frame.at(-1), 0x61);
    const { byteLength } = frame.buffer;
    // And the room for the longest header, in whole words.
    assert.ok(
      byteLength <= frame.length * 1.25 + 16,
      `${count}: ${byteLength}`,
    );
  }
});

/** Blocks of less than 64 KiB wait for a collection: together less than twice that per message. */
const uncollectedBytes = 128 * 1024;

Deno.test("MessageBuffer takes about twice of what has arrived, and never more than can come", () => {
  for (const [mostBytes, most] of [[64 * MiB, 2 * MiB], [MiB + 1, MiB]]) {
    const before = Deno.memoryUsage().external;
    const growth = (): number => Deno.memoryUsage().external - before;
    const buffers = Array.from(
      { length: 5 },
      () => collect(MiB + 1, mostBytes),
    );
    assert.ok(growth() < 5 * (most! + uncollectedBytes), `${growth()} bytes`);
    for (const buffer of buffers) buffer.discard();
    // At once: a collection may be long in coming.
    assert.ok(growth() < 5 * uncollectedBytes, `${growth()} bytes stay`);
  }
});
