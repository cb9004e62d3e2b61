/**
 * Frames, as RFC 6455 has them and as it doesn't, against the real program. In
 * the style of the Autobahn testsuite: each case is written by hand, frame by
 * frame, and says what the other clients of the channel get and what becomes of
 * its sender. Every case is sent twice, in one write and byte by byte.
 */
import assert from "node:assert/strict";
import {
  closePayload,
  concat,
  type Frame,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
} from "../helpers/raw_client.ts";
import { lacking, listenerConfig, testListener } from "../helpers/listener.ts";
import { testUnless } from "../helpers/skip.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { converse, type Received } from "../helpers/ws_client.ts";

const { continuation, text, binary, close, ping, pong } = opcodes;

const shared = shareStaps({
  config: `${listenerConfig}[log]\nlevel = debug\n`,
});

/** What becomes of a sender: it can go on, it gets a close frame with this code, or no word at all. */
type End = "open" | "drop" | number;

/** How a connection ends whose client broke a rule (section 7.4.1). The runtime's listener mostly says nothing. */
const failures: ReadonlySet<End> = new Set([1002, 1007, 1009]);

interface Result {
  /** What the other client of the channel got. */
  readonly delivered: Received[];
  /** What the sender got, besides the close frame. */
  readonly answers: Frame[];
}

/**
 * Lets a client write `bytes` into a channel that another one listens to, and
 * checks that it comes to the `end` expected.
 */
async function exchange(
  bytes: Uint8Array,
  { end, slowly = false }: { end: End; slowly?: boolean },
): Promise<Result> {
  const path = newPath();
  const [witness, marker] = await shared.clients.joinMany(path, 2);
  using sender = await RawClient.join({ socket: shared.staps.socket }, path);
  const answers: Frame[] = [];
  try {
    await (slowly ? sender.writeSlowly(bytes) : sender.write(bytes));
    // Answered when the server has read all before it, if it still does.
    await sender.send(ping, "still there?");
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  const first = await readAnswers(sender, answers, { until: "still there?" });
  // Then only an open connection also gets what others publish.
  if (end === "open") marker!.send(endOfCase);
  const last = first ??
    await readAnswers(sender, answers, { until: endOfCase });
  const isSilent = last === "drop" && testListener === "runtime";
  if (!isSilent || !failures.has(end)) assert.equal(last ?? "open", end);
  if (end !== "open") marker!.send(endOfCase);

  // Whatever the sender's messages were, they came before that one.
  const delivered: Received[] = [];
  for (let message; (message = await witness!.next()) !== endOfCase;) {
    delivered.push(message);
  }
  for (const client of [witness!, marker!]) {
    client.close();
    await client.closed;
  }
  return { delivered, answers };
}

const endOfCase = "end of case";

/** Sends `bytes` in one write and byte by byte, and checks each time that it comes to the same. */
async function exchangeBoth(
  bytes: Uint8Array,
  { end, check }: { end: End; check: (result: Result) => void },
): Promise<void> {
  for (const slowly of [false, true]) {
    check(await exchange(bytes, { end, slowly }));
  }
}

/** Reads frames until one has the payload `until`, or else gets how the connection ended. */
async function readAnswers(
  sender: RawClient,
  answers: Frame[],
  { until }: { until: string },
): Promise<End | undefined> {
  let end: End = "drop";
  while (true) {
    const frame = await sender.readFrame();
    if (frame === undefined) return end;
    assert.equal(frame.masked, false, "a server must not mask (section 5.1)");
    assert.equal(frame.rsv, 0);
    assert.equal(
      end,
      "drop",
      "nothing may follow a close frame (section 5.5.1)",
    );
    if (new TextDecoder().decode(frame.payload) === until) return undefined;
    if (frame.opcode !== close) {
      answers.push(frame);
      continue;
    }
    end = readClose(frame.payload).code;
    // Where the server began it, it waits for this.
    await sender.send(close, frame.payload).catch(() => {});
  }
}

/** A case: what is written, what the others get, what becomes of the sender. */
type Case = readonly [
  name: string,
  frames: readonly Uint8Array[],
  delivered: readonly Received[],
  end: End,
];

function testCases(
  subject: string,
  cases: readonly Case[],
  reason?: string,
): void {
  for (const [name, frames, delivered, end] of cases) {
    testUnless(reason, {
      name: `${subject}: ${name}`,
      fn: () =>
        exchangeBoth(concat(frames), {
          end,
          check: (result) => assert.deepEqual(result.delivered, [...delivered]),
        }),
    });
  }
}

const utf8 = (string: string): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(string);
const bytes = (...values: number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(values);
const random = (size: number): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) {
    crypto.getRandomValues(whole.subarray(at, at + 65536));
  }
  return whole;
};

// Sizes, where the length field changes its form (section 5.2)

for (const size of [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1_048_576]) {
  Deno.test(`a text message of ${size} bytes arrives intact`, async () => {
    const message = "x".repeat(size);
    await exchangeBoth(frameBytes(text, message), {
      end: "open",
      check: ({ delivered }) => {
        assert.equal(delivered.length, 1);
        assert.ok(delivered[0] === message);
      },
    });
  });
  Deno.test(`a binary message of ${size} bytes arrives intact`, async () => {
    const message = random(size);
    await exchangeBoth(frameBytes(binary, message), {
      end: "open",
      check: ({ delivered }) => assert.deepEqual(delivered, [message]),
    });
  });
}

testCases("a length that nobody can mean", [
  [
    "the top bit set",
    [frameBytes(binary, "", { declaredLength: 1n << 63n })],
    [],
    1002,
  ],
]);

// Fragments (section 5.4)

const many = Array.from(
  { length: 1000 },
  (_, i) => frameBytes(continuation, `${i},`, { fin: i === 999 }),
);

testCases("fragments", [
  [
    "two",
    [frameBytes(text, "hel", { fin: false }), frameBytes(continuation, "lo")],
    ["hello"],
    "open",
  ],
  [
    "three, of a binary message",
    [
      frameBytes(binary, bytes(1), { fin: false }),
      frameBytes(continuation, bytes(2), { fin: false }),
      frameBytes(continuation, bytes(3)),
    ],
    [bytes(1, 2, 3)],
    "open",
  ],
  [
    "a thousand",
    [frameBytes(text, "", { fin: false }), ...many],
    [Array.from({ length: 1000 }, (_, i) => `${i},`).join("")],
    "open",
  ],
  [
    "empty ones only",
    [
      frameBytes(text, "", { fin: false }),
      frameBytes(continuation, "", { fin: false }),
      frameBytes(continuation, ""),
    ],
    [""],
    "open",
  ],
  [
    "empty ones around and between",
    [
      frameBytes(text, "", { fin: false }),
      frameBytes(continuation, "a", { fin: false }),
      frameBytes(continuation, "", { fin: false }),
      frameBytes(continuation, "b", { fin: false }),
      frameBytes(continuation, ""),
    ],
    ["ab"],
    "open",
  ],
  [
    "one message after the other",
    [
      frameBytes(text, "a", { fin: false }),
      frameBytes(continuation, "b"),
      frameBytes(binary, "c", { fin: false }),
      frameBytes(continuation, "d"),
      frameBytes(text, "e"),
    ],
    ["ab", utf8("cd"), "e"],
    "open",
  ],
  [
    "a pong between",
    [
      frameBytes(text, "a", { fin: false }),
      frameBytes(pong, "x"),
      frameBytes(continuation, "b"),
    ],
    ["ab"],
    "open",
  ],
  [
    "a close between ends the message unheard",
    [
      frameBytes(text, "a", { fin: false }),
      frameBytes(close, closePayload(1000)),
      frameBytes(continuation, "b"),
    ],
    [],
    1000,
  ],
  ["a continuation of nothing", [frameBytes(continuation, "a")], [], 1002],
  [
    "an unfinished continuation of nothing",
    [frameBytes(continuation, "a", { fin: false })],
    [],
    1002,
  ],
  [
    "a continuation after the last one",
    [
      frameBytes(text, "a", { fin: false }),
      frameBytes(continuation, "b"),
      frameBytes(continuation, "c"),
    ],
    ["ab"],
    1002,
  ],
  [
    "a whole message inside of one",
    [
      frameBytes(text, "a", { fin: false }),
      frameBytes(text, "b"),
      frameBytes(continuation, "c"),
    ],
    [],
    1002,
  ],
]);

Deno.test("fragments: pings between are answered at once, and the message is whole", async () => {
  const frames = [
    frameBytes(text, "a", { fin: false }),
    frameBytes(ping, "1"),
    frameBytes(continuation, "b", { fin: false }),
    frameBytes(ping, "2"),
    frameBytes(continuation, "c"),
  ];
  await exchangeBoth(concat(frames), {
    end: "open",
    check: ({ delivered, answers }) => {
      assert.deepEqual(delivered, ["abc"]);
      assert.deepEqual(
        answers.map(({ opcode, payload }) => [opcode, payload]),
        [[pong, utf8("1")], [pong, utf8("2")]],
      );
    },
  });
});

// Pings and pongs (sections 5.5.2 and 5.5.3)

for (const size of [0, 1, 124, 125]) {
  Deno.test(`a ping of ${size} bytes is answered with the same bytes, and goes to nobody`, async () => {
    const payload = random(size);
    await exchangeBoth(frameBytes(ping, payload), {
      end: "open",
      check: ({ delivered, answers }) => {
        assert.deepEqual(
          answers.map(({ opcode, payload }) => ({ opcode, payload })),
          [{ opcode: pong, payload }],
        );
        assert.deepEqual(delivered, []);
      },
    });
  });
}

Deno.test("ten pings are answered in their order", async () => {
  const payloads = Array.from({ length: 10 }, (_, i) => bytes(i));
  await exchangeBoth(
    concat(payloads.map((payload) => frameBytes(ping, payload))),
    {
      end: "open",
      check: ({ answers }) =>
        assert.deepEqual(answers.map(({ payload }) => payload), payloads),
    },
  );
});

testCases("control frames", [
  ["a pong that nobody asked for", [frameBytes(pong, "x")], [], "open"],
  ["an empty pong", [frameBytes(pong)], [], "open"],
  [
    "a ping in fragments",
    [frameBytes(ping, "a", { fin: false }), frameBytes(continuation, "b")],
    [],
    1002,
  ],
  ["a ping of 126 bytes", [frameBytes(ping, "x".repeat(126))], [], 1002],
]);

// Bits and opcodes that have no meaning (section 5.2)

testCases("reserved", [
  ...[1, 2, 3, 4, 5, 6, 7].map((
    rsv,
  ): Case => [`bits ${rsv}`, [frameBytes(text, "a", { rsv })], [], 1002]),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): Case => [
    `opcode ${opcode}`,
    [frameBytes(opcode, "a")],
    [],
    1002,
  ]),
  ["bits on a ping", [frameBytes(ping, "a", { rsv: 4 })], [], 1002],
  [
    "bits after a good message",
    [frameBytes(text, "good"), frameBytes(text, "a", { rsv: 1 })],
    ["good"],
    1002,
  ],
]);

// Masks (section 5.3)

testCases("masks", [
  [
    "a mask of zeros",
    [frameBytes(text, "a", { mask: [0, 0, 0, 0] })],
    ["a"],
    "open",
  ],
]);

// UTF-8 (sections 5.6 and 8.1)

const kosme = "\u03ba\u1f79\u03c3\u03bc\u03b5";
const invalid: Record<string, Uint8Array> = {
  "a lone continuation byte": bytes(0x80),
  "a sequence cut short": utf8("\u03ba").subarray(0, 1),
  "an overlong slash": bytes(0xc0, 0xaf),
  "an encoded surrogate": bytes(0xed, 0xa0, 0x80),
  "beyond U+10FFFF": bytes(0xf4, 0x90, 0x80, 0x80),
  "0xFF": bytes(0x61, 0xff, 0x62),
};

testCases("UTF-8", [
  ["of two bytes", [frameBytes(text, kosme)], [kosme], "open"],
  ["of four bytes", [frameBytes(text, "a\u{1f600}b")], ["a\u{1f600}b"], "open"],
  ["U+0000, U+FFFF and U+10FFFF", [frameBytes(text, "\0\uffff\u{10ffff}")], [
    "\0\uffff\u{10ffff}",
  ], "open"],
  [
    "a byte order mark is kept",
    [frameBytes(text, "\ufeffa")],
    ["\ufeffa"],
    "open",
  ],
  [
    "a character split across fragments",
    [
      frameBytes(text, utf8("\u{1f600}").subarray(0, 2), { fin: false }),
      frameBytes(continuation, utf8("\u{1f600}").subarray(2)),
    ],
    ["\u{1f600}"],
    "open",
  ],
  [
    "a fragment for every byte",
    [...utf8(kosme)].map((byte, i, all) =>
      frameBytes(i === 0 ? text : continuation, bytes(byte), {
        fin: i === all.length - 1,
      })
    ),
    [kosme],
    "open",
  ],
  ...Object.entries(invalid).map((
    [name, data],
  ): Case => [name, [frameBytes(text, data)], [], 1007]),
  ["not asked of binary messages", [frameBytes(binary, invalid["0xFF"])], [
    invalid["0xFF"] as Received,
  ], "open"],
]);

testCases(
  "UTF-8 in a later fragment",
  Object.entries(invalid).map(([name, data]): Case => [
    name,
    [frameBytes(text, "a", { fin: false }), frameBytes(continuation, data)],
    [],
    1007,
  ]),
  lacking("framing"),
);

// Closing (sections 5.5.1 and 7.4)

testCases("close", [
  ["without a code", [frameBytes(close)], [], 1005],
  ...[
    1000,
    1001,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    3000,
    3999,
    4000,
    4999,
  ].map((
    code,
  ): Case => [
    `${code} is echoed`,
    [frameBytes(close, closePayload(code))],
    [],
    code,
  ]),
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535].map((
    code,
  ): Case => [
    `${code} is no code`,
    [frameBytes(close, closePayload(code))],
    [],
    1002,
  ]),
  ["a payload of one byte", [frameBytes(close, bytes(3))], [], 1002],
  [
    "a reason of 123 bytes",
    [frameBytes(close, closePayload(1000, "x".repeat(123)))],
    [],
    1000,
  ],
  [
    "a reason that isn't UTF-8",
    [frameBytes(close, closePayload(1000, bytes(0xff)))],
    [],
    1007,
  ],
  [
    "what follows is ignored",
    [frameBytes(close, closePayload(1000)), frameBytes(text, "late")],
    [],
    1000,
  ],
  [
    "twice",
    [
      frameBytes(close, closePayload(1000)),
      frameBytes(close, closePayload(1001)),
    ],
    [],
    1000,
  ],
  [
    "after a message",
    [frameBytes(text, "bye"), frameBytes(close, closePayload(4321, "why"))],
    ["bye"],
    4321,
  ],
]);

// Too big for [limits] message_bytes, 1 MiB by default

testCases("too big", [
  ["by one byte", [frameBytes(binary, new Uint8Array(1_048_577))], [], 1009],
  [
    "by one byte, in fragments",
    [
      frameBytes(text, "x".repeat(1_048_576), { fin: false }),
      frameBytes(continuation, "x"),
    ],
    [],
    1009,
  ],
  [
    "what came before arrives, what comes after doesn't",
    [
      frameBytes(text, "before"),
      frameBytes(binary, new Uint8Array(1_048_577)),
      frameBytes(text, "after"),
    ],
    ["before"],
    1009,
  ],
  [
    "by far, as declared",
    [frameBytes(binary, "", { declaredLength: 65n << 20n })],
    [],
    1009,
  ],
]);

testCases(
  "what the runtime lets through",
  [
    [
      "a frame without a mask",
      [frameBytes(text, "a", { mask: false })],
      [],
      1002,
    ],
    [
      "a length in 2 bytes for 5",
      [frameBytes(text, "hello", { lengthBytes: 2 })],
      [],
      1002,
    ],
    [
      "a length in 8 bytes for 5",
      [frameBytes(text, "hello", { lengthBytes: 8 })],
      [],
      1002,
    ],
    ["a pong of 126 bytes", [frameBytes(pong, "x".repeat(126))], [], 1002],
    [
      "a close of 126 bytes",
      [frameBytes(close, closePayload(1000, "x".repeat(124)))],
      [],
      1002,
    ],
    [
      "a fragmented message that begins inside of another one",
      [
        frameBytes(text, "a", { fin: false }),
        frameBytes(binary, "b", { fin: false }),
        frameBytes(continuation, "c"),
      ],
      [],
      1002,
    ],
    // Registered for gateways after RFC 6455.
    ["a close with 1014", [frameBytes(close, closePayload(1014))], [], 1014],
  ],
  lacking("framing"),
);

// How the bytes come

Deno.test("a frame in the same write as the handshake is delivered", async () => {
  const path = newPath();
  const witness = await shared.clients.join(path);
  using sender = await RawClient.connect({ socket: shared.staps.socket });
  await sender.write(
    concat([
      handshakeBytes({ path }),
      frameBytes(text, "early"),
      frameBytes(binary, "bird"),
    ]),
  );
  await sender.upgraded();
  assert.deepEqual(await witness.take(2), ["early", utf8("bird")]);
  await sender.send(text, "later");
  assert.equal(await witness.next(), "later");
});

Deno.test("a handshake in 1-byte writes is accepted", async () => {
  const path = newPath();
  const witness = await shared.clients.join(path);
  using sender = await RawClient.connect({ socket: shared.staps.socket });
  await sender.writeSlowly(handshakeBytes({ path }));
  await sender.upgraded();
  await sender.send(text, "slow but steady");
  assert.equal(await witness.next(), "slow but steady");
});

Deno.test("a client that hangs up inside a frame or a message leaves the others alone", async () => {
  const path = newPath();
  const [witness, other] = [
    await shared.clients.join(path),
    await shared.clients.join(path),
  ];
  for (
    const part of [
      frameBytes(text, "half a frame").subarray(0, 9),
      frameBytes(text, "half a message", { fin: false }),
      frameBytes(binary, "x", { declaredLength: 1000n }),
    ]
  ) {
    using sender = await RawClient.join({ socket: shared.staps.socket }, path);
    await sender.write(part);
  }
  await converse(witness, other);
  assert.deepEqual(witness.untaken, []);
});

shared.testFarewell();
