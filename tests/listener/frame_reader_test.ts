/** Every case is read whole, cut in two at every place, and byte by byte; `tests/fuzz/reader.ts` tries random ones. */
import assert from "node:assert/strict";
import {
  FrameReader,
  maxBufferBytes,
  type MessageEvent,
} from "../../src/listener/frame_reader.ts";
import { type Block, newBlock } from "../../src/listener/unmask.ts";
import { readEvents } from "../helpers/frame_events.ts";
import { cut, readInAllWays } from "../helpers/pieces.ts";
import {
  closePayload,
  concat,
  frameBytes,
  type FrameOptions,
  opcodes,
} from "../../tools/raw_client.ts";

const messageBytes = 1 << 20;
const large = [newBlock(maxBufferBytes)];

type FrameMaker = (
  payload?: string | Uint8Array,
  options?: FrameOptions,
) => Uint8Array<ArrayBuffer>;
const maker =
  (opcode: number, fixed: FrameOptions = {}): FrameMaker =>
  (payload, options) => frameBytes(opcode, payload, { ...fixed, ...options });
const text = maker(opcodes.text);
const binary = maker(opcodes.binary);
const ping = maker(opcodes.ping);
const pong = maker(opcodes.pong);
const close = maker(opcodes.close);
/** Fragments of a message: the first, those between, and the last. */
const begin = maker(opcodes.text, { fin: false });
const beginBinary = maker(opcodes.binary, { fin: false });
const goOn = maker(opcodes.continuation, { fin: false });
const more = maker(opcodes.continuation);
const goodbye = (code: number, reason?: string | Uint8Array): Uint8Array =>
  close(closePayload(code, reason));
/** The header of a binary message. */
const announced = (declaredLength: bigint | number): Uint8Array =>
  binary("", { declaredLength: BigInt(declaredLength) });
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Gets what a reader of messages up to {@linkcode messageBytes} finds. */
function read(pieces: Iterable<Uint8Array>, buffers?: Block[]): string {
  const reader = new FrameReader({ messageBytes });
  return readEvents(reader, pieces, buffers).join(", ");
}

type Case = readonly [
  name: string,
  frames: readonly Uint8Array[],
  expected: string,
];

const x125 = "x".repeat(125);
const kosme = "\u03ba\u1f79\u03c3\u03bc\u03b5";
const kosmeBytes = [...new TextEncoder().encode(kosme)];
const notUtf8 = {
  "a lone continuation byte": bytes(0x80),
  "a sequence cut short": bytes(0xce),
  "an overlong slash": bytes(0xc0, 0xaf),
  "an encoded surrogate": bytes(0xed, 0xa0, 0x80),
  "beyond U+10FFFF": bytes(0xf4, 0x90, 0x80, 0x80),
  "0xFF": bytes(0x61, 0xff, 0x62),
};

const good: readonly Case[] = [
  ...[0, 1, 2, 3, 5, 125, 126, 127, 2033, 2034, 2040, 2041, 2048, 5000]
    .map((size): Case => [
      `messages of ${size}, between others`,
      [text("a"), binary("x".repeat(size)), text("x".repeat(size)), text("b")],
      `text a, binary ${"78".repeat(size)}, text ${"x".repeat(size)}, text b`,
    ]),
  [
    "three fragments, each with its own mask",
    [
      beginBinary(bytes(1), { mask: [1, 2, 3, 4] }),
      goOn(bytes(2, 3), { mask: [0, 0, 0, 0] }),
      more(bytes(4), { mask: [255, 254, 253, 252] }),
    ],
    "binary 01020304",
  ],
  ["empty fragments", [begin(), goOn(), more()], "text "],
  [
    "one message in fragments after the other",
    [begin("a"), more("b"), beginBinary("c"), more("d"), text("e")],
    "text ab, binary 6364, text e",
  ],
  [
    "control frames between fragments",
    [begin("a"), ping("1"), goOn("b"), pong("2"), more("c")],
    "ping 31, pong, text abc",
  ],
  ["a close in a message", [begin("a"), goodbye(1000), more()], "close 1000 "],
  ...[0, 1, 124, 125].map((size): Case => [
    `a ping of ${size}, and a pong, between messages`,
    [text("a"), ping("x".repeat(size)), text("b"), pong(), binary("c")],
    `text a, ping ${"78".repeat(size)}, text b, pong, binary 63`,
  ]),
  [
    "a mask of high bits",
    [text("abc", { mask: [255, 128, 254, 129] })],
    "text abc",
  ],
  ["UTF-8", [text(`a${kosme}\u{1f600}`)], `text a${kosme}\u{1f600}`],
  [
    "a byte order mark, U+0000, U+FFFF and U+10FFFF",
    [text("\ufeff\0\uffff\u{10ffff}")],
    "text \ufeff\0\uffff\u{10ffff}",
  ],
  [
    "UTF-8 in a large message",
    [text(kosme.repeat(300))],
    `text ${kosme.repeat(300)}`,
  ],
  [
    "UTF-8 with a fragment for every byte",
    [begin(), ...kosmeBytes.map((byte) => goOn(bytes(byte))), more()],
    `text ${kosme}`,
  ],
  ...Object.entries(notUtf8).map(([name, data]): Case => [
    ...[`${name} in a binary message`, [binary(data)]] as const,
    `binary ${data.toHex()}`,
  ]),
  ["a close without a code", [close()], "close 1005 "],
  ["a close, after text", [text("a"), goodbye(4321)], "text a, close 4321 "],
  [
    "a close with a reason of 123 bytes",
    [goodbye(1000, x125.slice(2))],
    `close 1000 ${x125.slice(2)}`,
  ],
];

/** What comes behind a good message, by the fault that it is. */
const bad: Readonly<Record<string, Record<string, Uint8Array[]>>> = {
  "1002 length in more bytes than needed": {
    "2 bytes for 5": [text("hello", { lengthBytes: 2 })],
    "2 bytes for 125": [text(x125, { lengthBytes: 2 })],
    "8 bytes for 65535": [
      text("", { lengthBytes: 8, declaredLength: 65535n }),
    ],
  },
  "1002 length over 63 bits": { "the top bit set": [announced(1n << 63n)] },
  "1009 message over 1048576 bytes": {
    "one byte too many": [announced(messageBytes + 1)],
    "one byte too many, in fragments": [
      begin("abc"),
      more("", { declaredLength: BigInt(messageBytes - 2) }),
    ],
    "all bits but the top one": [announced((1n << 63n) - 2048n)],
    "the same, and as a number 2 ** 63": [announced((1n << 63n) - 1n)],
  },
  "1002 continuation of no message": {
    "a continuation of nothing": [more("a")],
  },
  "1002 message inside of another one": {
    "a whole message inside of one": [begin("a"), text("b"), more("c")],
    "a fragment inside of another message": [begin("a"), beginBinary("b")],
  },
  "1002 control frame in fragments": {
    "a close in fragments": [close("", { fin: false })],
    "a ping in fragments": [ping("a", { fin: false })],
    "a pong in fragments": [pong("a", { fin: false })],
  },
  "1002 control frame over 125 bytes": {
    "a close of 126 bytes": [close(x125 + "x")],
    "a ping of 126 bytes": [ping(x125 + "x")],
    "a pong with 8 bytes of length": [pong("x", { lengthBytes: 8 })],
  },
  "1002 reserved bit set": {
    ...Object.fromEntries(
      [1, 2, 3, 4, 5, 6, 7].map((rsv) => [`bits ${rsv}`, [text("a", { rsv })]]),
    ),
    "a bit on a ping": [ping("a", { rsv: 1 })],
    "a bit on a continuation": [more("a", { rsv: 2 })],
    "a bit, seen after two bytes": [bytes(0xf1, 0x80)],
  },
  "1002 frame without a mask": {
    "text without a mask": [text("", { mask: false })],
    "binary without a mask": [binary("", { mask: false })],
    "a ping without a mask": [ping("", { mask: false })],
    "a close without a mask": [close("", { mask: false })],
    "no mask, seen after two bytes": [bytes(0x81, 0x05)],
  },
  ...Object.fromEntries(
    [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [
      `1002 opcode ${opcode} is reserved`,
      { [`opcode ${opcode}`]: [frameBytes(opcode, "a")] },
    ]),
  ),
  "1007 text message is not UTF-8": Object.fromEntries(
    Object.entries(notUtf8).flatMap(([name, data]) => [
      [`${name}, before another one`, [text(data), text("b")]],
      [`${name} in a fragment`, [begin("a"), more(data)]],
      [`${name} in 3000 bytes`, [text(concat([new Uint8Array(3000), data]))]],
    ]),
  ),
  "1002 close code 1006 is not allowed": { "code 1006": [goodbye(1006)] },
  "1002 close frame with half a code": { "half a code": [close(bytes(3))] },
  "1007 close reason is not UTF-8": {
    "a close reason that isn't UTF-8": [goodbye(1000, bytes(0xff))],
  },
};

const cases = [
  ...good,
  ...Object.entries(bad).flatMap(([fault, inputs]) =>
    Object.entries(inputs).map(([name, frames]): Case => [
      ...[`${name}, after a good message`, [text(kosme), ...frames]] as const,
      `text ${kosme}, fault ${fault}`,
    ])
  ),
];
for (const [name, frames, expected] of cases) {
  Deno.test(`FrameReader: ${name}`, () => {
    const whole = concat(frames);
    assert.equal(readInAllWays(whole, read), expected);
    assert.equal(read([whole], large), expected, "in a large buffer");
  });
}

for (const size of [65535, 65536, 65537, messageBytes]) {
  Deno.test(`FrameReader: a message of ${size} bytes, in pieces`, () => {
    const payload = new Uint8Array(size).map((_, i) => i * 7);
    const whole = concat([binary(payload), text("then")]);
    for (const buffers of [undefined, large]) {
      for (const pieceBytes of [1000, 2048, 65536]) {
        const seen = read(cut(whole, [pieceBytes]), buffers);
        assert.ok(seen === `binary ${payload.toHex()}, text then`);
      }
    }
  });
}

Deno.test("FrameReader: small messages obey a small limit, which may change", () => {
  const limits = { messageBytes: 4 };
  const reader = new FrameReader(limits);
  assert.deepEqual(readEvents(reader, [text("four")]), ["text four"]);
  limits.messageBytes = 5;
  assert.deepEqual(
    readEvents(reader, [text("fiver"), text("sixsix")]),
    ["text fiver", "fault 1009 message over 5 bytes"],
  );
});

Deno.test("FrameReader: the frames of one read lie one behind the other, in memory of just their size", () => {
  const reader = new FrameReader({ messageBytes });
  reader.useBuffer(large[0]!);
  const messages = ["a", "", "x".repeat(200), "kosme", kosme];
  const whole = concat(messages.map((each) => text(each)));
  reader.space.set(whole);
  reader.filled(whole.length);
  const frames = messages.map(() => (reader.next() as MessageEvent).frame);
  let at = frames[0]!.byteOffset;
  for (const frame of frames) {
    assert.equal(frame.buffer, frames[0]!.buffer);
    assert.equal(frame.byteOffset, at);
    at += frame.length;
  }
  assert.equal(frames[0]!.buffer.byteLength, at);
});

Deno.test("FrameReader.discardMessages() skips messages of any size, and still sees control frames", () => {
  const reader = new FrameReader({ messageBytes: 1000 });
  reader.discardMessages();
  const frames = [
    ...[more("no start"), binary(new Uint8Array(300_000)), text(bytes(0xff))],
    ...[ping("p"), goodbye(1000)],
  ];
  const events = readEvents(reader, [concat(frames)]);
  assert.deepEqual(events, ["ping 70", "close 1000 "]);
});
