import assert from "node:assert/strict";
import { newBlock, turnKey, unmask } from "../../src/listener/unmask.ts";

const mask = [0x11, 0x92, 0xa3, 0x44];
const key = 0x11 | 0x92 << 8 | 0xa3 << 16 | 0x44 << 24;

Deno.test("unmask() is right at every place in a word, and touches nothing around", () => {
  for (let from = 0; from < 8; from++) {
    for (let count = 0; count < 20; count++) {
      for (const shift of [0, 4, 8]) {
        const source = newBlock(40);
        crypto.getRandomValues(source.bytes);
        const target = newBlock(40);
        const expected = new Uint8Array(40);
        for (let i = 0; i < count; i++) {
          expected[from + shift + i] = source.bytes[from + i]! ^ mask[i % 4]!;
        }
        const isAscii = unmask(source, from, target, from + shift, count, key);
        assert.deepEqual(target.bytes, expected);
        assert.equal(isAscii, expected.every((byte) => byte < 0x80));
      }
    }
  }
});

Deno.test("unmask() says of every place whether it is ASCII", () => {
  for (let count = 1; count < 14; count++) {
    for (let odd = 0; odd < count; odd++) {
      const block = newBlock(20);
      block.bytes[3 + odd] = 0x80;
      assert.equal(unmask(block, 3, block, 3, count, 0), false);
      assert.equal(unmask(newBlock(20), 3, newBlock(20), 3, count, 0), true);
    }
  }
});

Deno.test("turnKey() continues a mask", () => {
  for (let phase = 0; phase < 9; phase++) {
    const turned = turnKey(key, phase);
    assert.equal(turned & 0xff, mask[phase % 4]);
    assert.equal(turned >>> 24, mask[(phase + 3) % 4]);
  }
});
