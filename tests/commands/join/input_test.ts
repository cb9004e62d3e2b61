import assert from "node:assert/strict";
import { readLines, readWhole } from "../../../src/commands/join/input.ts";

function input(...chunks: (string | number[])[]): ReadableStream<Uint8Array> {
  const bytes = chunks.map((chunk) =>
    typeof chunk === "string"
      ? new TextEncoder().encode(chunk)
      : new Uint8Array(chunk)
  );
  return ReadableStream.from(bytes);
}

Deno.test("readLines() gets lines, however they are cut", async () => {
  const lines = readLines(input("a\n\nb", "c\n", [0xc3], [0xa9], "\nrest"));
  assert.deepEqual(await Array.fromAsync(lines), ["a", "", "bc", "é", "rest"]);
  assert.deepEqual(await Array.fromAsync(readLines(input("a\n"))), ["a"]);
  assert.deepEqual(await Array.fromAsync(readLines(input())), []);
});

Deno.test("readLines() refuses what is no UTF-8, at the end too", async () => {
  for (const bytes of [[0xff], [0x61, 0x0a, 0xc3]]) {
    await assert.rejects(Array.fromAsync(readLines(input(bytes))), {
      name: "InputError",
      message: "Cannot publish the input: it isn't UTF-8",
      hint: "--binary publishes any bytes",
    });
  }
});

Deno.test("readLines() and readWhole() refuse what no server takes", async () => {
  const half = "x".repeat(33 << 20);
  for (const read of [readLines, readWhole]) {
    await assert.rejects(Array.fromAsync<unknown>(read(input(half, half))), {
      name: "InputError",
      message: /it has more than 64 MiB/,
    });
  }
});

Deno.test("readWhole() gets one message, or none", async () => {
  const whole = await Array.fromAsync(readWhole(input("a", "b")));
  assert.deepEqual(whole, [new Uint8Array([97, 98])]);
  assert.deepEqual(await Array.fromAsync(readWhole(input())), []);
});
