/**
 * Frames, as RFC 6455 has them and as it doesn't, against the real program: what
 * the other clients of the channel get, and what becomes of the sender. Every
 * case is sent twice, in one write and byte by byte. One of each kind is here:
 * every rule is in tests/listener/frame_reader_test.ts, and tests/fuzz sends all
 * of them to a node.
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

/** What a client writes, and what comes of it. */
interface Case {
  readonly frames: readonly Uint8Array[];
  /** What the other client of the channel gets. */
  readonly delivered: readonly Received[];
  /** Payloads of the pongs that the sender gets. */
  readonly pongs?: readonly Uint8Array[];
  readonly end?: End;
  /** What of the listener it needs. */
  readonly needs?: "framing";
}

/** How a connection ends whose client broke a rule (section 7.4.1). The runtime's listener mostly says nothing. */
const failures: ReadonlySet<End> = new Set([1002, 1007, 1009]);

const lastWord = "still there?";
const endOfCase = "end of case";

/** Lets a client write `frames` into a channel that another one listens to, and checks what comes of it. */
async function check(
  { frames, delivered, pongs = [], end = "open" }: Case,
  way: "write" | "writeSlowly",
): Promise<void> {
  const path = newPath();
  const [witness, marker] = await shared.clients.joinMany(path, 2);
  using sender = await RawClient.join({ socket: shared.staps.socket }, path);
  try {
    await sender[way](concat(frames));
    // Answered when the server has read all before it, if it still does.
    await sender.send(ping, lastWord);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  const seen = await readToEnd(sender, { mayStay: end === "open" });
  const isSilent = seen.end === "drop" && testListener === "runtime";
  if (!isSilent || !failures.has(end)) assert.equal(seen.end, end);
  assert.deepEqual(
    seen.answers.map(({ opcode, payload }) => ({ opcode, payload })),
    pongs.map((payload) => ({ opcode: pong, payload })),
  );

  // Whatever the sender's messages were, they came before that one.
  marker!.send(endOfCase);
  const got: Received[] = [];
  for (let message; (message = await witness!.next()) !== endOfCase;) {
    got.push(message);
  }
  assert.deepEqual(got, delivered);
  // Only an open connection gets what others publish.
  if (end === "open") {
    const { payload } = (await sender.readFrame())!;
    assert.deepEqual(payload, utf8(endOfCase));
  }
  for (const client of [witness!, marker!]) {
    client.close();
    await client.closed;
  }
}

/** Reads what the sender gets up to the end of its connection, or, if that may stay, to the answer to its last word. */
async function readToEnd(
  sender: RawClient,
  { mayStay }: { mayStay: boolean },
): Promise<{ answers: Frame[]; end: End }> {
  const answers: Frame[] = [];
  for (let frame; (frame = await sender.readFrame());) {
    const { opcode, payload } = frame;
    assert.equal(frame.masked, false, "a server must not mask (section 5.1)");
    assert.equal(frame.rsv, 0);
    if (opcode === close) {
      // Where the server began it, it waits for this.
      await sender.send(close, payload).catch(() => {});
      // Nothing may follow it (section 5.5.1).
      assert.deepEqual(await sender.readToEnd(), []);
      return { answers, end: readClose(payload).code };
    }
    const isLast = new TextDecoder().decode(payload) === lastWord;
    if (isLast && mayStay) return { answers, end: "open" };
    if (!isLast) answers.push(frame);
  }
  return { answers, end: "drop" };
}

function utf8(string: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(string);
}

function bytes(...values: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(values);
}

const large = "x".repeat(1_048_576);
const smiley = utf8("\u{1f600}");
const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i);
const pings = [utf8(""), everyByte.subarray(0, 125), utf8("2"), utf8("3")];

const cases: Readonly<Record<string, Case>> = {
  "texts of every size are delivered": {
    frames: ["", "short", "x".repeat(65_535), large]
      .map((content) => frameBytes(text, content)),
    delivered: ["", "short", "x".repeat(65_535), large],
  },
  "binary messages are delivered, one empty, one in fragments, with every byte":
    {
      frames: [
        frameBytes(binary, ""),
        frameBytes(binary, everyByte, { mask: [0, 0, 0, 0] }),
        frameBytes(binary, bytes(1), { fin: false }),
        frameBytes(continuation, bytes(2), { fin: false }),
        frameBytes(continuation, bytes(3)),
      ],
      delivered: [bytes(), everyByte, bytes(1, 2, 3)],
    },
  "U+0000, U+FFFF, U+10FFFF and a byte order mark are delivered": {
    frames: [frameBytes(text, "\ufeff\0\uffff\u{10ffff}")],
    delivered: ["\ufeff\0\uffff\u{10ffff}"],
  },
  "a character split across fragments is delivered, with a pong between": {
    frames: [
      frameBytes(text, smiley.subarray(0, 2), { fin: false }),
      frameBytes(pong, "x"),
      frameBytes(continuation, smiley.subarray(2)),
    ],
    delivered: ["\u{1f600}"],
  },
  "pings are answered in their order, also within a message, and go to nobody":
    {
      frames: [
        frameBytes(text, "a", { fin: false }),
        ...pings.map((payload) => frameBytes(ping, payload)),
        frameBytes(continuation, "b"),
      ],
      delivered: ["ab"],
      pongs: pings,
    },

  "text that isn't UTF-8 ends its sender, after a good one": {
    frames: [frameBytes(text, "good"), frameBytes(text, bytes(0xff))],
    delivered: ["good"],
    end: 1007,
  },
  "a message over the limit, as declared, ends its sender between two good ones":
    {
      frames: [
        frameBytes(text, "before"),
        frameBytes(binary, "", { declaredLength: 65n << 20n }),
        frameBytes(text, "after"),
      ],
      delivered: ["before"],
      end: 1009,
    },
  "a message over the limit in fragments ends its sender": {
    frames: [
      frameBytes(text, large, { fin: false }),
      frameBytes(continuation, "x"),
    ],
    delivered: [],
    end: 1009,
  },

  "a close with 4999 is echoed": {
    frames: [frameBytes(close, closePayload(4999, "x".repeat(123)))],
    delivered: [],
    end: 4999,
  },
  "a close within a message ends that unheard, and what follows is ignored": {
    frames: [
      frameBytes(text, "whole"),
      frameBytes(text, "a", { fin: false }),
      frameBytes(close, closePayload(1000)),
      frameBytes(continuation, "b"),
      frameBytes(close, closePayload(1001)),
    ],
    delivered: ["whole"],
    end: 1000,
  },
  "a frame without a mask ends its sender": {
    frames: [frameBytes(text, "a", { mask: false })],
    delivered: [],
    end: 1002,
    needs: "framing",
  },
};

for (const [name, each] of Object.entries(cases)) {
  testUnless(each.needs && lacking(each.needs), {
    name,
    fn: async () => {
      for (const way of ["write", "writeSlowly"] as const) {
        await check(each, way);
      }
    },
  });
}

Deno.test("a handshake in 1-byte writes is accepted, and frames in the same write as one are delivered", async () => {
  const path = newPath();
  const witness = await shared.clients.join(path);
  const frames = [frameBytes(text, "early"), frameBytes(binary, "bird")];
  const handshake = handshakeBytes({ path });
  for (const way of ["write", "writeSlowly"] as const) {
    using sender = await RawClient.connect({ socket: shared.staps.socket });
    await sender[way](concat([handshake, ...frames]));
    await sender.upgraded();
    assert.deepEqual(await witness.take(2), ["early", utf8("bird")]);
    await sender.send(text, "later");
    assert.equal(await witness.next(), "later");
  }
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
