/** Frames as a client may send them, right, wrong, or nearly so. */
import {
  closePayload,
  concat,
  frameBytes,
  type FrameOptions,
  opcodes,
} from "../../tools/raw_client.ts";
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

/** A frame that isn't written yet. */
interface Part {
  readonly opcode: number;
  readonly payload: Uint8Array;
  readonly fin?: boolean;
}

/** Gets up to five messages and control frames one after the other, now and then with damage, or cut off. */
export function randomFrames(
  random: Random,
  options: FrameInputOptions,
): Uint8Array<ArrayBuffer> {
  const { faultChance } = options;
  const parts = Array.from(
    { length: random.integer(1, 5) },
    () => random.chance(0.2) ? [control(random)] : message(random, options),
  ).flat();
  if (random.chance(0.2)) parts.push(close(random, options));
  if (random.chance(faultChance / 2)) {
    // One is missing, or there twice.
    const at = random.integer(0, parts.length - 1);
    parts.splice(at, 1, ...random.pick([[], [parts[at]!, parts[at]!]]));
  }
  const bytes = concat(
    parts.map((part) =>
      random.chance(faultChance)
        ? wrongFrame(random, part)
        : frameBytes(part.opcode, part.payload, rightOptions(random, part))
    ),
  );
  if (!random.chance(faultChance)) return bytes;
  return random.chance(0.5)
    ? mutateBytes(random, bytes)
    : bytes.subarray(0, random.integer(0, bytes.length));
}

/** Gets a message, perhaps in fragments with control frames between them. */
function message(random: Random, options: FrameInputOptions): Part[] {
  const isText = random.chance(0.6);
  let payload = isText ? text(random, options) : binary(random, options);
  let opcode: number = isText ? opcodes.text : opcodes.binary;
  const parts: Part[] = [];
  while (random.chance(0.25)) {
    const cut = random.integer(0, payload.length);
    parts.push({ opcode, payload: payload.subarray(0, cut), fin: false });
    if (random.chance(0.3)) parts.push(control(random));
    payload = payload.subarray(cut);
    opcode = opcodes.continuation;
  }
  return [...parts, { opcode, payload }];
}

function control(random: Random): Part {
  const size = random.chance(0.05) ? 125 : random.integer(0, 8);
  const opcode = random.chance(0.5) ? opcodes.ping : opcodes.pong;
  return { opcode, payload: random.bytes(size) };
}

function close(random: Random, { faultChance }: FrameInputOptions): Part {
  const isOdd = (): boolean => random.chance(faultChance);
  const code = isOdd() ? random.pick(closeCodes) : 1000;
  const reason = random.pick(isOdd() ? brokenTexts : texts);
  const payload = closePayload(code, reason);
  const length = random.chance(0.2) ? Number(isOdd()) : payload.length;
  return { opcode: opcodes.close, payload: payload.subarray(0, length) };
}

function text(random: Random, options: FrameInputOptions): Uint8Array {
  if (random.chance(0.05)) {
    return new Uint8Array(tellingSize(random, options)).fill(0x61);
  }
  const parts: Uint8Array[] = [];
  while (random.chance(0.6)) parts.push(random.pick(texts));
  const isBroken = random.chance(options.faultChance / 4);
  if (isBroken) parts.push(random.pick(brokenTexts));
  return concat(parts);
}

function binary(random: Random, options: FrameInputOptions): Uint8Array {
  return random.chance(0.05)
    ? new Uint8Array(tellingSize(random, options))
    : random.bytes(random.integer(0, 20));
}

/** Gets a size at which the header changes, or a message becomes too large. */
function tellingSize(random: Random, { maxBytes }: FrameInputOptions): number {
  const sizes = [125, 126, 127, Math.max(0, maxBytes - 1), maxBytes];
  if (maxBytes >= 65_536) sizes.push(65_535, 65_536);
  return random.pick(sizes);
}

function rightOptions(random: Random, { fin = true }: Part): FrameOptions {
  const [a = 0, b = 0, c = 0, d = 0] = random.bytes(random.chance(0.1) ? 0 : 4);
  return { fin, mask: [a, b, c, d] };
}

/** Gets a frame with one thing wrong. */
function wrongFrame(random: Random, part: Part): Uint8Array {
  const { opcode, payload, fin = true } = part;
  const long = new Uint8Array(random.integer(126, 300)).fill(0x61);
  const declaredLength = random.pick(hugeLengths);
  const isShort = payload.length < 65_536 && random.chance(0.5);
  const [code, data, wrong] = random.pick<[number, Uint8Array, FrameOptions]>([
    [opcode, payload, { lengthBytes: 8, declaredLength }],
    [opcode, payload, { lengthBytes: isShort ? 2 : 8 }],
    [opcode, payload, { mask: false }],
    [opcode, payload, { rsv: random.integer(1, 7) }],
    [opcode, payload, { fin: !fin }],
    [opcode, long, {}],
    [random.pick(reservedOpcodes), payload, {}],
  ]);
  return frameBytes(code, data, { ...rightOptions(random, part), ...wrong });
}
