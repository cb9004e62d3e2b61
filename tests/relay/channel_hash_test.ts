import assert from "node:assert/strict";
import { channelHash, channelKey } from "../../src/relay/channel_hash.ts";

Deno.test("channelKey() is the path's SHA-256, and channelHash() the beginning of that", () => {
  // FIPS 180-2, appendix B.1: the digest of "abc".
  const digest =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(channelKey("abc"), digest);
  assert.equal(channelHash("abc"), "ba7816bf8f01");
  for (const path of ["", "/", `/${"x".repeat(100_000)}`, "/\u{1F600}"]) {
    assert.match(channelKey(path), /^[0-9a-f]{64}$/);
  }
});
