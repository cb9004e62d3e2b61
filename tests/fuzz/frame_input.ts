/** Frames as a client may send them, right, wrong, or nearly so; made fast. */
import { concat, opcodes } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { mutateBytes } from "./mutations.ts";

/** What {@linkcode randomFrames} makes. */
export interface FrameInputOptions {
  /** The limit of messages: sizes near it are the telling ones. */
  readonly maxBytes: number;
  /** How likely each frame has something wrong, 0 to 1. */
  readonly faultChance: number;
}

/** Texts of one to four bytes a character. */
const texts = ["a", "hello", "é", "€", "😀", "\ufeff", "\0", "ünï€😀"].map(
  (text) => new TextEncoder().encode(text),
);
/** No text in UTF-8, or not at this end. */
const brokenTexts = [
  [0xff],
  [0x80],
  [0xc0, 0xaf],
  [0xe2, 0x82],
  [0xed, 0xa0, 0x80],
  [0xf0, 0x9f, 0x98],
  [0xf4, 0x90, 0x80, 0x80],
].map((bytes) => Uint8Array.from(bytes));

const closeCodes = [
  ...[0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014],
  ...[1015, 1016, 2999, 3000, 4000, 4999, 5000, 65535],
] as const;

const reservedOpcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as const;
const hugeLengths = [
  ...[65_535n, 65_536n, 65_537n, 2n ** 31n, 2n ** 32n, 2n ** 53n],
  ...[2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
] as const;

/** Gets up to five messages and control frames one after the other, now and then with damage, or cut off. */
export function randomFrames(
  random: Random,
  options: FrameInputOptions,
): Uint8Array<ArrayBuffer> {
  const frames: Uint8Array[] = [];
  for (let left = random.integer(1, 5); left > 0; left--) {
    if (random.chance(0.2)) frames.push(control(random, options));
    else pushMessage(frames, random, options);
  }
  if (random.chance(0.2)) frames.push(closing(random, options));
  const bytes = concat(frames);
  if (!random.chance(options.faultChance)) return bytes;
  return random.chance(0.5)
    ? mutateBytes(random, bytes)
    : bytes.subarray(0, random.integer(0, bytes.length));
}

function pushMessage(
  frames: Uint8Array[],
  random: Random,
  options: FrameInputOptions,
): void {
  const isText = random.chance(0.6);
  let payload = isText ? text(random, options) : binary(random, options);
  let opcode: number = isText ? opcodes.text : opcodes.binary;
  while (random.chance(0.25)) {
    const cut = random.integer(0, payload.length);
    const head = payload.subarray(0, cut);
    frames.push(
      frame(random, { opcode, isLast: false, payload: head }, options),
    );
    if (random.chance(0.3)) frames.push(control(random, options));
    payload = payload.subarray(cut);
    opcode = random.chance(1 - options.faultChance / 4)
      ? opcodes.continuation
      : opcode;
  }
  // Now and then it has no end.
  if (random.chance(options.faultChance / 4)) return;
  frames.push(frame(random, { opcode, isLast: true, payload }, options));
}

function text(
  random: Random,
  options: FrameInputOptions,
): Uint8Array {
  if (random.chance(0.05)) {
    return new Uint8Array(sizeNearLimit(random, options)).fill(0x61);
  }
  const parts: Uint8Array[] = [];
  while (random.chance(0.6)) parts.push(random.pick(texts));
  if (random.chance(options.faultChance / 4)) {
    parts.push(random.pick(brokenTexts));
  }
  return concat(parts);
}

function binary(random: Random, options: FrameInputOptions): Uint8Array {
  return random.chance(0.05)
    ? new Uint8Array(sizeNearLimit(random, options))
    : random.bytes(random.integer(0, 20));
}

/** Gets a size at which the header changes, or a message becomes too large. */
function sizeNearLimit(
  random: Random,
  { maxBytes }: FrameInputOptions,
): number {
  const sizes = [125, 126, 127, maxBytes - 1, maxBytes];
  if (maxBytes > 65_536) sizes.push(65_535, 65_536);
  return Math.max(0, random.pick(sizes));
}

function control(
  random: Random,
  options: FrameInputOptions,
): Uint8Array {
  const opcode = random.chance(0.5) ? opcodes.ping : opcodes.pong;
  const payload = random.bytes(
    random.chance(0.05) ? 125 : random.integer(0, 8),
  );
  return frame(random, { opcode, isLast: true, payload }, options);
}

function closing(
  random: Random,
  options: FrameInputOptions,
): Uint8Array {
  const { faultChance } = options;
  const code = random.chance(faultChance) ? random.pick(closeCodes) : 1000;
  const isBroken = random.chance(faultChance / 2);
  const whole = concat([
    Uint8Array.of(code >> 8, code & 0xff),
    random.pick(isBroken ? brokenTexts : texts),
  ]);
  const isHalf = random.chance(faultChance / 4);
  const length = isHalf ? 1 : random.chance(0.2) ? 0 : whole.length;
  const payload = whole.subarray(0, length);
  return frame(
    random,
    { opcode: opcodes.close, isLast: true, payload },
    options,
  );
}

/** Gets a frame, perhaps with one thing wrong. */
function frame(
  random: Random,
  { opcode, isLast, payload }: {
    opcode: number;
    isLast: boolean;
    payload: Uint8Array;
  },
  { faultChance }: FrameInputOptions,
): Uint8Array {
  const fault = random.chance(faultChance) ? random.integer(0, 7) : -1;
  let { length } = payload;
  let width = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  let declared = BigInt(length);
  if (fault === 0) {
    declared = random.pick(hugeLengths);
    width = 8;
  } else if (fault === 1) width = random.chance(0.5) && length < 65_536 ? 2 : 8;
  else if (fault === 2 && opcode >= opcodes.close) {
    payload = new Uint8Array(random.integer(126, 300)).fill(0x61);
    length = payload.length;
    declared = BigInt(length);
    width = 2;
  }
  const isMasked = fault !== 3;
  const headBytes = 2 + width + (isMasked ? 4 : 0);
  const bytes = new Uint8Array(headBytes + length);
  const rsv = fault === 4 ? random.integer(1, 7) << 4 : 0;
  const fin = (fault === 5 ? !isLast : isLast) ? 0x80 : 0;
  bytes[0] = fin | rsv | (fault === 6 ? random.pick(reservedOpcodes) : opcode);
  bytes[1] = (isMasked ? 0x80 : 0) |
    (width === 0 ? length : width === 2 ? 126 : 127);
  if (width === 2) {
    bytes[2] = length >> 8;
    bytes[3] = length;
  } else if (width === 8) {
    new DataView(bytes.buffer).setBigUint64(2, declared);
  }
  bytes.set(payload, headBytes);
  if (!isMasked) return bytes;
  const key = random.chance(0.1) ? 0 : random.integer(0, 2 ** 32 - 1);
  for (let i = 0; i < 4; i++) bytes[headBytes - 4 + i] = key >>> 8 * i;
  for (let i = 0; i < length; i++) {
    bytes[headBytes + i]! ^= bytes[headBytes - 4 + i % 4]!;
  }
  return bytes;
}
