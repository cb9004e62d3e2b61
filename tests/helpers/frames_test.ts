import assert from "node:assert/strict";
import {
  concat,
  frameBytes,
  FrameReader,
  opcodes,
} from "../../tools/frames.ts";

const { continuation, text, binary, close, ping } = opcodes;
const fromServer = { mask: false } as const;
const part = { fin: false, ...fromServer } as const;

/** Gets what a reader tells of bytes that come in these pieces. */
function read(...pieces: Uint8Array<ArrayBuffer>[]): [number, string][] {
  const got: [number, string][] = [];
  const reader = new FrameReader({
    onFrame: (data, { opcode, start, end }) =>
      got.push([opcode, new TextDecoder().decode(data.slice(start, end))]),
  });
  for (const piece of pieces) {
    reader.read(piece, piece.length);
    // It is used anew.
    piece.fill(0xff);
  }
  return got;
}

Deno.test("FrameReader joins what comes in fragments and in pieces, with control frames between", () => {
  const [middle, long] = ["y".repeat(126), "x".repeat(70_000)];
  const whole = concat([
    frameBytes(text, "hello", fromServer),
    frameBytes(text, "in ", part),
    frameBytes(ping, "p", fromServer),
    frameBytes(continuation, "", part),
    frameBytes(continuation, "parts", fromServer),
    frameBytes(binary, middle, fromServer),
    frameBytes(binary, long, fromServer),
    frameBytes(binary, "", fromServer),
    frameBytes(close, "", fromServer),
  ]);
  for (const size of [1, 3, 1000, whole.length]) {
    const count = Math.ceil(whole.length / size);
    const pieces = Array.from(
      { length: count },
      (_, i) => whole.slice(i * size, (i + 1) * size),
    );
    assert.deepEqual(read(...pieces), [
      ...[[text, "hello"], [ping, "p"], [text, "in parts"]],
      ...[[binary, middle], [binary, long], [binary, ""], [close, ""]],
    ]);
  }
});

Deno.test("FrameReader throws at what a server may not send", () => {
  for (
    const bytes of [
      frameBytes(text, "masked"),
      frameBytes(text, "", { rsv: 4, ...fromServer }),
      frameBytes(3, "", fromServer),
      frameBytes(11, "", fromServer),
      frameBytes(ping, "", part),
      frameBytes(continuation, "", fromServer),
      concat([frameBytes(text, "", part), frameBytes(text, "", fromServer)]),
    ]
  ) assert.throws(() => read(bytes), SyntaxError);
});
