/**
 * What the bytes that a client sends mean by RFC 6455, decided apart from
 * src/listener: one frame after the other, all bytes at hand. Slow and short,
 * to be compared with what is fast.
 */
import { concat, opcodes } from "../../tools/raw_client.ts";

/** A rule of RFC 6455, or the limit of messages, by what breaks it. */
export type Rule = keyof typeof closeCodes;

/** With which code the connection ends of whoever breaks a rule (RFC 6455 section 7.4.1). */
const closeCodes = {
  "a reserved bit": 1002,
  "a reserved opcode": 1002,
  "a frame without a mask": 1002,
  "a control frame in fragments": 1002,
  "a control frame over 125 bytes": 1002,
  "a continuation of nothing": 1002,
  "a message inside of another one": 1002,
  "a length over 63 bits": 1002,
  "a length in more bytes than needed": 1002,
  "a message over the limit": 1009,
  "text that isn't UTF-8": 1007,
  "a close frame with half a code": 1002,
  "a close code that nobody may send": 1002,
  "a close reason that isn't UTF-8": 1007,
} as const;

/** A message, or a control frame. */
export interface ModelEvent {
  readonly kind: "text" | "binary" | "ping" | "pong";
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** How the bytes end. */
export type ModelEnd =
  /** Behind a frame, and no message is under way. */
  | { readonly kind: "between" }
  /** Inside of a frame or a message. */
  | { readonly kind: "inside" }
  | { readonly kind: "close"; readonly code: number; readonly reason: string }
  | { readonly kind: "broken"; readonly rule: Rule; readonly code: number };

/** What some bytes mean. */
export interface Reading {
  /** In their order, up to the end. */
  readonly events: readonly ModelEvent[];
  readonly end: ModelEnd;
}

/** Reads frames up to the first close frame or broken rule. A header's rules count as soon as enough of it is there. */
export function readFrames(
  bytes: Uint8Array<ArrayBuffer>,
  { maxBytes }: { maxBytes: number },
): Reading {
  const events: ModelEvent[] = [];
  /** The message that is under way. */
  let kind: "text" | "binary" | undefined;
  let parts: Uint8Array<ArrayBuffer>[] = [];
  const finish = (end: ModelEnd): Reading => ({ events, end });
  const broken = (rule: Rule): Reading =>
    finish({ kind: "broken", rule, code: closeCodes[rule] });

  for (let at = 0;;) {
    if (at === bytes.length && kind === undefined) {
      return finish({ kind: "between" });
    }
    const header = readHeader(bytes, at, {
      inMessage: kind !== undefined,
      leftBytes: maxBytes - parts.reduce((sum, part) => sum + part.length, 0),
    });
    if (typeof header === "string") return broken(header);
    if (header === undefined || header.end > bytes.length) {
      return finish({ kind: "inside" });
    }
    const { opcode, isLast, start, end } = header;
    const payload = bytes.slice(start, end);
    for (let i = 0; i < payload.length; i++) {
      payload[i]! ^= bytes[start - 4 + i % 4]!;
    }
    at = end;
    if (opcode === opcodes.close) {
      const close = readClose(payload);
      return typeof close === "string" ? broken(close) : finish(close);
    }
    if (opcode === opcodes.ping || opcode === opcodes.pong) {
      events.push({
        kind: opcode === opcodes.ping ? "ping" : "pong",
        payload,
      });
      continue;
    }
    if (opcode === opcodes.text) kind = "text";
    if (opcode === opcodes.binary) kind = "binary";
    parts.push(payload);
    if (!isLast) continue;
    const whole = parts.length === 1 ? payload : concat(parts);
    if (kind === "text" && readText(whole) === undefined) {
      return broken("text that isn't UTF-8");
    }
    events.push({ kind: kind!, payload: whole });
    kind = undefined;
    parts = [];
  }
}

/** Gets the messages among events: `text 6162`. */
export function messagesOf(events: readonly ModelEvent[]): string[] {
  return events.filter(({ kind }) => kind === "text" || kind === "binary")
    .map(({ kind, payload }) => `${kind} ${payload.toHex()}`);
}

interface Header {
  readonly opcode: number;
  readonly isLast: boolean;
  /** Where the payload begins and ends. */
  readonly start: number;
  readonly end: number;
}

/** Reads a header (RFC 6455 section 5.2), or gets the rule that it breaks; `undefined` if it isn't all there. */
function readHeader(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  { inMessage, leftBytes }: { inMessage: boolean; leftBytes: number },
): Header | Rule | undefined {
  const has = (end: number): boolean => end <= bytes.length;
  if (!has(at + 2)) return undefined;
  const [first, second] = [bytes[at]!, bytes[at + 1]!];
  const isLast = first >= 0x80;
  const opcode = first % 16;
  if ((first & 0b0111_0000) > 0) return "a reserved bit";
  if (![0, 1, 2, 8, 9, 10].includes(opcode)) return "a reserved opcode";
  if (second < 0x80) return "a frame without a mask";
  let length = second % 128;
  const isControl = opcode >= 8;
  if (isControl && !isLast) return "a control frame in fragments";
  if (isControl && length > 125) return "a control frame over 125 bytes";
  if (opcode === 0 && !inMessage) return "a continuation of nothing";
  if (!isControl && opcode !== 0 && inMessage) {
    return "a message inside of another one";
  }
  let start = at + 2;
  if (length === 126) {
    start += 2;
    if (!has(start)) return undefined;
    length = bytes[start - 2]! * 256 + bytes[start - 1]!;
    if (length < 126) return "a length in more bytes than needed";
  } else if (length === 127) {
    start += 8;
    if (!has(start)) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset + start - 8, 8);
    const exact = view.getBigUint64(0);
    if (exact >= 2n ** 63n) return "a length over 63 bits";
    if (exact < 65_536n) return "a length in more bytes than needed";
    length = Number(exact);
  }
  if (!isControl && length > leftBytes) return "a message over the limit";
  start += 4;
  return has(start)
    ? { opcode, isLast, start, end: start + length }
    : undefined;
}

/** RFC 6455 sections 5.5.1 and 7.4, and the registry of section 11.7. */
function readClose(payload: Uint8Array): ModelEnd | Rule {
  if (payload.length === 0) return { kind: "close", code: 1005, reason: "" };
  if (payload.length === 1) return "a close frame with half a code";
  const code = payload[0]! * 256 + payload[1]!;
  const isRegistered = code >= 1000 && code <= 1014 &&
    ![1004, 1005, 1006].includes(code);
  if (!isRegistered && (code < 3000 || code > 4999)) {
    return "a close code that nobody may send";
  }
  const reason = readText(payload.subarray(2));
  if (reason === undefined) return "a close reason that isn't UTF-8";
  return { kind: "close", code, reason };
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
