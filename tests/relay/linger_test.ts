import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../helpers/raw_client.ts";
import { startServer } from "../helpers/server.ts";

// The runtime drops a connection on which a message comes after close().
Deno.test("closeAndLinger() lets a client that sends all the time learn the code", async () => {
  await using server = await startServer({ limits: { messageBytes: 10 } });
  using client = await RawClient.join({ socket: server.socket }, "/x");
  const tooBig = frameBytes(opcodes.binary, new Uint8Array(11));
  const more = frameBytes(opcodes.binary, new Uint8Array(1));
  await client.write(
    concat([tooBig, ...Array.from({ length: 200 }, () => more)]),
  );
  const frame = await client.readFrame();
  assert.equal(frame?.opcode, opcodes.close);
  assert.deepEqual(readClose(frame.payload), closes.too_big);
});
