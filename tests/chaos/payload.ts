/**
 * What the crowd publishes: messages that begin with their publisher and
 * number, and are filled with bytes of every kind. Those too short for that
 * are unnamed, and told apart by what they hold.
 */
import type { Random } from "../helpers/random.ts";
import type { MessageKind } from "./history.ts";

/** The largest unnamed message. One of them never begins as a named one does. */
export const maxUnnamedBytes = 8;

/** What a named message begins with: `~PUBLISHER:NUMBER:`, both in base 36. */
const mark = "~".charCodeAt(0);
const colon = ":".charCodeAt(0);
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
].map((text) => new TextEncoder().encode(text));

const encoder = new TextEncoder();

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
    const words = Uint32Array.from(
      { length: poolBytes / 4 },
      () => random.next() * 2 ** 32,
    );
    this.#pools = { text, binary: new Uint8Array(words.buffer) };
  }

  /** Makes a message of `bytes`, or of as many as its name needs. */
  named(
    { publisher, number, kind, bytes }: {
      publisher: number;
      number: number;
      kind: MessageKind;
      bytes: number;
    },
  ): Uint8Array<ArrayBuffer> {
    const name = encoder.encode(
      `~${publisher.toString(36)}:${number.toString(36)}:`,
    );
    const payload = new Uint8Array(Math.max(bytes, name.length));
    payload.set(name);
    const pool = this.#pools[kind];
    const rest = payload.length - name.length;
    // Text mustn't end inside of a character.
    const filled = kind === "text" ? rest - rest % unitBytes : rest;
    const from = this.#random.integer(0, (pool.length - filled) / unitBytes) *
      unitBytes;
    payload.set(pool.subarray(from, from + filled), name.length);
    payload.fill(dot, name.length + filled);
    return payload;
  }

  /** Makes a message that carries no name, {@linkcode maxUnnamedBytes} at most. */
  unnamed(
    { kind, bytes }: { kind: MessageKind; bytes: number },
  ): Uint8Array<ArrayBuffer> {
    const payload = this.#random.bytes(bytes);
    if (kind === "text") {
      for (let i = 0; i < bytes; i++) payload[i] = 0x61 + payload[i]! % 26;
    } else if (payload[0] === mark) payload[0] = 0;
    return payload;
  }
}

/** Gets the publisher and number that a message carries; 0 for both if it carries none. */
export function readName(
  payload: Uint8Array,
): { publisher: number; number: number } {
  const unnamed = { publisher: 0, number: 0 };
  if (payload[0] !== mark) return unnamed;
  const first = payload.indexOf(colon);
  const second = payload.indexOf(colon, first + 1);
  if (first < 0 || second < 0 || second > maxNameBytes) return unnamed;
  const publisher = readBase36(payload, 1, first);
  const number = readBase36(payload, first + 1, second);
  return publisher > 0 && number > 0 ? { publisher, number } : unnamed;
}

/** Gets the number in base 36 between two places, or 0 if there is none. */
function readBase36(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    const digit = byte >= 0x30 && byte <= 0x39
      ? byte - 0x30
      : byte >= 0x61 && byte <= 0x7a
      ? byte - 0x57
      : NaN;
    value = value * 36 + digit;
  }
  return value || 0;
}
