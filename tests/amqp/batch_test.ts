import assert from "node:assert/strict";
import { readBatch, writeBatch } from "../../src/amqp/batch.ts";
import { type Message, messageBytes } from "../../src/relay/message.ts";
import { fc } from "../helpers/property.ts";

Deno.test("readBatch() reads what writeBatch() wrote", () => {
  const message: fc.Arbitrary<Message> = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("", "\uFEFFmark"),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes).buffer),
  );
  fc.assert(fc.property(fc.array(message), (messages) => {
    const bytes = messages.reduce((sum, one) => sum + messageBytes(one), 0);
    const read = readBatch(writeBatch(messages, bytes));
    assert.equal(read.length, messages.length);
    for (const [i, one] of read.entries()) {
      const sent = messages[i]!;
      assert.equal(one.bytes, messageBytes(sent));
      if (typeof sent === "string") assert.equal(one.message, sent);
      else {
        assert.deepEqual(
          new Uint8Array(one.message as Uint8Array<ArrayBuffer>),
          new Uint8Array(sent),
        );
      }
    }
  }));
});

Deno.test("readBatch() refuses what isn't a batch", () => {
  for (const bytes of [[1], [0, 0, 0, 2, 1], [255, 255, 255, 255]]) {
    assert.throws(() => readBatch(new Uint8Array(bytes)), RangeError);
  }
});
