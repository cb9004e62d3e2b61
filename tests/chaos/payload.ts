/**
 * What the crowd publishes: messages that begin with their publisher and
 * number, and are filled with bytes of every kind. Those too short for that
 * are unnamed, and told apart by what they hold.
 */
import type { Random } from "../helpers/random.ts";
import type { MessageKind } from "./history.ts";

/** The largest unnamed message. One of them never begins as a named one does. */
export const maxUnnamedBytes = 8;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a named message begins with: `~PUBLISHER:NUMBER:`, both in base 36. */
const mark = "~".charCodeAt(0);
const dot = ".".charCodeAt(0);
/** No name is longer. */
const maxNameBytes = 24;

/** Text is put together from these, so that it can be cut between any two: 16 bytes each. */
const unitBytes = 16;
const units = [
  "abcdefghijklmnop",
  'ABC "quoted" \\{}',
  "0123456789\r\n\t\0 .",
  "éèüöäßñç",
  "日本語の文.",
  "😀🚀🏁🦄",
].map((text) => encoder.encode(text));

/** What a message is to be like. */
interface Shape {
  readonly kind: MessageKind;
  readonly bytes: number;
}

/** Makes messages. */
export class Payloads {
  readonly #random: Random;
  readonly #pools: Readonly<Record<MessageKind, Uint8Array>>;

  /** @param maxBytes The size of the largest message. */
  constructor(random: Random, maxBytes: number) {
    this.#random = random;
    const poolBytes = (Math.ceil(maxBytes / unitBytes) + 4096) * unitBytes;
    const text = new Uint8Array(poolBytes);
    for (let at = 0; at < poolBytes; at += unitBytes) {
      text.set(random.pick(units), at);
    }
    this.#pools = { text, binary: random.bytes(poolBytes) };
  }

  /** Makes a message of `bytes`, or of as many as its name needs. */
  named(
    { publisher, number, kind, bytes }: Shape & {
      publisher: number;
      number: number;
    },
  ): Uint8Array<ArrayBuffer> {
    const name = encoder.encode(
      `~${publisher.toString(36)}:${number.toString(36)}:`,
    );
    const payload = new Uint8Array(Math.max(bytes, name.length)).fill(dot);
    payload.set(name);
    const pool = this.#pools[kind];
    const rest = payload.length - name.length;
    // Text mustn't end inside of a character.
    const filled = kind === "text" ? rest - rest % unitBytes : rest;
    const units = this.#random.integer(0, (pool.length - filled) / unitBytes);
    const from = units * unitBytes;
    payload.set(pool.subarray(from, from + filled), name.length);
    return payload;
  }

  /** Makes a message that carries no name, {@linkcode maxUnnamedBytes} at most. */
  unnamed({ kind, bytes }: Shape): Uint8Array<ArrayBuffer> {
    const payload = this.#random.bytes(bytes);
    if (kind === "text") return payload.map((byte) => 0x61 + byte % 26);
    if (payload[0] === mark) payload[0] = 0;
    return payload;
  }
}

/** Gets the publisher and number that a message carries; 0 for both if it carries none. */
export function readName(
  payload: Uint8Array,
): { publisher: number; number: number } {
  // Most of those that carry none are seen at once.
  const begin = payload[0] === mark
    ? decoder.decode(payload.subarray(0, maxNameBytes))
    : "";
  const [, publisher = "0", number = "0"] =
    /^~([0-9a-z]+):([0-9a-z]+):/.exec(begin) ?? [];
  return { publisher: parseInt(publisher, 36), number: parseInt(number, 36) };
}
