/**
 * Several messages of one channel in one body, for when a node has more to say
 * than the broker takes: a message of its own costs the broker far more than
 * some bytes in another.
 *
 * Each is preceded by four bytes, big-endian: its length in 31 bits, below one
 * that tells whether it is binary.
 */
import { Buffer } from "node:buffer";
import type { Message } from "../relay/message.ts";

/** What precedes each message, in bytes. */
export const headerBytes = 4;

const binaryFlag = 0x8000_0000;

/** Gets the bytes of `messages`. */
export function writeBatch(
  messages: readonly Message[],
): Uint8Array<ArrayBuffer> {
  const bytes = messages.reduce(
    (sum, { payload }) => sum + headerBytes + payload.length,
    0,
  );
  const batch = Buffer.alloc(bytes);
  let at = 0;
  for (const { isText, payload } of messages) {
    const header = isText ? payload.length : payload.length | binaryFlag;
    batch.writeUInt32BE(header >>> 0, at);
    batch.set(payload, at + headerBytes);
    at += headerBytes + payload.length;
  }
  return batch;
}

/**
 * Gets the messages of a batch.
 *
 * @throws {RangeError} If it isn't one.
 */
export function readBatch(
  body: Uint8Array<ArrayBuffer>,
): { isText: boolean; payload: Uint8Array<ArrayBuffer> }[] {
  const batch = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const messages = [];
  for (let at = 0; at < batch.byteLength;) {
    const header = batch.readUInt32BE(at);
    const bytes = header & ~binaryFlag;
    const start = at + headerBytes;
    at = start + bytes;
    if (at > batch.byteLength) throw new RangeError("Cannot read a batch: cut");
    messages.push({
      isText: header < binaryFlag,
      payload: body.subarray(start, at),
    });
  }
  return messages;
}
