import assert from "node:assert/strict";
import { QueueWatch } from "../../src/amqp/queue_watch.ts";

Deno.test("QueueWatch.mayHaveBeenFull() says so from half the limit on, since the time in question", () => {
  const watch = new QueueWatch(10_000);
  assert.ok(!watch.mayHaveBeenFull(0, 100));
  // A message this large needs no full queue.
  assert.ok(watch.mayHaveBeenFull(0, 5_000));
  watch.receive(5_000);
  assert.ok(watch.mayHaveBeenFull(0, 100));
  // This probe was sent before; the next one, sent now, shows what came since.
  watch.probed({ sentMs: 7, received: watch.received });
  assert.ok(watch.mayHaveBeenFull(7, 100));
  assert.ok(!watch.mayHaveBeenFull(8, 100));
});

Deno.test("QueueWatch.reset() forgets what came out of the lost queue", () => {
  const watch = new QueueWatch(10_000);
  watch.receive(5_000);
  watch.probed({ sentMs: 7, received: 0 });
  watch.reset();
  assert.equal(watch.received, 0);
  assert.ok(!watch.mayHaveBeenFull(0, 100));
});
