/** The frame reader of the own listener, without sockets, against a plain reading of RFC 6455. */
import assert from "node:assert/strict";
import { FrameReader } from "../../src/listener/frame_reader.ts";
import { payloadInWords, readEvents } from "../helpers/frame_events.ts";
import { cut } from "../helpers/pieces.ts";
import { randomFrames } from "./frame_input.ts";
import { readFrames } from "./frame_model.ts";
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
  ...pure(({ bytes, pieces, maxBytes }) => {
    const { events, end } = readFrames(bytes, { maxBytes });
    const expected = events.map(({ kind, payload }) =>
      kind === "pong" ? kind : payloadInWords(kind, payload)
    );
    if (end.kind === "broken") expected.push(`fault ${end.code}`);
    if (end.kind === "close") expected.push(`close ${end.code}`);
    for (const sizes of [[], pieces]) {
      const reader = new FrameReader({ messageBytes: maxBytes });
      const found = readEvents(reader, cut(bytes, sizes));
      // Without the reason: the model has no words for faults.
      const last = found.pop()?.replace(/^((?:fault|close) \d+) .*/s, "$1");
      if (last !== undefined) found.push(last);
      // Far faster where they are the same, as they nearly always are.
      if (found.join() === expected.join()) continue;
      assert.deepEqual(found, expected, `in pieces of ${sizes}`);
    }
  }),
};
