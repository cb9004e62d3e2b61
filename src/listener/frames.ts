/** The frames of RFC 6455, as a server writes them; and what a close frame may say. */
import { isUtf8 } from "node:buffer";

/** RFC 6455 section 11.8. */
export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** Marks the last frame of a message, in a header's first byte. */
export const finBit = 0x80;
/** The longest header of a frame without a mask, in bytes (RFC 6455 section 5.2). */
export const maxHeadBytes = 10;
/** The most that a control frame may carry, in bytes (RFC 6455 section 5.5). */
export const maxControlBytes = 125;
/** The most that the reason in a close frame may take, in bytes: its code takes 2. */
export const maxReasonBytes = maxControlBytes - 2;
/** Stands for a close frame without a code (RFC 6455 section 7.4.1). Never on the wire. */
export const noCode = 1005;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Gets the size of the header before `payloadBytes` without a mask, in bytes. */
export function headBytes(payloadBytes: number): number {
  return payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : maxHeadBytes;
}

/** Gets the size of the payload of `frame`, a whole one without a mask, in bytes. */
export function payloadBytes(frame: Uint8Array): number {
  const length = frame[1]!;
  return frame.length - (length < 126 ? 2 : length === 126 ? 4 : maxHeadBytes);
}

/** Writes the header of a whole frame without a mask into `target`, from `at` on. */
export function writeHead(
  target: Uint8Array,
  at: number,
  opcode: number,
  payloadBytes: number,
): void {
  target[at] = finBit | opcode;
  if (payloadBytes < 126) {
    target[at + 1] = payloadBytes;
  } else if (payloadBytes < 65536) {
    target[at + 1] = 126;
    target[at + 2] = payloadBytes >> 8;
    target[at + 3] = payloadBytes;
  } else {
    target[at + 1] = 127;
    const high = Math.floor(payloadBytes / 2 ** 32);
    for (let i = 0; i < 4; i++) {
      target[at + 2 + i] = high >>> 24 - 8 * i;
      target[at + 6 + i] = payloadBytes >>> 24 - 8 * i;
    }
  }
}

/** Gets a frame, whole and without a mask. */
export function frameOf(
  opcode: number,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const start = headBytes(payload.length);
  const frame = new Uint8Array(start + payload.length);
  writeHead(frame, 0, opcode, payload.length);
  frame.set(payload, start);
  return frame;
}

/** Gets the frame of a message that didn't come as one, from another node for instance. */
export function messageFrame(
  payload: Uint8Array,
  { isText }: { isText: boolean },
): Uint8Array<ArrayBuffer> {
  return frameOf(isText ? opcodes.text : opcodes.binary, payload);
}

/** Gets the messages in `frames`, each of them a whole frame without a mask (RFC 6455 section 5.2). */
export function* messagesIn(
  frames: Uint8Array<ArrayBuffer>,
): Generator<{ isText: boolean; payload: Uint8Array<ArrayBuffer> }> {
  const view = new DataView(
    frames.buffer,
    frames.byteOffset,
    frames.byteLength,
  );
  for (let start = 0; start < frames.length;) {
    const isText = (frames[start]! & 0x0f) === opcodes.text;
    const short = frames[start + 1]!;
    const [headBytes, payloadBytes] = short < 126
      ? [2, short]
      : short === 126
      ? [4, view.getUint16(start + 2)]
      : [10, Number(view.getBigUint64(start + 2))];
    const end = start + headBytes + payloadBytes;
    yield { isText, payload: frames.subarray(start + headBytes, end) };
    start = end;
  }
}

/**
 * Gets a close frame.
 *
 * @param code 1005 makes a frame without code and reason.
 * @param reason Cut off, between two characters, at {@linkcode maxReasonBytes}.
 */
export function closeFrame(
  code: number,
  reason = "",
): Uint8Array<ArrayBuffer> {
  if (code === noCode) return frameOf(opcodes.close, new Uint8Array(0));
  const payload = new Uint8Array(maxControlBytes);
  payload[0] = code >> 8;
  payload[1] = code;
  const { written } = encoder.encodeInto(reason, payload.subarray(2));
  return frameOf(opcodes.close, payload.subarray(0, 2 + written));
}

/**
 * Says whether an endpoint may send `code` in a close frame: it has a meaning by
 * RFC 6455 section 7.4.1 or the registry of section 11.7, or is left to
 * libraries and applications.
 */
export function isCloseCode(code: number): boolean {
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) ||
    code >= 3000 && code <= 4999;
}

/** What a close frame says, or what is wrong with it. */
export type ClosePayload =
  | { readonly code: number; readonly reason: string }
  | { readonly fault: "protocol" | "not_utf8"; readonly text: string };

/** Reads the payload of a close frame (RFC 6455 section 5.5.1). */
export function readClosePayload(payload: Uint8Array): ClosePayload {
  if (payload.length === 0) return { code: noCode, reason: "" };
  if (payload.length === 1) {
    return { fault: "protocol", text: "close frame with half a code" };
  }
  const code = payload[0]! << 8 | payload[1]!;
  if (!isCloseCode(code)) {
    return { fault: "protocol", text: `close code ${code} is not allowed` };
  }
  const reason = payload.subarray(2);
  if (!isUtf8(reason)) {
    return { fault: "not_utf8", text: "close reason is not UTF-8" };
  }
  return { code, reason: decoder.decode(reason) };
}

/**
 * Gets frames as one array to send: without copying if they lie one behind the
 * other in the same buffer, as those of messages that one read brought.
 */
export function joinFrames(
  frames: readonly Uint8Array<ArrayBuffer>[],
): Uint8Array<ArrayBuffer> {
  const [first] = frames;
  if (first === undefined) return new Uint8Array(0);
  if (frames.length === 1) return first;
  let bytes = 0;
  let together = true;
  for (const { buffer, byteOffset, length } of frames) {
    together &&= buffer === first.buffer &&
      byteOffset === first.byteOffset + bytes;
    bytes += length;
  }
  if (together) return new Uint8Array(first.buffer, first.byteOffset, bytes);
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const frame of frames) {
    whole.set(frame, at);
    at += frame.length;
  }
  return whole;
}
