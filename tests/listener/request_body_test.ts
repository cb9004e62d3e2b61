import assert from "node:assert/strict";
import { BodyDecoder, BodyError } from "../../src/listener/request_body.ts";
import type { BodyLength } from "../../src/listener/request_head.ts";
import { crlf } from "../helpers/crlf.ts";
import { readInAllWays } from "../helpers/pieces.ts";
import { concat } from "../../tools/raw_client.ts";

const maxBytes = 1000;

/** Decodes `pieces`; gets the data, with a dot behind it if that is all, or the status that the body is refused with. */
function decode(
  length: BodyLength,
  pieces: readonly Uint8Array<ArrayBuffer>[],
): string | number {
  try {
    const decoder = new BodyDecoder(length, maxBytes);
    const parts = pieces.flatMap((piece) => decoder.push(piece));
    assert.ok(parts.every((part) => part.length > 0));
    const data = String.fromCharCode(...concat(parts));
    return data + (decoder.isDone ? "." : "");
  } catch (error) {
    if (error instanceof BodyError) return error.status;
    throw error;
  }
}

const bodies: readonly [
  name: string,
  length: BodyLength,
  input: string,
  result: string | number,
][] = [
  ["no body", 0, "rest", "."],
  ["a length", 5, "hello, rest", "hello."],
  ["half of a length", 5, "hel", "hel"],
  ["a length beyond the limit", maxBytes + 1, "", 413],
  [
    "chunks",
    "chunked",
    '3\nabc\n0A \t;a="b"\n0123456789\n0\n\nrest',
    "abc0123456789.",
  ],
  ["a trailer", "chunked", "1\na\n000\nA: b\nC:\n\nrest", "a."],
  ["half of a chunk", "chunked", "5\nab", "ab"],
  ["no last chunk", "chunked", "1\na\n", "a"],
  ["no end of the trailer", "chunked", "0\nA: b\n", ""],
  [
    "chunks beyond the limit",
    "chunked",
    "3e7\n" + "a".repeat(999) + "\n2\n",
    413,
  ],
  ["a huge chunk", "chunked", "ffffffff\n", 413],
  ["a size of nine digits", "chunked", "000000001\na\n0\n\n", 400],
  ["an empty size", "chunked", "\n", 400],
  ["a size with a sign", "chunked", "+1\na\n", 400],
  ["a size with a space before", "chunked", " 1\na\n", 400],
  ["a size with a space behind", "chunked", "1 \na\n", 400],
  ["a hexadecimal prefix", "chunked", "0x1\na\n", 400],
  ["a bare line feed behind a size", "chunked", "1␊a\n", 400],
  ["a bare carriage return in an extension", "chunked", "1;a\rb\na\n", 400],
  ["a chunk longer than its size", "chunked", "1\nab\n", 400],
  ["a bare line feed behind a chunk", "chunked", "1\na␊", 400],
  ["an endless extension", "chunked", "1;" + "a".repeat(300), 400],
  ["a trailer that is none", "chunked", "0\nx y\n\n", 400],
  ["a folded trailer", "chunked", "0\nA: b\n c\n\n", 400],
  ["an endless trailer", "chunked", "0\n" + "A: b\n".repeat(1000), 400],
  [
    "an endless line in the trailer",
    "chunked",
    "0\nA:" + "b".repeat(5000),
    400,
  ],
];
for (const [name, length, input, result] of bodies) {
  Deno.test(`BodyDecoder: ${name}`, () => {
    const read = (pieces: Uint8Array<ArrayBuffer>[]) => decode(length, pieces);
    assert.equal(readInAllWays(crlf(input), read), result);
  });
}
