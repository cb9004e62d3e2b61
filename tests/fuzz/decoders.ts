/** What a node reads of a broker's messages, one function after the other; `broker.ts` has the whole. */
import assert from "node:assert/strict";
import { readBatch, writeBatch } from "../../src/amqp/batch.ts";
import {
  type Envelope,
  type EnvelopeProperties,
  readEnvelope,
  writeEnvelope,
} from "../../src/amqp/envelope.ts";
import { Tracker } from "../../src/amqp/tracker.ts";
import { makeMessage } from "../../src/relay/message.ts";
import { type Content, messageOf } from "../helpers/messages.ts";
import type { Random } from "../helpers/random.ts";
import { mutateBytes, mutateText, oddText } from "./mutations.ts";
import { pure, type Target } from "./target.ts";

/** The kinds that nodes of today send, and some that they don't. */
const types = [
  ..."text binary batch lost rejected probe Text notice staps.v2 0".split(" "),
  "",
];

/** Gets the name of a node, or something like it. */
function nodeName(random: Random): string {
  const name = random.pick(["0123456789abcdef", "ffffffffffffffff"]);
  return random.chance(0.8) ? name : mutateText(random, name);
}

/** Gets the numbers of a message, or something like them. */
function numbers(random: Random): string {
  const one = (): string =>
    random.pick([
      random.integer(0, 40).toString(36),
      random.integer(0, 0xffffffff).toString(36),
      Number.MAX_SAFE_INTEGER.toString(36),
      "zzzzzzzzzzz",
      "0",
    ]);
  const text = `${one()}.${one()}`;
  return random.chance(0.7) ? text : mutateText(random, text);
}

/** Gets the properties of a message as another node may write them. */
export function propertiesLike(random: Random): EnvelopeProperties {
  return {
    type: random.chance(0.9) ? random.pick(types) : oddText(random),
    appId: nodeName(random),
    messageId: numbers(random),
  };
}

/** What AMQP knows beside text: amqplib hands over any of them. */
const oddValues = [undefined, null, 0, 1.5, true, {}, [], new Uint8Array(3)];

type Properties = Readonly<Record<keyof EnvelopeProperties, unknown>>;

const envelope: Target<Properties> = {
  name: "envelope",
  about: "the properties of an AMQP message",
  quickCount: 20_000,
  make: (random) => {
    const properties = propertiesLike(random);
    if (random.chance(0.9)) return properties;
    const name = random.pick(["type", "appId", "messageId"] as const);
    return { ...properties, [name]: random.pick(oddValues) };
  },
  ...pure((properties) => {
    const read = readEnvelope(properties);
    if (read === undefined) return;
    assert.deepEqual(readEnvelope(writeEnvelope(read)), read);
    assert.ok(Number.isSafeInteger(read.sequence) && read.sequence >= 0);
    assert.ok(Number.isSafeInteger(read.since) && read.since >= 0);
  }),
};

/** Gets a batch as a node may write it, or something like it. */
export function batchLike(random: Random): Uint8Array<ArrayBuffer> {
  const contents = Array.from(
    { length: random.integer(0, 6) },
    (): Content =>
      random.chance(0.5)
        ? oddText(random)
        : random.bytes(random.integer(0, 40)),
  );
  const batch = writeBatch(contents.map(messageOf));
  return random.chance(0.3)
    ? new Uint8Array(batch)
    : mutateBytes(random, batch);
}

const batch: Target<Uint8Array<ArrayBuffer>> = {
  name: "batch",
  about: "the body of an AMQP message with several messages in it",
  quickCount: 20_000,
  make: (random) =>
    random.chance(0.9)
      ? batchLike(random)
      : random.bytes(random.integer(0, 200)),
  ...pure((bytes) => {
    let messages;
    try {
      // Within something larger, as what is read from a connection is.
      const larger = new Uint8Array(bytes.length + 32).fill(0xff);
      larger.set(bytes, 16);
      messages = readBatch(larger.subarray(16, 16 + bytes.length));
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
      return;
    }
    const again = writeBatch(
      messages.map(({ isText, payload }) => makeMessage(payload, { isText })),
    );
    assert.deepEqual(new Uint8Array(again), bytes);
  }),
};

const tracker: Target<readonly Envelope[]> = {
  name: "numbers",
  about: "the numbers and notices of other nodes, in any order",
  quickCount: 5_000,
  fixed: ["kind", "node"],
  make: (random) =>
    Array.from({ length: random.integer(1, 30) }, () => ({
      kind: random.pick(["text", "text", "lost", "rejected"] as const),
      node: random.pick(["a", "b"]),
      sequence: random.chance(0.9)
        ? random.integer(0, 20)
        : Number.MAX_SAFE_INTEGER,
      since: random.chance(0.9)
        ? random.integer(0, 20)
        : Number.MAX_SAFE_INTEGER,
    })),
  ...pure((envelopes) => {
    const tracker = new Tracker();
    const seen = new Map<string, number>();
    for (const envelope of envelopes) {
      const { kind, node, sequence } = envelope;
      const last = seen.get(node) ?? -1;
      if (kind !== "text") {
        assert.equal(typeof tracker.notice(envelope, () => false), "boolean");
        // What it told once it doesn't tell again.
        if (envelope.since <= sequence) {
          assert.equal(tracker.notice(envelope, () => false), false);
        }
        continue;
      }
      const verdict = tracker.message(envelope);
      // Nothing is delivered twice, nor what is older than what was delivered.
      if (verdict !== "duplicate" && last >= 0) assert.ok(sequence > last);
      assert.equal(tracker.message(envelope), "duplicate");
      if (verdict !== "duplicate") seen.set(node, sequence);
    }
  }),
};

/** The targets that are functions of a broker's messages. */
export const decoderTargets = [envelope, batch, tracker] as const;
