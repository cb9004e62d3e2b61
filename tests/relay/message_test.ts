import assert from "node:assert/strict";
import { messageBytes } from "../../src/relay/message.ts";
import { fc } from "../helpers/property.ts";

Deno.test("messageBytes() counts text as UTF-8", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assert.equal(messageBytes(text), new TextEncoder().encode(text).length);
  }));
  for (
    const text of [
      "",
      "a",
      "é",
      "€",
      "😀",
      "a😀é€",
      "\ud83d",
      "\ude00",
      "\ud83d\ud83d\ude00",
    ]
  ) {
    assert.equal(messageBytes(text), new TextEncoder().encode(text).length);
  }
});

Deno.test("messageBytes() counts bytes", () => {
  assert.equal(messageBytes(new ArrayBuffer(3)), 3);
  assert.equal(messageBytes(new Uint8Array(10).subarray(2, 4)), 2);
});
