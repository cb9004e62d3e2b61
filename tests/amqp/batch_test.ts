import assert from "node:assert/strict";
import { readBatch, writeBatch } from "../../src/amqp/batch.ts";
import { makeMessage } from "../../src/relay/message.ts";
import { type Content, contentOf, messageOf } from "../helpers/messages.ts";
import { fc } from "../helpers/property.ts";

Deno.test("readBatch() reads what writeBatch() wrote", () => {
  const content: fc.Arbitrary<Content> = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("", "\uFEFFmark"),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
  );
  fc.assert(fc.property(fc.array(content), (contents) => {
    const read = readBatch(writeBatch(contents.map(messageOf)));
    const again = read.map(({ isText, payload }) =>
      contentOf(makeMessage(payload, { isText }))
    );
    assert.deepEqual(again, contents);
  }));
});

Deno.test("readBatch() refuses what isn't a batch", () => {
  for (const bytes of [[1], [0, 0, 0, 2, 1], [255, 255, 255, 255]]) {
    assert.throws(() => readBatch(new Uint8Array(bytes)), RangeError);
  }
});
