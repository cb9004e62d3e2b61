import assert from "node:assert/strict";
import { joinFrames } from "../../src/listener/frames.ts";
import { makeMessage, makeMessages } from "../../src/relay/message.ts";
import { contentsIn } from "../helpers/messages.ts";

Deno.test("makeMessage() makes a frame that carries the payload, of whatever size", () => {
  // The sizes around which a frame's head changes (RFC 6455 section 5.2).
  for (const size of [0, 1, 125, 126, 65535, 65536, 70_000]) {
    const payload = new Uint8Array(size).fill(0x61);
    for (const isText of [true, false]) {
      const message = makeMessage(payload, { isText });
      assert.equal(message.isText, isText);
      assert.deepEqual(message.payload, payload);
      assert.deepEqual(contentsIn(message.frame), [
        isText ? "a".repeat(size) : payload,
      ]);
    }
  }
});

Deno.test("makeMessage() copies the payload, once", () => {
  const payload = Uint8Array.of(1, 2, 3);
  const message = makeMessage(payload, { isText: false });
  payload.fill(0);
  assert.deepEqual(message.payload, Uint8Array.of(1, 2, 3));
  assert.equal(message.payload.buffer, message.frame.buffer);
});

Deno.test("makeMessages() puts the frames one behind the other, of whatever size", () => {
  const contents = [125, 0, 126, 65535, 65536, 1].map((size, i) => ({
    isText: i % 2 === 0,
    payload: new Uint8Array(size).fill(0x61),
  }));
  const messages = makeMessages(contents);
  for (const [i, message] of messages.entries()) {
    const alone = makeMessage(contents[i]!.payload, contents[i]!);
    assert.deepEqual(message, alone);
  }
  // So that nothing has to be copied to send them as one.
  const frames = joinFrames(messages.map(({ frame }) => frame));
  assert.equal(frames.buffer, messages[0]!.frame.buffer);
  assert.deepEqual(makeMessages([]), []);
});
