import assert from "node:assert/strict";
import {
  InputError,
  readLines,
  readWhole,
} from "../../../src/commands/join/input.ts";

function input(...chunks: (string | number[])[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(
    chunks.map((chunk) =>
      typeof chunk === "string"
        ? new TextEncoder().encode(chunk)
        : new Uint8Array(chunk)
    ),
  );
}

Deno.test("readLines() gets lines, however they are cut", async () => {
  const lines = readLines(input("a\n\nb", "c\n", [0xc3], [0xa9], "\nrest"));
  assert.deepEqual(await Array.fromAsync(lines), ["a", "", "bc", "é", "rest"]);
  assert.deepEqual(await Array.fromAsync(readLines(input("a\n"))), ["a"]);
  assert.deepEqual(await Array.fromAsync(readLines(input())), []);
});

Deno.test("readLines() refuses what is no UTF-8, at the end too", async () => {
  for (const bytes of [[0xff], [0xc3]]) {
    await assert.rejects(Array.fromAsync(readLines(input(bytes))), {
      name: "InputError",
      message: "Cannot publish the input: it isn't UTF-8",
    });
  }
});

Deno.test("readLines() and readWhole() refuse what no server takes", async () => {
  const half = "x".repeat(33 << 20);
  for (const read of [readLines, readWhole]) {
    await assert.rejects(
      Array.fromAsync<unknown>(read(input(half, half))),
      (error) =>
        error instanceof InputError &&
        error.message.includes("it has more than 64 MiB"),
    );
  }
});

Deno.test("readWhole() gets one message, or none", async () => {
  assert.deepEqual(await Array.fromAsync(readWhole(input("a", "b"))), [
    new Uint8Array([97, 98]),
  ]);
  assert.deepEqual(await Array.fromAsync(readWhole(input())), []);
});
