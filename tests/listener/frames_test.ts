import assert from "node:assert/strict";
import {
  closeFrame,
  headBytes,
  isCloseCode,
  joinFrames,
  maxReasonBytes,
  messageFrame,
  opcodes,
  payloadBytes,
  readClosePayload,
  writeHead,
} from "../../src/listener/frames.ts";
import { closePayload, frameBytes } from "../../tools/raw_client.ts";

for (const size of [0, 1, 125, 126, 127, 65535, 65536, 70000]) {
  Deno.test(`messageFrame() makes a frame of ${size} bytes with the shortest length, which payloadBytes() reads`, () => {
    const payload = new Uint8Array(size).fill(7);
    for (const isText of [true, false]) {
      const opcode = isText ? opcodes.text : opcodes.binary;
      const frame = messageFrame(payload, { isText });
      assert.deepEqual(frame, frameBytes(opcode, payload, { mask: false }));
      assert.equal(frame.length, headBytes(size) + size);
      assert.equal(payloadBytes(frame), size);
    }
  });
}

Deno.test("writeHead() writes lengths beyond 32 bits", () => {
  const head = new Uint8Array(10);
  writeHead(head, 0, opcodes.binary, 2 ** 33 + 5);
  assert.equal(new DataView(head.buffer).getBigUint64(2), 2n ** 33n + 5n);
});

Deno.test("closeFrame() carries code and reason, or neither for 1005", () => {
  assert.deepEqual(
    closeFrame(1001, "away"),
    frameBytes(opcodes.close, closePayload(1001, "away"), { mask: false }),
  );
  assert.deepEqual(closeFrame(1005, "unheard"), Uint8Array.of(0x88, 0));
});

Deno.test("closeFrame() cuts a long reason between two characters", () => {
  const frame = closeFrame(1000, "ä".repeat(100));
  assert.equal(frame.length, 2 + 2 + maxReasonBytes - 1);
  assert.deepEqual(readClosePayload(frame.subarray(2)), {
    code: 1000,
    reason: "ä".repeat(61),
  });
});

Deno.test("isCloseCode() knows the registered codes and the free ones", () => {
  const good = [];
  for (let code = 0; code < 65536; code++) {
    if (isCloseCode(code)) good.push(code);
  }
  const registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010];
  registered.push(1011, 1012, 1013, 1014);
  const free = Array.from({ length: 2000 }, (_, i) => 3000 + i);
  assert.deepEqual(good, [...registered, ...free]);
});

Deno.test("joinFrames() copies nothing that lies together already", () => {
  const whole = Uint8Array.of(1, 2, 3, 4, 5, 6);
  const parts = [whole.subarray(1, 3), whole.subarray(3, 4), whole.subarray(4)];
  const joined = joinFrames(parts);
  assert.deepEqual(joined, whole.subarray(1));
  assert.equal(joined.buffer, whole.buffer);
});

Deno.test("joinFrames() copies what lies apart, or in another order", () => {
  const whole = Uint8Array.of(1, 2, 3, 4, 5, 6);
  const parts = [whole.subarray(4), whole.subarray(0, 2)];
  assert.deepEqual(joinFrames(parts), Uint8Array.of(5, 6, 1, 2));
  const gap = [whole.subarray(0, 2), whole.subarray(3)];
  assert.deepEqual(joinFrames(gap), Uint8Array.of(1, 2, 4, 5, 6));
  assert.deepEqual(joinFrames([]), new Uint8Array(0));
});
