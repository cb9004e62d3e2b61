import assert from "node:assert/strict";
import { WaitingRoom } from "../../src/relay/waiting_room.ts";

Deno.test("WaitingRoom has room for so many messages, and so many bytes", () => {
  const room = new WaitingRoom({ waitingRequests: 2, waitingBytes: 100_000 });
  assert.equal(room.enter(0), undefined);
  assert.equal(room.enter(0), undefined);
  assert.equal(room.enter(0), "waiting_requests");
  room.leave(0);
  assert.equal(room.count, 1);
  assert.equal(room.enter(100_000), "waiting_bytes");
  assert.equal(room.enter(90_000), undefined);
  room.leave(90_000);
  room.leave(0);
  assert.equal(room.count, 0);
  // Nothing is left of those that came: it takes all but what each takes beside its bytes.
  assert.equal(room.enter(97_952), undefined);
});
