import assert from "node:assert/strict";
import { nearMiss } from "../../src/common/near_miss.ts";

const names = ["socket", "mode", "amqp", "message_bytes", "ca"];

Deno.test("nearMiss() finds one mistake of each kind", () => {
  for (const typed of "socke sockett sokket scoket Socket SOCKET".split(" ")) {
    assert.equal(nearMiss(typed, names), "socket", typed);
  }
  assert.equal(nearMiss("message-bytes", names), "message_bytes");
  assert.equal(nearMiss("mesage_byte", names), "message_bytes");
  assert.equal(nearMiss("ampq", names), "amqp");
});

Deno.test("nearMiss() prefers the nearest, and says nothing about strangers, short words and long texts", () => {
  assert.equal(nearMiss("moda", ["modal", "mode"]), "modal");
  assert.equal(nearMiss("mode", ["mods", "mode"]), "mode");
  for (const typed of ["", "x", "cb", "timeout", "socket".repeat(100)]) {
    assert.equal(nearMiss(typed, names), undefined, typed);
  }
});
