import assert from "node:assert/strict";
import { readEnvelope, writeEnvelope } from "../../src/amqp/envelope.ts";
import { fc } from "../helpers/property.ts";

const node = "0123456789abcdef";

Deno.test("readEnvelope() reads what writeEnvelope() wrote", () => {
  fc.assert(fc.property(
    fc.constantFrom("text", "binary", "batch", "lost", "rejected", "probe"),
    fc.maxSafeNat(),
    fc.maxSafeNat(),
    (kind, sequence, since) => {
      const envelope = { kind, node, sequence, since } as const;
      assert.deepEqual(readEnvelope(writeEnvelope(envelope)), envelope);
    },
  ));
});

Deno.test("readEnvelope() takes nothing that somebody else wrote", () => {
  const good = { type: "text", appId: node, messageId: "1.0" };
  assert.ok(readEnvelope(good));
  for (
    const bad of [
      { type: undefined },
      { type: "other" },
      { appId: undefined },
      { appId: "me" },
      { messageId: undefined },
      { messageId: "1" },
      { messageId: "1.0.0" },
      { messageId: "-1.0" },
      { messageId: "zzzzzzzzzzz.0" },
    ]
  ) assert.equal(readEnvelope({ ...good, ...bad }), undefined);
});
