/** The header of a client's frame, and every rule that it can break. */
import { finBit, maxControlBytes, opcodes } from "./frames.ts";

/** Says that what follows is masked, in a header's second byte. */
export const maskBit = 0x80;
/** The size of a mask, in bytes. */
export const maskBytes = 4;

const rsvBits = 0x70;
const opcodeBits = 0x0f;
const lengthBits = 0x7f;
/** RFC 6455 section 7.4.1. */
const faultCodes = { protocol: 1002, not_utf8: 1007, too_big: 1009 } as const;

/** The client broke a rule. Nothing can be read after this. */
export interface FaultEvent {
  readonly kind: "fault";
  readonly fault: keyof typeof faultCodes;
  /** The close code that says so. */
  readonly code: typeof faultCodes[keyof typeof faultCodes];
  /** The rule, short enough for a close frame. */
  readonly reason: string;
}

/** A header without faults. */
export interface Head {
  readonly kind: "head";
  readonly opcode: number;
  readonly isLast: boolean;
  /** Its size, mask included. */
  readonly bytes: number;
  readonly payloadBytes: number;
  /** The mask, its first byte lowest. */
  readonly key: number;
}

/** What the rules depend on. */
export interface HeadContext {
  /** Whether a message in fragments is under way. */
  readonly hasMessage: boolean;
  /** How much that, or else a new message, may still bring, in bytes. */
  readonly leftBytes: number;
  /** The largest message, in bytes. */
  readonly messageBytes: number;
  /** Messages are skipped, whatever they are. */
  readonly discards: boolean;
}

/**
 * Reads the header at `start` and checks all that it says (RFC 6455 sections
 * 5.1 to 5.5), as soon as that is there; gets `undefined` if `end` comes first.
 */
export function readHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  context: HeadContext,
): Head | FaultEvent | undefined {
  if (end - start < 2) return undefined;
  const first = bytes[start]!;
  const second = bytes[start + 1]!;
  const opcode = first & opcodeBits;
  const isLast = (first & finBit) !== 0;
  const isControl = opcode >= opcodes.close;
  const shortLength = second & lengthBits;
  if ((first & rsvBits) !== 0) return broken("reserved bit set");
  if (!isOpcode(opcode)) return broken(`opcode ${opcode} is reserved`);
  if ((second & maskBit) === 0) return broken("frame without a mask");
  if (isControl) {
    if (!isLast) return broken("control frame in fragments");
    if (shortLength > maxControlBytes) {
      return broken(`control frame over ${maxControlBytes} bytes`);
    }
  } else if (!context.discards) {
    const isContinuation = opcode === opcodes.continuation;
    if (isContinuation && !context.hasMessage) {
      return broken("continuation of no message");
    }
    if (!isContinuation && context.hasMessage) {
      return broken("message inside of another one");
    }
  }
  const lengthBytes = shortLength === 127 ? 8 : shortLength === 126 ? 2 : 0;
  const headBytes = 2 + lengthBytes + maskBytes;
  // The length is judged before the mask is there.
  if (end - start < 2 + lengthBytes) return undefined;
  // Not by the number, which isn't exact any more when it is that large.
  if (lengthBytes === 8 && (bytes[start + 2]! & 0x80) !== 0) {
    return broken("length over 63 bits");
  }
  let payloadBytes = lengthBytes === 0 ? shortLength : 0;
  for (let i = 0; i < lengthBytes; i++) {
    payloadBytes = payloadBytes * 256 + bytes[start + 2 + i]!;
  }
  const leastBytes = lengthBytes === 8 ? 65536 : lengthBytes === 2 ? 126 : 0;
  if (payloadBytes < leastBytes) {
    return broken("length in more bytes than needed");
  }
  if (!isControl && !context.discards && payloadBytes > context.leftBytes) {
    return fault("too_big", `message over ${context.messageBytes} bytes`);
  }
  if (end - start < headBytes) return undefined;
  const key = readKey(bytes, start + headBytes - maskBytes);
  return { kind: "head", opcode, isLast, bytes: headBytes, payloadBytes, key };
}

/** Gets the mask at `at`, its first byte lowest. */
export function readKey(bytes: Uint8Array, at: number): number {
  return bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 |
    bytes[at + 3]! << 24;
}

/** Gets the end of a client that broke a rule. */
export function fault(kind: FaultEvent["fault"], reason: string): FaultEvent {
  return { kind: "fault", fault: kind, code: faultCodes[kind], reason };
}

function broken(reason: string): FaultEvent {
  return fault("protocol", reason);
}

function isOpcode(opcode: number): boolean {
  return opcode <= opcodes.binary ||
    opcode >= opcodes.close && opcode <= opcodes.pong;
}
