import assert from "node:assert/strict";
import { Outbox } from "../../src/amqp/outbox.ts";

Deno.test("Outbox.add() takes one message whatever its size, and then what fits", () => {
  const outbox = new Outbox(1000);
  const outlet = { key: "a", lastSequence: 0 };
  assert.equal(outbox.add(outlet, "x".repeat(1000), { bytes: 1000 }), true);
  assert.equal(outbox.add(outlet, "y", { bytes: 1 }), false);
  const letter = outbox.take()!;
  assert.equal(letter.bytes, 1000);
  assert.equal(outbox.take()!.kind, "lost");
  outbox.confirm(letter);
  assert.equal(outbox.add(outlet, "z", { bytes: 1 }), true);
});
