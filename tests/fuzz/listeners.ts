/** The same bytes of a WebSocket to both listeners: messages, answers and closes must be the same. */
import assert from "node:assert/strict";
import { handshakeBytes } from "../../tools/raw_client.ts";
import { randomFrames } from "./frame_input.ts";
import { readFrames } from "./frame_model.ts";
import {
  type ListenerPair,
  maxBytes,
  type RecordedConnection,
  startPair,
} from "./listener_pair.ts";
import { compareOutcomes, expectedOutcome } from "./listener_differences.ts";
import { count, inLanes, lanes, type Target } from "./target.ts";
import { cutsOf } from "./wire.ts";

/** Frames behind a correct handshake. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly cuts: readonly number[];
}

/** A connection to each listener, used again while what came was right and whole. */
class Lane {
  readonly #pair: ListenerPair;
  #connections: readonly RecordedConnection[] | undefined;

  constructor(pair: ListenerPair) {
    this.#pair = pair;
  }

  /** Gets the name of what came of an input. @throws {Error} If nothing excuses it. */
  async try({ bytes, cuts }: Input): Promise<string> {
    const reading = readFrames(bytes, { maxBytes });
    const then = reading.end.kind === "between"
      ? "more"
      : reading.end.kind === "close"
      ? "nothing"
      : "end";
    const connections = this.#connections ?? await this.#connect();
    this.#connections = then === "more" ? connections : undefined;
    const [own, runtimes] = await Promise.all(
      connections.map((each) => each.send(bytes, { cuts, then })),
    );
    assert.deepEqual(own, expectedOutcome(reading, own!), "the own listener");
    const both = { own: own!, runtimes: runtimes! };
    const name = compareOutcomes(reading, both);
    if (name === undefined) {
      throw new Error(`Not the same by both: ${JSON.stringify(both)}`);
    }
    return name;
  }

  close(): void {
    for (const each of this.#connections ?? []) each.close();
  }

  async #connect(): Promise<readonly RecordedConnection[]> {
    const { own, runtimes } = this.#pair;
    const handshake = (path: string): Uint8Array => handshakeBytes({ path });
    return await Promise.all([own, runtimes].map(async (server) => {
      const joined = await server.join(handshake);
      if (typeof joined !== "number") return joined;
      throw new Error(`Refused with ${joined}`);
    }));
  }
}

/** Frames to both listeners. */
export const listeners: Target<Input> = {
  name: "listeners",
  about:
    "frames to the own listener and to the runtime's, whole or in pieces: messages, pongs, closes",
  share: 2,
  batch: 400,
  quickCount: 2_000,
  make: (random) => {
    const faultChance = random.pick([0, 0, 0.02, 0.1]);
    const bytes = randomFrames(random, { maxBytes, faultChance });
    return { bytes, cuts: cutsOf(random, { length: bytes.length, most: 4 }) };
  },
  open: async () => {
    const pair = await startPair();
    const each = Array.from({ length: lanes }, () => new Lane(pair));
    const counts = {};
    return {
      counts,
      try: (inputs) =>
        inLanes(
          inputs,
          async (input, lane) => count(counts, await each[lane]!.try(input)),
        ),
      [Symbol.asyncDispose]: async () => {
        for (const lane of each) lane.close();
        await pair[Symbol.asyncDispose]();
      },
    };
  },
};
