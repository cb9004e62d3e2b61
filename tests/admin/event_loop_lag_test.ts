import assert from "node:assert/strict";
import { EventLoopLag } from "../../src/admin/event_loop_lag.ts";
import { eventually } from "../../tools/eventually.ts";

Deno.test("EventLoopLag sees a loop that is kept busy", async () => {
  using lag = new EventLoopLag();
  await eventually(() => lag.seconds.counts.some(Boolean), "a measurement");
  const endMs = performance.now() + 900;
  while (performance.now() < endMs);
  await eventually(() => lag.recentMs > 300, "the lag");
  assert.ok(lag.seconds.sum > 0.3);
});
