/** WebSocket frames, right and wrong, against a real staps. */
import assert from "node:assert/strict";
import {
  closePayload,
  concat,
  frameBytes,
  type FrameOptions,
  handshakeBytes,
  opcodes,
} from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import type { Received } from "../helpers/ws_client.ts";
import { readFrames } from "./frame_model.ts";
import { mutateBytes, oddText } from "./mutations.ts";
import { canary, FuzzedNode, maxMessageBytes, paths } from "./node.ts";
import { type Session, shorterBytes, type Target } from "./target.ts";
import { type Manner, mannerOf, send } from "./wire.ts";

/** The bytes of one connection. */
interface Input extends Manner {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether there is nothing wrong with them, so that all has to be published. */
  readonly correct: boolean;
}

/** How many connections are open at once. */
const atOnce = 16;

const { continuation, text, binary, close, ping, pong } = opcodes;

/** A malformed length, or one of something that never comes. */
const hugeLengths = [
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 53n,
  2n ** 32n,
  2n ** 31n,
  64n * 1024n * 1024n + 1n,
  64n * 1024n * 1024n,
  1024n * 1024n,
  65_537n,
] as const;

const closeCodes = [
  ...[0, 999, 1000, 1001, 1004, 1005, 1006, 1007, 1008, 1011, 1014, 1015],
  ...[1016, 2999, 3000, 4000, 4001, 4999, 5000, 65535],
] as const;

/** Bytes that are no text in UTF-8, alone or at an end. */
const brokenText = [
  [0xff],
  [0xc0, 0xaf],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe2, 0x82],
  [0x61, 0xf0, 0x9f, 0x98],
].map((bytes) => Uint8Array.from(bytes));

function payloadOf(random: Random): Uint8Array<ArrayBuffer> {
  if (random.chance(0.03)) {
    const sizes = [125, 126, 127, 65_535, 65_536, maxMessageBytes + 1];
    return new Uint8Array(random.pick(sizes)).fill(0x61);
  }
  return random.chance(0.3) ? new Uint8Array(0) : new TextEncoder().encode(
    `${random.integer(0, 1e9)} ${random.chance(0.3) ? oddText(random) : ""}`,
  );
}

function maskOf(random: Random): FrameOptions {
  const [a = 0, b = 0, c = 0, d = 0] = random.bytes(4);
  return { mask: random.chance(0.1) ? [0, 0, 0, 0] : [a, b, c, d] };
}

/** Gets frames of which every one is allowed. */
function correctFrames(random: Random): Uint8Array[] {
  const mask = maskOf(random);
  const payload = payloadOf(random);
  switch (random.integer(0, 5)) {
    case 0:
    case 1:
      return [frameBytes(text, payload, mask)];
    case 2:
      return [frameBytes(binary, random.bytes(random.integer(0, 300)), mask)];
    case 3:
      return [
        frameBytes(random.pick([ping, pong]), payload.slice(0, 125), mask),
      ];
    default: {
      const cut = random.integer(0, payload.length);
      return [
        frameBytes(random.pick([text, binary]), payload.slice(0, cut), {
          ...mask,
          fin: false,
        }),
        ...random.chance(0.5) ? [frameBytes(ping, "between", mask)] : [],
        ...random.chance(0.3)
          ? [frameBytes(continuation, "", { ...mask, fin: false })]
          : [],
        frameBytes(continuation, payload.slice(cut), mask),
      ];
    }
  }
}

/** Gets frames with something wrong, or nearly so. */
function oddFrames(random: Random): Uint8Array[] {
  const mask = maskOf(random);
  const payload = payloadOf(random);
  const control = random.pick([ping, pong, close]);
  switch (random.integer(0, 11)) {
    case 0:
      return [
        frameBytes(text, payload, { ...mask, rsv: random.integer(1, 7) }),
      ];
    case 1:
      return [
        frameBytes(random.pick([3, 4, 5, 6, 7, 11, 12, 15]), payload, mask),
      ];
    case 2:
      return [
        frameBytes(random.pick([text, binary]), payload, { mask: false }),
      ];
    case 3:
      return [
        frameBytes(control, new Uint8Array(random.integer(126, 2_000)), mask),
      ];
    case 4:
      return [
        frameBytes(control, payload.slice(0, 20), { ...mask, fin: false }),
      ];
    case 5:
      return [
        frameBytes(text, payload, {
          ...mask,
          lengthBytes: payload.length < 65_536 ? random.pick([2, 8]) : 8,
        }),
      ];
    case 6:
      return [
        frameBytes(random.pick([text, binary, ping, close]), payload, {
          ...mask,
          lengthBytes: 8,
          declaredLength: random.pick(hugeLengths),
        }),
      ];
    case 7: {
      const broken = random.pick(brokenText);
      return random.chance(0.5) ? [frameBytes(text, broken, mask)] : [
        frameBytes(text, broken, { ...mask, fin: false }),
        frameBytes(continuation, random.chance(0.5) ? "" : "x", mask),
      ];
    }
    case 8:
      return [frameBytes(continuation, payload, mask)];
    case 9:
      return [frameBytes(text, payload, { ...mask, fin: false })];
    case 10: {
      const reason = random.chance(0.5)
        ? payload.slice(0, random.integer(0, 130))
        : random.pick(brokenText);
      const data = closePayload(random.pick(closeCodes), reason);
      return [
        frameBytes(close, random.chance(0.2) ? data.slice(0, 1) : data, mask),
      ];
    }
    default:
      return [random.bytes(random.integer(1, 64))];
  }
}

function make(random: Random): Input {
  const path = random.chance(0.7)
    ? paths.shared
    : `/${canary}/own/${random.integer(0, 99)}`;
  const correct = random.chance(0.25);
  const frames = Array.from(
    { length: random.integer(0, 8) },
    () =>
      correct || random.chance(0.6) ? correctFrames(random) : oddFrames(random),
  ).flat();
  if (correct || random.chance(0.5)) {
    frames.push(frameBytes(close, closePayload(1000), maskOf(random)));
  }
  const head = correct || random.chance(0.97)
    ? handshakeBytes({ path })
    : new Uint8Array(0);
  let bytes = concat([head, ...frames]);
  // Damage to the frames is more telling than to the handshake.
  if (!correct && random.chance(0.4)) {
    bytes = random.chance(0.2)
      ? mutateBytes(random, bytes)
      : concat([head, mutateBytes(random, concat(frames))]);
  }
  if (correct) {
    return {
      ...mannerOf(random, {
        length: bytes.length,
        listeners: ["unix", "tcp"],
        endings: ["server"],
      }),
      bytes,
      correct: path === paths.shared,
    };
  }
  return {
    ...mannerOf(random, {
      length: bytes.length,
      listeners: ["unix", "tcp"],
      endings: ["reset", "close", "half", "half"],
    }),
    bytes,
    correct,
  };
}

/** Gets what may be published of the bytes of a connection. */
function allowed({ bytes }: Input): Received[] {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return [];
  const { events } = readFrames(bytes.slice(end + 4), {
    maxBytes: maxMessageBytes,
  });
  return events.flatMap(({ kind, payload }): Received[] =>
    kind === "binary"
      ? [payload]
      : kind === "text"
      ? [new TextDecoder("utf-8", { ignoreBOM: true }).decode(payload)]
      : []
  );
}

class FrameSession implements Session<Input> {
  readonly counts = {
    "frames' messages published": 0,
    "messages between others": 0,
  };
  readonly #node: FuzzedNode;

  constructor(node: FuzzedNode) {
    this.#node = node;
  }

  async try(inputs: readonly Input[]): Promise<void> {
    for (let from = 0; from < inputs.length; from += atOnce) {
      await Promise.all(
        inputs.slice(from, from + atOnce).map((input) =>
          send(this.#node, input.bytes, input)
        ),
      );
    }
    const published = await this.#node.look();
    const most = tally(inputs.flatMap(allowed));
    const least = tally(
      inputs.filter(({ correct }) => correct).flatMap(allowed),
    );
    for (const receiver of published) {
      const got = tally(receiver);
      for (const [message, count] of got) {
        assert.ok(
          count <= (most.get(message) ?? 0),
          `Got ${count} times what was sent ${most.get(message) ?? 0} times: ${
            message.slice(0, 200)
          }`,
        );
      }
      for (const [message, count] of least) {
        assert.ok(
          (got.get(message) ?? 0) >= count,
          `Got ${got.get(message) ?? 0} times what was sent ${count} times: ${
            message.slice(0, 200)
          }`,
        );
      }
      this.counts["frames' messages published"] += receiver.length;
    }
    this.counts["messages between others"] = this.#node.talked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]();
  }
}

/** Counts messages by kind and content. */
function tally(messages: readonly Received[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const message of messages) {
    const key = typeof message === "string"
      ? `text ${message}`
      : `binary ${message.toHex()}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** Frames. */
export const frames: Target<Input> = {
  name: "frames",
  about:
    "bytes of a connection to staps, by unix socket or TCP: handshake, frames, damage to both, whole or in pieces, cut off, half-closed or reset",
  share: 3,
  batch: 160,
  quickCount: 640,
  make,
  show: ({ bytes, ...manner }) =>
    JSON.stringify({ ...manner, bytes: bytes.toHex() }),
  simpler: function* (input): Generator<Input> {
    if (input.cuts.length > 0) yield { ...input, cuts: [] };
    // A part of what is correct need not be.
    for (const bytes of shorterBytes(input.bytes)) {
      yield { ...input, bytes, correct: false };
    }
  },
  open: async () => new FrameSession(await FuzzedNode.start()),
};
