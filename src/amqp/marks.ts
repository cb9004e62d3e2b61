/**
 * Marks: the number of a node's last message in a channel, for many channels in
 * one body. Sixteen bytes each: the first eight of the channel's routing key,
 * which is a hash, and the number, big-endian.
 */
import { Buffer } from "node:buffer";

/** What a node has sent in one channel. */
export interface Mark {
  /** The first {@linkcode prefixDigits} of the channel's routing key. */
  readonly prefix: string;
  /** The number of its last message there, 0 if there is none. */
  readonly last: number;
}

/** How many hexadecimal digits of a routing key tell channels apart. */
export const prefixDigits = 16;

/** So many fit into one letter, so that any broker takes it and any queue has room. */
export const maxMarks = 1_000;

const markBytes = 16;
const numberAt = 8;

/** Gets the bytes of `marks`. */
export function writeMarks(marks: readonly Mark[]): Uint8Array<ArrayBuffer> {
  const body = Buffer.alloc(marks.length * markBytes);
  for (const [index, { prefix, last }] of marks.entries()) {
    body.write(prefix, index * markBytes, "hex");
    body.writeBigUInt64BE(BigInt(last), index * markBytes + numberAt);
  }
  return body;
}

/** Gets the marks in `body`; none if it isn't a body of marks. */
export function readMarks(body: Uint8Array<ArrayBuffer>): Mark[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length % markBytes !== 0) return [];
  const marks: Mark[] = [];
  for (let at = 0; at < bytes.length; at += markBytes) {
    const last = Number(bytes.readBigUInt64BE(at + numberAt));
    if (!Number.isSafeInteger(last)) return [];
    marks.push({ prefix: bytes.toString("hex", at, at + numberAt), last });
  }
  return marks;
}
