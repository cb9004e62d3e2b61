/** Every case is read whole, cut in two at every place, and byte by byte. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  type FrameEvent,
  FrameReader,
  maxBufferBytes,
  minBufferBytes,
} from "../../src/listener/frame_reader.ts";
import { newBlock } from "../../src/listener/unmask.ts";
import {
  closePayload,
  concat,
  frameBytes,
  opcodes,
} from "../../tools/raw_client.ts";

const { continuation, text, binary, close, ping, pong } = opcodes;
const messageBytes = 1 << 20;
const utf8 = (string: string): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(string);
const bytes = (...values: number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(values);

/** An event in short: text as a string, binary as bytes, anything else by name. */
type Seen = string | Uint8Array | { [name: string]: unknown };

function short(event: FrameEvent): Seen {
  if (event.kind === "message") {
    const { payload, frame, isText } = event;
    const opcode = isText ? text : binary;
    assert.deepEqual(frame, frameBytes(opcode, payload, { mask: false }));
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return isText ? decoder.decode(payload) : payload;
  }
  if (event.kind === "ping") return { ping: event.payload };
  if (event.kind === "pong") return { pong: true };
  if (event.kind === "close") return { close: event.code, why: event.reason };
  return { fault: event.code, why: event.reason };
}

interface ReadOptions {
  readonly bufferBytes?: number;
  readonly limitBytes?: number;
}

/** Gets what a reader finds in `pieces`, up to the first close frame or fault. */
function read(
  pieces: readonly Uint8Array[],
  { bufferBytes = minBufferBytes, limitBytes = messageBytes }: ReadOptions = {},
): Seen[] {
  const reader = newReader({ messageBytes: limitBytes }, bufferBytes);
  const seen: Seen[] = [];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const { space } = reader;
      assert.ok(space.length > 0, "a reader always has space for more");
      const part = piece.subarray(at, at + space.length);
      fill(reader, part);
      at += part.length;
      for (const event of eventsOf(reader)) {
        seen.push(short(event));
        if (event.kind === "fault" || event.kind === "close") return seen;
      }
    }
  }
  return seen;
}

type Case = readonly [
  name: string,
  frames: readonly Uint8Array[],
  expected: readonly Seen[],
];

function testCases(subject: string, cases: readonly Case[]): void {
  for (const [name, frames, expected] of cases) {
    Deno.test(`FrameReader: ${subject}: ${name}`, () => {
      const whole = concat(frames);
      assert.deepEqual(read([whole]), expected, "whole");
      assert.deepEqual(
        read([whole], { bufferBytes: maxBufferBytes }),
        expected,
        "whole, in a large buffer",
      );
      const step = Math.max(1, Math.floor(whole.length / 500));
      for (let at = 0; at <= whole.length; at += step) {
        const halves = [whole.subarray(0, at), whole.subarray(at)];
        assert.deepEqual(read(halves), expected, `cut at ${at}`);
      }
      const single = Array.from(whole, (byte) => Uint8Array.of(byte));
      assert.deepEqual(read(single), expected, "byte by byte");
    });
  }
}

const protocol = (why: string): Seen => ({ fault: 1002, why });
const notUtf8: Seen = { fault: 1007, why: "text message is not UTF-8" };
const tooBig: Seen = { fault: 1009, why: "message over 1048576 bytes" };

testCases(
  "sizes",
  [0, 1, 2, 3, 5, 125, 126, 127, 2033, 2034, 2040, 2041, 2048, 5000]
    .flatMap((size): Case[] => [
      [`text of ${size}`, [frameBytes(text, "x".repeat(size))], [
        "x".repeat(size),
      ]],
      [
        `binary of ${size}, between others`,
        [
          frameBytes(text, "a"),
          frameBytes(binary, new Uint8Array(size).fill(0xfe)),
          frameBytes(text, "b"),
        ],
        ["a", new Uint8Array(size).fill(0xfe), "b"],
      ],
    ]),
);

for (const size of [65535, 65536, 65537, messageBytes]) {
  for (const piece of [1000, 2048, 65536]) {
    Deno.test(`FrameReader: a message of ${size} bytes arrives in pieces of ${piece}`, () => {
      const payload = new Uint8Array(size).map((_, i) => i * 7);
      const whole = concat([
        frameBytes(binary, payload),
        frameBytes(text, "then"),
      ]);
      const pieces = [];
      for (let at = 0; at < whole.length; at += piece) {
        pieces.push(whole.subarray(at, at + piece));
      }
      for (const bufferBytes of [minBufferBytes, maxBufferBytes]) {
        const [first, ...others] = read(pieces, { bufferBytes });
        assert.ok(first instanceof Uint8Array);
        assert.ok(Buffer.compare(first, payload) === 0);
        assert.deepEqual(others, ["then"]);
      }
    });
  }
}

const longer = "length in more bytes than needed";
testCases("lengths", [
  ["2 bytes for 125", [frameBytes(text, "x".repeat(125), { lengthBytes: 2 })], [
    protocol(longer),
  ]],
  ["8 bytes for 65535", [
    frameBytes(text, "", { lengthBytes: 8, declaredLength: 65535n }),
  ], [protocol(longer)]],
  ["the top bit set", [frameBytes(binary, "", { declaredLength: 1n << 63n })], [
    protocol("length over 63 bits"),
  ]],
  ["all bits but the top one", [
    frameBytes(binary, "", { declaredLength: (1n << 63n) - 2048n }),
  ], [tooBig]],
  // As a number it is 2 ** 63.
  ["all bits but the top one, the last ones too", [
    frameBytes(binary, "", { declaredLength: (1n << 63n) - 1n }),
  ], [tooBig]],
  ["2 bytes for 5, after a good one", [
    frameBytes(text, "a"),
    frameBytes(text, "hello", { lengthBytes: 2 }),
  ], ["a", protocol(longer)]],
]);

const nothing = "continuation of no message";
const inside = "message inside of another one";
testCases("fragments", [
  ["three, of a binary message, each with its own mask", [
    frameBytes(binary, bytes(1), { fin: false, mask: [1, 2, 3, 4] }),
    frameBytes(continuation, bytes(2, 3), { fin: false, mask: [0, 0, 0, 0] }),
    frameBytes(continuation, bytes(4), { mask: [255, 254, 253, 252] }),
  ], [bytes(1, 2, 3, 4)]],
  ["many", [
    frameBytes(text, "", { fin: false }),
    ...Array.from(
      { length: 100 },
      (_, i) => frameBytes(continuation, `${i},`, { fin: i === 99 }),
    ),
  ], [Array.from({ length: 100 }, (_, i) => `${i},`).join("")]],
  ["empty ones only", [
    frameBytes(text, "", { fin: false }),
    frameBytes(continuation, "", { fin: false }),
    frameBytes(continuation, ""),
  ], [""]],
  ["one message after the other", [
    frameBytes(text, "a", { fin: false }),
    frameBytes(continuation, "b"),
    frameBytes(binary, "c", { fin: false }),
    frameBytes(continuation, "d"),
    frameBytes(text, "e"),
  ], ["ab", utf8("cd"), "e"]],
  ["control frames between", [
    frameBytes(text, "a", { fin: false }),
    frameBytes(ping, "1"),
    frameBytes(continuation, "b", { fin: false }),
    frameBytes(pong, "2"),
    frameBytes(continuation, "c"),
  ], [{ ping: utf8("1") }, { pong: true }, "abc"]],
  ["a close between", [
    frameBytes(text, "a", { fin: false }),
    frameBytes(close, closePayload(1000)),
    frameBytes(continuation, "b"),
  ], [{ close: 1000, why: "" }]],
  ["a continuation of nothing", [frameBytes(continuation, "a")], [
    protocol(nothing),
  ]],
  ["a continuation after the last one", [
    frameBytes(text, "a", { fin: false }),
    frameBytes(continuation, "b"),
    frameBytes(continuation, "c"),
  ], ["ab", protocol(nothing)]],
  ["a whole message inside of one", [
    frameBytes(text, "a", { fin: false }),
    frameBytes(text, "b"),
    frameBytes(continuation, "c"),
  ], [protocol(inside)]],
  ["a fragment inside of another message", [
    frameBytes(text, "a", { fin: false }),
    frameBytes(binary, "b", { fin: false }),
  ], [protocol(inside)]],
]);

testCases("control frames", [
  ...[0, 1, 124, 125].map((size): Case => [`a ping of ${size}`, [
    frameBytes(ping, new Uint8Array(size).fill(0xee)),
  ], [{ ping: new Uint8Array(size).fill(0xee) }]]),
  ["between messages", [
    frameBytes(text, "a"),
    frameBytes(ping, "p"),
    frameBytes(text, "b"),
    frameBytes(text, "c"),
    frameBytes(pong),
    frameBytes(binary, "d"),
  ], ["a", { ping: utf8("p") }, "b", "c", { pong: true }, utf8("d")]],
  ...[close, ping, pong].flatMap((opcode): Case[] => [
    [`${opcode} in fragments`, [frameBytes(opcode, "a", { fin: false })], [
      protocol("control frame in fragments"),
    ]],
    [`${opcode} of 126 bytes`, [frameBytes(opcode, "x".repeat(126))], [
      protocol("control frame over 125 bytes"),
    ]],
    [`${opcode} with 8 bytes of length`, [
      frameBytes(opcode, "x", { lengthBytes: 8 }),
    ], [protocol("control frame over 125 bytes")]],
  ]),
]);

testCases("what has no meaning", [
  ...[1, 2, 3, 4, 5, 6, 7].flatMap((rsv): Case[] =>
    [text, ping, continuation].map((opcode): Case => [
      `reserved bits ${rsv} on ${opcode}`,
      [frameBytes(opcode, "a", { rsv })],
      [protocol("reserved bit set")],
    ])
  ),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): Case => [
    `opcode ${opcode}`,
    [frameBytes(opcode, "a")],
    [protocol(`opcode ${opcode} is reserved`)],
  ]),
  ["bits after a good message", [
    frameBytes(text, "good"),
    frameBytes(text, "a", { rsv: 1 }),
  ], ["good", protocol("reserved bit set")]],
]);

testCases("masks", [
  ["of high bits", [
    frameBytes(text, "abcdefghijk", { mask: [255, 128, 254, 129] }),
  ], ["abcdefghijk"]],
  ...[text, binary, ping, close].map((opcode): Case => [
    `none on ${opcode}`,
    [frameBytes(opcode, "", { mask: false })],
    [protocol("frame without a mask")],
  ]),
]);

const invalid: Record<string, Uint8Array> = {
  "a lone continuation byte": bytes(0x80),
  "a sequence cut short": utf8("\u03ba").subarray(0, 1),
  "an overlong slash": bytes(0xc0, 0xaf),
  "an encoded surrogate": bytes(0xed, 0xa0, 0x80),
  "beyond U+10FFFF": bytes(0xf4, 0x90, 0x80, 0x80),
  "0xFF": bytes(0x61, 0xff, 0x62),
};
const kosme = "\u03ba\u1f79\u03c3\u03bc\u03b5";

testCases("UTF-8", [
  ["of every length", [frameBytes(text, `a${kosme}\u{1f600}`)], [
    `a${kosme}\u{1f600}`,
  ]],
  ["a byte order mark, U+0000, U+FFFF and U+10FFFF", [
    frameBytes(text, "\ufeff\0\uffff\u{10ffff}"),
  ], ["\ufeff\0\uffff\u{10ffff}"]],
  ["in a large message", [frameBytes(text, kosme.repeat(300))], [
    kosme.repeat(300),
  ]],
  [
    "a fragment for every byte",
    [...utf8(kosme)].map((byte, i, all) =>
      frameBytes(i === 0 ? text : continuation, bytes(byte), {
        fin: i === all.length - 1,
      })
    ),
    [kosme],
  ],
  ...Object.entries(invalid).flatMap(([name, data]): Case[] => [
    [name, [frameBytes(text, data)], [notUtf8]],
    [`${name}, after good ones`, [
      frameBytes(text, "a"),
      frameBytes(text, kosme),
      frameBytes(text, data),
      frameBytes(text, "b"),
    ], ["a", kosme, notUtf8]],
    [`${name}, in a later fragment`, [
      frameBytes(text, "a", { fin: false }),
      frameBytes(continuation, data),
    ], [notUtf8]],
    [`${name}, at the end of a large message`, [
      frameBytes(text, concat([utf8("x".repeat(3000)), data])),
    ], [notUtf8]],
    [`${name}, in a binary message`, [frameBytes(binary, data)], [data]],
  ]),
]);

const codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012];
codes.push(1013, 1014, 3000, 3999, 4000, 4999);
testCases("close", [
  ["without a code", [frameBytes(close)], [{ close: 1005, why: "" }]],
  ...codes.map((code): Case => [`${code}`, [
    frameBytes(close, closePayload(code, "why")),
  ], [{ close: code, why: "why" }]]),
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((
    code,
  ): Case => [`${code} is no code`, [frameBytes(close, closePayload(code))], [
    protocol(`close code ${code} is not allowed`),
  ]]),
  ["a payload of one byte", [frameBytes(close, bytes(3))], [
    protocol("close frame with half a code"),
  ]],
  ["a reason of 123 bytes", [
    frameBytes(close, closePayload(1000, "x".repeat(123))),
  ], [{ close: 1000, why: "x".repeat(123) }]],
  ["a reason that isn't UTF-8", [
    frameBytes(close, closePayload(1000, bytes(0xff))),
  ], [{ fault: 1007, why: "close reason is not UTF-8" }]],
  ["after a message", [
    frameBytes(text, "bye"),
    frameBytes(close, closePayload(4321)),
  ], ["bye", { close: 4321, why: "" }]],
]);

testCases("too big", [
  ["by one byte, seen in the header", [
    frameBytes(binary, "", { declaredLength: BigInt(messageBytes + 1) }),
  ], [tooBig]],
  ["by one byte, in fragments", [
    frameBytes(text, "abc", { fin: false }),
    frameBytes(continuation, "", {
      declaredLength: BigInt(messageBytes - 2),
    }),
  ], [tooBig]],
  ["what came before", [
    frameBytes(text, "before"),
    frameBytes(binary, "", { declaredLength: 1n << 40n }),
  ], ["before", tooBig]],
]);

/** Gets a reader that has a buffer. */
function newReader(
  limits: { messageBytes: number } = { messageBytes },
  bufferBytes = minBufferBytes,
): FrameReader {
  const reader = new FrameReader(limits);
  reader.useBuffer(newBlock(bufferBytes));
  return reader;
}

/** Gives a reader bytes that it has space for. */
function fill(reader: FrameReader, part: Uint8Array): void {
  reader.space.set(part);
  // What was handed over must be its own memory.
  reader.filled(part.length);
}

/** Gets all that a reader has. */
function* eventsOf(reader: FrameReader): Generator<FrameEvent> {
  for (let event; (event = reader.next()) !== undefined;) yield event;
}

Deno.test("FrameReader: small messages obey a small limit, which may change", () => {
  const limits = { messageBytes: 4 };
  const reader = newReader(limits);
  const feed = (message: string): Seen => {
    fill(reader, frameBytes(text, message));
    return short(reader.next()!);
  };
  assert.equal(feed("four"), "four");
  limits.messageBytes = 5;
  assert.equal(feed("fiver"), "fiver");
  const fault = { fault: 1009, why: "message over 5 bytes" };
  assert.deepEqual(feed("sixsix"), fault);
});

Deno.test("FrameReader: what can be seen in two bytes is told after two bytes", () => {
  const noMask = protocol("frame without a mask");
  assert.deepEqual(read([bytes(0xf1, 0x80)]), [protocol("reserved bit set")]);
  assert.deepEqual(read([bytes(0x81, 0x05)]), [noMask]);
});

Deno.test("FrameReader: the frames of one read lie one behind the other, in memory of just their size", () => {
  const reader = newReader({ messageBytes }, maxBufferBytes);
  const messages = ["a", "", "x".repeat(200), "kosme", kosme];
  fill(reader, concat(messages.map((each) => frameBytes(text, each))));
  const frames = Array.from(eventsOf(reader), (event) => {
    assert.ok(event.kind === "message");
    return event.frame;
  });
  let at = frames[0]!.byteOffset;
  for (const frame of frames) {
    assert.equal(frame.buffer, frames[0]!.buffer);
    assert.equal(frame.byteOffset, at);
    at += frame.length;
  }
  assert.equal(frames[0]!.buffer.byteLength, at);
});

Deno.test("FrameReader: messages don't change when the buffer is used again", () => {
  const reader = newReader();
  fill(reader, frameBytes(text, "first"));
  const event = reader.next()!;
  reader.space.fill(0xff);
  assert.equal(short(event), "first");
});

Deno.test("FrameReader: what is announced takes no memory, what arrives takes about as much", () => {
  const before = Deno.memoryUsage().external;
  const readers = Array.from({ length: 50 }, () => {
    const reader = newReader();
    const declaredLength = BigInt(messageBytes);
    fill(reader, frameBytes(binary, new Uint8Array(100), { declaredLength }));
    assert.equal(reader.next(), undefined);
    return reader;
  });
  const grown = Deno.memoryUsage().external - before;
  assert.equal(readers.length, 50);
  assert.ok(grown < 50 * 8192, `${grown} bytes`);
});

Deno.test("FrameReader.discardMessages() skips messages of any size, and still sees control frames", () => {
  const stream = concat([
    frameBytes(continuation, "no start"),
    frameBytes(binary, new Uint8Array(300_000)),
    frameBytes(text, bytes(0xff)),
    frameBytes(ping, "p"),
    frameBytes(close, closePayload(1000)),
  ]);
  const reader = newReader({ messageBytes: 1000 });
  reader.discardMessages();
  const seen: Seen[] = [];
  for (let at = 0; at < stream.length;) {
    const part = stream.subarray(at, at + reader.space.length);
    fill(reader, part);
    at += part.length;
    for (const event of eventsOf(reader)) seen.push(short(event));
  }
  assert.deepEqual(seen, [{ ping: utf8("p") }, { close: 1000, why: "" }]);
});
