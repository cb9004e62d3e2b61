import assert from "node:assert/strict";
import {
  FrameReader,
  maxBufferBytes,
  minBufferBytes,
} from "../../src/listener/frame_reader.ts";
import { ReadBuffers } from "../../src/listener/read_buffers.ts";
import { frameBytes, opcodes } from "../../tools/raw_client.ts";

function newBuffers(): { buffers: ReadBuffers; reader: FrameReader } {
  const reader = new FrameReader({ messageBytes: 1 << 20 });
  return { reader, buffers: new ReadBuffers(reader) };
}

Deno.test("ReadBuffers are small until a read fills one, large until one doesn't", () => {
  const { buffers } = newBuffers();
  assert.equal(buffers.space().length, minBufferBytes);
  buffers.wasRead(minBufferBytes);
  assert.equal(buffers.space().length, maxBufferBytes);
  buffers.wasRead(maxBufferBytes);
  assert.equal(buffers.space().length, maxBufferBytes);
  buffers.wasRead(maxBufferBytes - 1);
  assert.equal(buffers.space().length, minBufferBytes);
});

Deno.test("ReadBuffers keep what the reader hasn't read when they change", () => {
  const { buffers, reader } = newBuffers();
  const frame = frameBytes(opcodes.text, "x".repeat(1000));
  const take = (bytes: Uint8Array): void => {
    buffers.space().set(bytes);
    reader.filled(bytes.length);
    buffers.wasRead(bytes.length);
  };
  buffers.fill(frame.subarray(0, 500));
  assert.equal(reader.next(), undefined);
  take(frame.subarray(500, 600));
  assert.equal(reader.next(), undefined);
  take(frame.subarray(600));
  const event = reader.next();
  assert.equal(event?.kind === "message" && event.payload.length, 1000);
});

Deno.test("ReadBuffers of all connections have 32 large ones, which come back", () => {
  const all = Array.from({ length: 40 }, newBuffers);
  const countLarge = (): number =>
    all.filter(({ buffers }) => {
      buffers.space();
      buffers.wasRead(minBufferBytes);
      const isLarge = buffers.space().length === maxBufferBytes;
      // As if that had filled it, so that it is kept.
      buffers.wasRead(isLarge ? maxBufferBytes : minBufferBytes);
      return isLarge;
    }).length;
  assert.equal(countLarge(), 32);
  for (const { buffers } of all) buffers.release();
  all.splice(0, all.length, ...Array.from({ length: 40 }, newBuffers));
  assert.equal(countLarge(), 32);
  for (const { buffers } of all) buffers.shrink();
  all.splice(0, all.length, ...Array.from({ length: 40 }, newBuffers));
  assert.equal(countLarge(), 32);
  for (const { buffers } of all) buffers.release();
});
