import assert from "node:assert/strict";
import { loadText, messageFor, refusal } from "../helpers/config.ts";

Deno.test("crossCheck() compares settings with each other", () => {
  const cases = {
    "[limits]\nclient_buffer_bytes = 1M\nmessage_bytes = 2M":
      /"client_buffer_bytes" in staps.conf line 2: got client_buffer_bytes 1048576, expected at least message_bytes, 2097152/,
    "[limits]\nmessage_bytes = 9M": /"message_bytes" in staps.conf line 2: got/,
    "[bridge]\noutbox_bytes = 64K": /"outbox_bytes" in staps.conf line 2/,
    "[bridge]\nqueue_bytes = 64K": /"queue_bytes" in staps.conf line 2/,
    "[admin]\nsocket = /run/staps/staps.sock": /"socket".* other socket/,
    "[bridge]\nhosts = a": /"hosts".*expected "amqp" in \[staps\] too/,
    "[bridge]\nca = /x": /"ca".*expected.*"amqps:\/\/"/,
    "[staps]\namqp = amqp://a\n[bridge]\nca = /x": /"ca" in staps.conf line 4/,
    "[staps]\namqp = amqps://a\n[bridge]\ncert = /x":
      /"cert" in staps.conf line 4: got one without the other, expected "cert" and "key", or neither/,
    "[staps]\namqp = amqps://a\n[bridge]\nkey = /x": /"key" in staps.conf/,
  };
  for (const [text, message] of Object.entries(cases)) {
    const error = refusal(text);
    assert.equal(error.problems.length, 1, error.message);
    assert.match(messageFor("staps.conf", error), message);
  }
  loadText(
    "[limits]\nclient_buffer_bytes = 1M\nmessage_bytes = 1M\n[staps]\namqp = amqps://a\n[bridge]\nca=/x\ncert = /y\nkey = /z",
  );
});

Deno.test("crossCheck() reports no conflict with a setting that has its own problem", () => {
  const texts = [
    "[limits]\nmessage_bytes = 9M\nclient_buffer_bytes = 16MB",
    "[staps]\namqp = amqps:/x\n[bridge]\nca = /x\nhosts = a",
  ];
  for (const text of texts) {
    assert.equal(refusal(text).problems.length, 1, text);
  }
});
