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

/** Gets the bytes of `messages`, which were `bytes` long together. */
export function writeBatch(
  messages: readonly Message[],
  bytes: number,
): Uint8Array<ArrayBuffer> {
  const batch = Buffer.alloc(bytes + messages.length * headerBytes);
  let at = 0;
  for (const message of messages) {
    const start = at + headerBytes;
    let length;
    if (typeof message === "string") {
      length = batch.write(message, start);
      batch.writeUInt32BE(length, at);
    } else {
      const source = message instanceof ArrayBuffer
        ? new Uint8Array(message)
        : message;
      length = source.byteLength;
      batch.set(source, start);
      batch.writeUInt32BE((length | binaryFlag) >>> 0, at);
    }
    at = start + length;
  }
  return batch.subarray(0, at);
}

/**
 * Gets the messages of a batch.
 *
 * @throws {RangeError} If it isn't one.
 */
export function readBatch(
  body: Uint8Array<ArrayBuffer>,
): { message: Message; bytes: number }[] {
  const batch = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const messages = [];
  for (let at = 0; at < batch.byteLength;) {
    const header = batch.readUInt32BE(at);
    const bytes = header & ~binaryFlag;
    const start = at + headerBytes;
    at = start + bytes;
    if (at > batch.byteLength) throw new RangeError("Cannot read a batch: cut");
    const message = header >= binaryFlag
      ? body.subarray(start, at)
      : batch.toString("utf8", start, at);
    messages.push({ message, bytes });
  }
  return messages;
}
