/** The same bytes of a WebSocket to both listeners: messages, answers and closes must be the same. */
import assert from "node:assert/strict";
import { handshakeBytes } from "../../tools/raw_client.ts";
import { randomFrames } from "./frame_input.ts";
import { readFrames } from "./frame_model.ts";
import {
  type Join,
  maxBytes,
  type RecordedConnection,
  startPair,
} from "./listener_pair.ts";
import { compareOutcomes, expectedOutcome } from "./listener_differences.ts";
import type { Target } from "./target.ts";
import { cutsOf } from "./wire.ts";

/** Frames behind a correct handshake. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly cuts: readonly number[];
}

/** What is to come behind bytes that end in this way. */
const following = {
  between: "more",
  inside: "end",
  close: "nothing",
  broken: "end",
} as const;

async function open(join: Join): Promise<RecordedConnection> {
  const joined = await join((path) => handshakeBytes({ path }));
  if (typeof joined !== "number") return joined;
  throw new Error(`Refused with ${joined}`);
}

/** Frames to both listeners. */
export const listeners: Target<Input> = {
  name: "listeners",
  about:
    "frames to the own listener and to the runtime's, whole or in pieces: messages, pongs, closes",
  batch: 400,
  quickCount: 2_000,
  make: (random) => {
    const faultChance = random.pick([0, 0, 0.02, 0.1]);
    const bytes = randomFrames(random, { maxBytes, faultChance });
    return { bytes, cuts: cutsOf(random, { length: bytes.length, most: 4 }) };
  },
  open: async (stack) => {
    const pair = await startPair(stack);
    /** Of each lane those to both, used again while what came was right and whole. */
    const opened = new Map<number, readonly RecordedConnection[]>();
    stack.defer(() =>
      [...opened.values()].flat().forEach((one) => one.close())
    );
    return {
      try: async ({ bytes, cuts }, lane) => {
        const reading = readFrames(bytes, { maxBytes });
        const then = following[reading.end.kind];
        const connections = opened.get(lane) ??
          await Promise.all(pair.map(open));
        if (then === "more") opened.set(lane, connections);
        else opened.delete(lane);
        const [own, runtimes] = await Promise.all(
          connections.map((each) => each.send(bytes, { cuts, then })),
        );
        const expected = expectedOutcome(reading, own!);
        assert.deepEqual(own, expected, "the own listener");
        const both = { own: own!, runtimes: runtimes! };
        const name = compareOutcomes(reading, both);
        if (name !== undefined) return name;
        throw new Error(`Not the same by both: ${JSON.stringify(both)}`);
      },
    };
  },
};
