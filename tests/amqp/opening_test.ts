import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Opening } from "../../src/amqp/opening.ts";

/** Makes the frame of a method on channel 0. */
function frame(method: number, args: Uint8Array): Buffer {
  const bytes = Buffer.alloc(7 + 4 + args.length + 1);
  bytes.writeUInt8(1, 0);
  bytes.writeUInt32BE(4 + args.length, 3);
  bytes.writeUInt16BE(10, 7);
  bytes.writeUInt16BE(method, 9);
  bytes.set(args, 11);
  bytes.writeUInt8(0xce, bytes.length - 1);
  return bytes;
}

const start = frame(10, new Uint8Array(300));
const tune = frame(30, new Uint8Array([0, 6, 0, 2, 0, 0, 0, 60]));
const text = "NOT_ALLOWED - vhost caf\u00E9 not found";
const close = frame(
  50,
  Buffer.concat([
    Buffer.from([530 >> 8, 530 & 255, Buffer.byteLength(text)]),
    Buffer.from(text),
    Buffer.from([0, 10, 0, 40]),
  ]),
);

Deno.test("Opening keeps what the broker says, whatever the pieces it comes in", () => {
  const all = Buffer.concat([start, tune, close]);
  for (const size of [1, 2, 7, 100, all.length]) {
    const opening = new Opening();
    assert.equal(opening.voice, "nothing");
    for (let at = 0; at < all.length; at += size) {
      opening.take(all.subarray(at, at + size));
    }
    assert.equal(opening.voice, "AMQP");
    assert.equal(opening.channelMax, 6);
    assert.deepEqual(opening.close, { code: 530, text });
  }
});

Deno.test("Opening tells AMQP, TLS and other things apart", () => {
  const voices = {
    AMQP: start,
    TLS: new Uint8Array([21, 3, 3, 0, 2, 2, 10]),
    "something else": new TextEncoder().encode("HTTP/1.1 400 Bad Request"),
  };
  for (const [voice, bytes] of Object.entries(voices)) {
    const opening = new Opening();
    opening.take(bytes);
    assert.equal(opening.voice, voice);
    assert.equal(opening.close, undefined);
  }
});

Deno.test("Opening holds no more than a broker's greeting takes", () => {
  const opening = new Opening();
  const endless = Buffer.from([1, 0, 0, 127, 255, 255, 255]);
  opening.take(endless);
  for (let i = 0; i < 1000; i++) opening.take(new Uint8Array(1000));
  opening.take(close);
  assert.equal(opening.close, undefined);
  // Each method may be cut short, too.
  const short = new Opening();
  for (const method of [30, 50]) short.take(frame(method, new Uint8Array(1)));
  assert.equal(short.close, undefined);
  assert.equal(short.channelMax, undefined);
});
