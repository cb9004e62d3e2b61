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

/** Gets up to five messages and control frames one after the other, now and then with damage, or cut off. */
export function randomFrames(
  random: Random,
  { maxBytes, faultChance }: FrameInputOptions,
): Uint8Array<ArrayBuffer> {
  const input = new FrameInput(random, { maxBytes, faultChance });
  for (let left = random.integer(1, 5); left > 0; left--) {
    if (random.chance(0.2)) input.control();
    else input.message();
  }
  if (random.chance(0.2)) input.close();
  const bytes = concat(input.frames);
  if (!random.chance(faultChance)) return bytes;
  return random.chance(0.5)
    ? mutateBytes(random, bytes)
    : bytes.subarray(0, random.integer(0, bytes.length));
}

/** Frames that are being made. */
class FrameInput {
  readonly frames: Uint8Array[] = [];
  readonly #random: Random;
  readonly #faultChance: number;
  /** Sizes at which the header changes, or a message becomes too large. */
  readonly #sizes: readonly number[];

  constructor(
    random: Random,
    { maxBytes, faultChance }: FrameInputOptions,
  ) {
    this.#random = random;
    this.#faultChance = faultChance;
    const sizes = [125, 126, 127, maxBytes - 1, maxBytes];
    if (maxBytes >= 65_536) sizes.push(65_535, 65_536);
    this.#sizes = sizes.map((size) => Math.max(0, size));
  }

  message(): void {
    const random = this.#random;
    const isText = random.chance(0.6);
    let payload = isText ? this.#text() : this.#binary();
    let opcode: number = isText ? opcodes.text : opcodes.binary;
    while (random.chance(0.25)) {
      const cut = random.integer(0, payload.length);
      this.#push(opcode, payload.subarray(0, cut), { fin: false });
      if (random.chance(0.3)) this.control();
      payload = payload.subarray(cut);
      if (!this.#isOdd()) opcode = opcodes.continuation;
    }
    // Now and then it has no end.
    if (!this.#isOdd()) this.#push(opcode, payload);
  }

  control(): void {
    const random = this.#random;
    const size = random.chance(0.05) ? 125 : random.integer(0, 8);
    const opcode = random.chance(0.5) ? opcodes.ping : opcodes.pong;
    this.#push(opcode, random.bytes(size));
  }

  close(): void {
    const random = this.#random;
    const code = random.chance(this.#faultChance)
      ? random.pick(closeCodes)
      : 1000;
    const reason = random.pick(this.#isOdd() ? brokenTexts : texts);
    const payload = closePayload(code, reason);
    const length = this.#isOdd() ? 1 : random.chance(0.2) ? 0 : payload.length;
    this.#push(opcodes.close, payload.subarray(0, length));
  }

  /** Whether something rarer than a fault of a frame is wrong. */
  #isOdd(): boolean {
    return this.#random.chance(this.#faultChance / 4);
  }

  #text(): Uint8Array {
    const random = this.#random;
    if (random.chance(0.05)) {
      return new Uint8Array(random.pick(this.#sizes)).fill(0x61);
    }
    const parts: Uint8Array[] = [];
    while (random.chance(0.6)) parts.push(random.pick(texts));
    if (this.#isOdd()) parts.push(random.pick(brokenTexts));
    return concat(parts);
  }

  #binary(): Uint8Array {
    const random = this.#random;
    return random.chance(0.05)
      ? new Uint8Array(random.pick(this.#sizes))
      : random.bytes(random.integer(0, 20));
  }

  /** Adds a frame, perhaps with one thing wrong. */
  #push(
    opcode: number,
    payload: Uint8Array,
    { fin = true }: FrameOptions = {},
  ): void {
    const random = this.#random;
    const [a = 0, b = 0, c = 0, d = 0] = random.chance(0.1)
      ? []
      : random.bytes(4);
    const right = { fin, mask: [a, b, c, d] as const };
    const push = (options: FrameOptions, code = opcode, data = payload): void =>
      void this.frames.push(frameBytes(code, data, { ...right, ...options }));
    switch (random.chance(this.#faultChance) ? random.integer(0, 6) : -1) {
      case 0:
        return push({
          lengthBytes: 8,
          declaredLength: random.pick(hugeLengths),
        });
      case 1: {
        const isShort = payload.length < 65_536 && random.chance(0.5);
        return push({ lengthBytes: isShort ? 2 : 8 });
      }
      case 2: {
        const size = random.integer(126, 300);
        return push({}, opcode, new Uint8Array(size).fill(0x61));
      }
      case 3:
        return push({ mask: false });
      case 4:
        return push({ rsv: random.integer(1, 7) });
      case 5:
        return push({ fin: !fin });
      case 6:
        return push({}, random.pick(reservedOpcodes));
      default:
        return push({});
    }
  }
}
