/**
 * What a measured message carries: who sent it and its number, in characters
 * that need no escape in JSON and are valid text, so that every peer can carry
 * it and every loss, duplicate or change of order is seen.
 *
 * Layout: publisher (4 characters, 24 bits), number (4 characters, 24 bits,
 * wraps), filler, and at the end one character that depends on the number.
 */

const alphabet = new TextEncoder().encode(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
);
const values = new Uint8Array(256);
alphabet.forEach((byte, value) => values[byte] = value);

/** The number after the highest one is 0. */
export const numbers = 1 << 24;

/** Gets a payload of `bytes` bytes, 9 or more, of which {@linkcode put} and {@linkcode lastByte} say the rest. */
export function blankPayload(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes).fill(alphabet[0]!);
}

/** Calls `set` with the place and byte of each of the four characters of `value`. */
export function put(
  value: number,
  set: (index: number, byte: number) => void,
): void {
  for (let i = 0; i < 4; i++) set(i, alphabet[value >> (6 * i) & 63]!);
}

/** Gets the number that stands in four characters at `at`. */
export function get(data: Uint8Array, at: number): number {
  return values[data[at]!]! | values[data[at + 1]!]! << 6 |
    values[data[at + 2]!]! << 12 | values[data[at + 3]!]! << 18;
}

/** Gets the last byte of a payload with the number `number`. */
export function lastByte(number: number): number {
  return alphabet[number & 63]!;
}
