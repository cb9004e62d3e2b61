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
} from "../../tools/raw_client.ts";
import { lacking, listenerConfig, testListener } from "../helpers/listener.ts";
import { testUnless } from "../helpers/skip.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { converse, type Received } from "../../tools/ws_client.ts";

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

function testCases(subject: string, cases: readonly Case[]): void {
  for (const [name, frames, delivered, end] of cases) {
    Deno.test(`${subject}: ${name}`, () =>
      exchangeBoth(concat(frames), {
        end,
        check: (result) => assert.deepEqual(result.delivered, delivered),
      }));
  }
}

const utf8 = (string: string): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(string);
const bytes = (...values: number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(values);
const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i);

// What arrives (sections 5.2 to 5.6)

const half = utf8("\u{1f600}");

testCases("delivered", [
  ...[0, 125, 126, 65_535, 65_536, 1_048_576].map((size): Case => [
    `a text message of ${size} bytes`,
    [frameBytes(text, "x".repeat(size))],
    ["x".repeat(size)],
    "open",
  ]),
  [
    "binary messages, one in fragments, with every byte",
    [
      frameBytes(binary, everyByte, { mask: [0, 0, 0, 0] }),
      frameBytes(binary, bytes(1), { fin: false }),
      frameBytes(continuation, bytes(2), { fin: false }),
      frameBytes(continuation, bytes(3)),
    ],
    [everyByte, bytes(1, 2, 3)],
    "open",
  ],
  [
    "a thousand fragments, the first one empty",
    [
      frameBytes(text, "", { fin: false }),
      ...Array.from(
        { length: 1000 },
        (_, i) => frameBytes(continuation, `${i},`, { fin: i === 999 }),
      ),
    ],
    [Array.from({ length: 1000 }, (_, i) => `${i},`).join("")],
    "open",
  ],
  [
    "U+0000, U+FFFF, U+10FFFF and a byte order mark",
    [frameBytes(text, "\ufeff\0\uffff\u{10ffff}")],
    ["\ufeff\0\uffff\u{10ffff}"],
    "open",
  ],
  [
    "a character split across fragments, with a pong between",
    [
      frameBytes(text, half.subarray(0, 2), { fin: false }),
      frameBytes(pong, "x"),
      frameBytes(continuation, half.subarray(2)),
    ],
    ["\u{1f600}"],
    "open",
  ],
]);

Deno.test("pings are answered in their order, also within a message, and go to nobody", async () => {
  const payloads = [utf8(""), everyByte.subarray(0, 125), utf8("2"), utf8("3")];
  const frames = [
    frameBytes(text, "a", { fin: false }),
    ...payloads.map((payload) => frameBytes(ping, payload)),
    frameBytes(continuation, "b"),
  ];
  await exchangeBoth(concat(frames), {
    end: "open",
    check: ({ delivered, answers }) => {
      assert.deepEqual(delivered, ["ab"]);
      assert.deepEqual(
        answers.map(({ opcode, payload }) => ({ opcode, payload })),
        payloads.map((payload) => ({ opcode: pong, payload })),
      );
    },
  });
});

// What ends its sender: one of each code (sections 5.5.1, 7.4). Every rule is in
// tests/listener/frame_reader_test.ts; tests/fuzz sends all of them to a node.

testCases("broken", [
  ["a reserved bit", [frameBytes(text, "a", { rsv: 4 })], [], 1002],
  [
    "text that isn't UTF-8, after a good one",
    [frameBytes(text, "good"), frameBytes(text, bytes(0xff))],
    ["good"],
    1007,
  ],
  [
    "a message over the limit, as declared, between two good ones",
    [
      frameBytes(text, "before"),
      frameBytes(binary, "", { declaredLength: 65n << 20n }),
      frameBytes(text, "after"),
    ],
    ["before"],
    1009,
  ],
  [
    "a message over the limit in fragments",
    [
      frameBytes(text, "x".repeat(1_048_576), { fin: false }),
      frameBytes(continuation, "x"),
    ],
    [],
    1009,
  ],
]);

testCases("close", [
  ["without a code", [frameBytes(close)], [], 1005],
  [
    "4999 is echoed",
    [frameBytes(close, closePayload(4999, "x".repeat(123)))],
    [],
    4999,
  ],
  ["1005 is no code", [frameBytes(close, closePayload(1005))], [], 1002],
  [
    "within a message ends that unheard, and what follows is ignored",
    [
      frameBytes(text, "whole"),
      frameBytes(text, "a", { fin: false }),
      frameBytes(close, closePayload(1000)),
      frameBytes(continuation, "b"),
      frameBytes(close, closePayload(1001)),
    ],
    ["whole"],
    1000,
  ],
]);

testUnless(lacking("framing"), {
  name: "a frame without a mask ends its sender with 1002",
  fn: () =>
    exchangeBoth(frameBytes(text, "a", { mask: false }), {
      end: 1002,
      check: ({ delivered }) => assert.deepEqual(delivered, []),
    }),
});

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
  const [witness, other] = await shared.clients.joinMany(path, 2);
  const parts = [
    frameBytes(text, "half a frame").subarray(0, 9),
    frameBytes(text, "half a message", { fin: false }),
    frameBytes(binary, "x", { declaredLength: 1000n }),
  ];
  for (const part of parts) {
    using sender = await RawClient.join({ socket: shared.staps.socket }, path);
    await sender.write(part);
  }
  await converse(witness!, other!);
  assert.deepEqual(witness!.untaken, []);
});

shared.testFarewell();
