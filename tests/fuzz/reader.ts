/** The frame reader of the own listener, without sockets, against a plain reading of RFC 6455. */
import assert from "node:assert/strict";
import {
  type FrameEvent,
  FrameReader,
  minBufferBytes,
} from "../../src/listener/frame_reader.ts";
import { headBytes } from "../../src/listener/frames.ts";
import { newBlock } from "../../src/listener/unmask.ts";
import { randomFrames } from "./frame_input.ts";
import { type ModelEvent, readFrames } from "./frame_model.ts";
import { pure, type Target } from "./target.ts";

/** What a reader gets. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The sizes of the pieces in which they come the second time, used in turn. */
  readonly pieces: readonly number[];
  readonly maxBytes: number;
}

/** Limits of messages: around the sizes at which frames and buffers change. */
const smallLimits = [1024, 1024, 1024, 1024, 0, 20, 125, 126, 127] as const;
const largeLimits = [2048, 4096, 65_535, 65_536, 70_000] as const;

/** Every reader's buffers, as those of connections: an event that pointed into one would be overwritten. */
const blocks = [newBlock(minBufferBytes), newBlock(16 * 1024)];

/** Frames to the reader alone. */
export const reader: Target<Input> = {
  name: "reader",
  about:
    "frames to the frame reader, whole and in pieces: events and faults as RFC 6455 has them",
  quickCount: 30_000,
  make: (random) => {
    const maxBytes = random.pick<number>(
      random.chance(0.95) ? smallLimits : largeLimits,
    );
    const faultChance = random.pick([0, 0.05, 0.3]);
    return {
      bytes: randomFrames(random, { maxBytes, faultChance }),
      pieces: Array.from(
        { length: random.integer(1, 3) },
        () => random.pick([1, 1, 2, 3, 7, random.integer(1, 300), 2048]),
      ),
      maxBytes,
    };
  },
  ...pure((input) => {
    const { bytes, maxBytes } = input;
    const { events, end } = readFrames(bytes, { maxBytes });
    const expected = [...events, ..."code" in end ? [end] : []].map(plain);
    for (const pieces of [[], input.pieces]) {
      const found = read(input, pieces).map(plain);
      // Far faster where they are the same, as they nearly always are.
      if (found.join() === expected.join()) continue;
      assert.deepEqual(found, expected, `in pieces of ${pieces}`);
    }
  }),
};

/** Gets what a reader finds, up to the first close frame or fault. No pieces: all bytes at once. */
function read(
  { bytes, maxBytes }: Input,
  pieces: readonly number[],
): FrameEvent[] {
  const reader = new FrameReader({ messageBytes: maxBytes });
  reader.useBuffer(blocks[0]!);
  const found: FrameEvent[] = [];
  let turn = 0;
  for (let at = 0; at < bytes.length;) {
    const { space } = reader;
    assert.ok(space.length > 0, "there is no space for more");
    const size = pieces[turn % pieces.length] ?? Infinity;
    const part = bytes.subarray(at, at + Math.min(size, space.length));
    space.set(part);
    reader.filled(part.length);
    at += part.length;
    for (let event; (event = reader.next()) !== undefined;) {
      found.push(event);
      if (event.kind === "fault" || event.kind === "close") return found;
    }
    // As a connection does between two reads.
    reader.useBuffer(blocks[++turn % blocks.length]!);
  }
  return found;
}

/** Gets an event of the reader or the model in words that both have. */
function plain(
  event: FrameEvent | ModelEvent | { kind: "broken"; code: number },
): string {
  if (event.kind === "message") {
    const { frame, isText, payload } = event;
    const kind = isText ? "text" : "binary";
    return isOwnFrame(frame, payload.length)
      ? `${kind} ${payload.toHex()}`
      : `${kind} in a frame that isn't the shortest: ${frame.toHex()}`;
  }
  if (event.kind === "pong") return "pong";
  return "payload" in event
    ? `${event.kind} ${event.payload.toHex()}`
    : `${event.kind === "broken" ? "fault" : event.kind} ${event.code}`;
}

/** Whether `frame` is the shortest that may carry this much: what receivers get. */
function isOwnFrame(frame: Uint8Array, payloadBytes: number): boolean {
  return frame.length === headBytes(payloadBytes) + payloadBytes &&
    (frame[0] === 0x81 || frame[0] === 0x82) && frame[1]! < 0x80;
}
