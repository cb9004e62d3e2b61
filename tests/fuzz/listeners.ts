/** The same bytes of a WebSocket to both listeners: messages, answers and closes must be the same. */
import assert from "node:assert/strict";
import { handshakeBytes } from "../helpers/raw_client.ts";
import { randomFrames } from "./frame_input.ts";
import { readFrames } from "./frame_model.ts";
import {
  ListenerPair,
  maxBytes,
  type RecordedConnection,
} from "./listener_pair.ts";
import { compareOutcomes, expectedOutcome } from "./listener_differences.ts";
import { type Session, shorterBytes, type Target } from "./target.ts";

/** Frames behind a correct handshake. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly cuts: readonly number[];
}

/** How many inputs are tried at once. */
const lanes = 16;

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
    const { kind } = reading.end;
    const then = kind === "between"
      ? "more"
      : kind === "close"
      ? "nothing"
      : "end";
    const [own, runtimes] = await Promise.all(
      (await this.#connect()).map((each) => each.send({ bytes, cuts, then })),
    );
    if (then !== "more") this.#connections = undefined;
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
    if (this.#connections !== undefined) return this.#connections;
    const { own, runtimes } = this.#pair;
    const joined = await Promise.all(
      [own, runtimes].map((each) =>
        each.join((path) => handshakeBytes({ path }))
      ),
    );
    return this.#connections = joined.map((each) => {
      if (typeof each === "number") throw new Error(`Refused with ${each}`);
      return each;
    });
  }
}

class ListenerSession implements Session<Input> {
  readonly counts: Record<string, number> = {};
  readonly #pair: ListenerPair;
  readonly #lanes: readonly Lane[];

  constructor(pair: ListenerPair) {
    this.#pair = pair;
    this.#lanes = Array.from({ length: lanes }, () => new Lane(pair));
  }

  async try(inputs: readonly Input[]): Promise<void> {
    let next = 0;
    await Promise.all(this.#lanes.map(async (lane) => {
      while (next < inputs.length) {
        const name = await lane.try(inputs[next++]!);
        this.counts[name] = (this.counts[name] ?? 0) + 1;
      }
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.#lanes) lane.close();
    await this.#pair[Symbol.asyncDispose]();
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
    const count = random.chance(0.6) ? 0 : random.integer(1, 4);
    const cuts = Array.from(
      { length: count },
      () => random.integer(0, bytes.length),
    );
    return { bytes, cuts: cuts.sort((a, b) => a - b) };
  },
  show: ({ bytes, cuts }) => JSON.stringify({ cuts, bytes: bytes.toHex() }),
  simpler: function* (input): Generator<Input> {
    if (input.cuts.length > 0) yield { ...input, cuts: [] };
    for (const bytes of shorterBytes(input.bytes)) yield { bytes, cuts: [] };
  },
  open: async () => new ListenerSession(await ListenerPair.start()),
};
