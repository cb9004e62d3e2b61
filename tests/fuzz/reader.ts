/** The frame reader of the own listener, without sockets, against a plain reading of RFC 6455. */
import assert from "node:assert/strict";
import {
  type FrameEvent,
  FrameReader,
  minBufferBytes,
} from "../../src/listener/frame_reader.ts";
import { newBlock } from "../../src/listener/unmask.ts";
import { randomFrames } from "./frame_input.ts";
import { readFrames } from "./frame_model.ts";
import { pureTarget, shorterBytes, type Target } from "./target.ts";

/** What a reader gets. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The sizes of the pieces in which they come the second time, used in turn. */
  readonly pieces: readonly number[];
  readonly maxBytes: number;
}

/** Limits of messages: around the sizes at which frames and buffers change. */
const limits = [
  ...[1024, 1024, 1024, 1024, 0, 20, 125, 126, 127, 2048, 4096],
  ...[65_535, 65_536, 70_000],
] as const;

/** Every reader's buffers, as those of connections: an event that pointed into one would be overwritten. */
const blocks = [newBlock(minBufferBytes), newBlock(16 * 1024)];

/** Frames to the reader alone. */
export const reader: Target<Input> = pureTarget<Input>({
  name: "reader",
  about:
    "frames to the frame reader, whole and in pieces: events and faults as RFC 6455 has them",
  quickCount: 30_000,
  make: (random) => {
    const maxBytes = random.chance(0.9)
      ? random.pick(limits.slice(0, 9))
      : random.pick(limits);
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
  show: ({ bytes, ...more }) =>
    JSON.stringify({ ...more, bytes: bytes.toHex() }),
  simpler: function* (input): Generator<Input> {
    if (input.pieces.length > 1) {
      yield* input.pieces.map((piece) => ({ ...input, pieces: [piece] }));
    }
    for (const bytes of shorterBytes(input.bytes)) yield { ...input, bytes };
  },
  check: (input) => {
    const { bytes, maxBytes } = input;
    const expected = readFrames(bytes, { maxBytes });
    for (const pieces of [[bytes.length], input.pieces]) {
      const found = read(input, pieces);
      const last = found.at(-1);
      const hasEnd = last !== undefined &&
        (last.kind === "close" || last.kind === "fault");
      const { events, end } = expected;
      const isSame = found.length === events.length + (hasEnd ? 1 : 0) &&
        events.every((event, i) => isEvent(found[i]!, event)) &&
        (hasEnd ? last.code : undefined) ===
          ("code" in end ? end.code : undefined) &&
        (!hasEnd || (last.kind === "fault") === (end.kind === "broken"));
      if (isSame) continue;
      assert.deepEqual(found.map(plain), [
        ...events.map(({ kind, payload }) => `${kind} ${payload.toHex()}`),
        ..."code" in end ? [`${end.kind} ${end.code}`] : [],
      ], `in pieces of ${pieces}`);
      assert.fail("events differ, but not in print");
    }
  },
});

/** Gets what a reader finds, up to the first close frame or fault. */
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
    const size = Math.min(pieces[turn % pieces.length]!, space.length);
    const part = bytes.subarray(at, at + size);
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

function isEvent(
  found: FrameEvent,
  { kind, payload }: { kind: string; payload: Uint8Array },
): boolean {
  if (found.kind === "pong") return kind === "pong";
  if (found.kind === "ping") {
    return kind === "ping" && isEqual(found.payload, payload);
  }
  return found.kind === "message" && found.isText === (kind === "text") &&
    kind !== "ping" && kind !== "pong" && isEqual(found.payload, payload) &&
    isOwnFrame(found.frame, payload.length);
}

/** Whether `frame` is the shortest that may carry this much: what receivers get. */
function isOwnFrame(frame: Uint8Array, payloadBytes: number): boolean {
  const headBytes = payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10;
  return frame.length === headBytes + payloadBytes &&
    (frame[0] === 0x81 || frame[0] === 0x82) && frame[1]! < 0x80;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function plain(event: FrameEvent): string {
  switch (event.kind) {
    case "message":
      return `${event.isText ? "text" : "binary"} ${event.payload.toHex()}`;
    case "ping":
      return `ping ${event.payload.toHex()}`;
    case "pong":
      return "pong ";
    case "close":
      return `close ${event.code}`;
    case "fault":
      return `broken ${event.code}`;
  }
}
