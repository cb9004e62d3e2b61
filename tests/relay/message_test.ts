import assert from "node:assert/strict";
import { joinFrames } from "../../src/listener/frames.ts";
import { makeMessage, makeMessages } from "../../src/relay/message.ts";
import { contentsIn } from "../helpers/messages.ts";

Deno.test("makeMessage() makes a frame that carries the payload, which it copies once", () => {
  for (const isText of [true, false]) {
    const payload = Uint8Array.of(0x61, 0x62);
    const message = makeMessage(payload, { isText });
    payload.fill(0);
    const copy = Uint8Array.of(0x61, 0x62);
    assert.deepEqual([message.isText, message.payload], [isText, copy]);
    assert.deepEqual(contentsIn(message.frame), [isText ? "ab" : copy]);
    assert.equal(message.payload.buffer, message.frame.buffer);
  }
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
