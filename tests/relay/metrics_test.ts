import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { httpLimitNames, limitNames } from "../../src/relay/limits.ts";
import { Metrics } from "../../src/relay/metrics.ts";

Deno.test("Metrics counts every close and every limit from 0", () => {
  const metrics = new Metrics();
  assert.deepEqual(Object.keys(metrics.closes), Object.keys(closes));
  assert.deepEqual(Object.keys(metrics.limitHits), [
    ...limitNames,
    ...httpLimitNames,
  ]);
  const counters = [metrics.closes, metrics.limitHits, metrics.refusals];
  for (const count of counters.flatMap((each) => Object.values(each))) {
    assert.equal(count, 0);
  }
});

Deno.test("Metrics.countDisconnect() counts usual codes by themselves and all others together", () => {
  const metrics = new Metrics();
  for (const code of [1000, 1000, closes.slow.code, 4321, 999]) {
    metrics.countDisconnect(code);
  }
  const counted = Object.entries(metrics.disconnects)
    .filter(([, count]) => count > 0);
  assert.deepEqual(Object.fromEntries(counted), {
    1000: 2,
    [closes.slow.code]: 1,
    other: 2,
  });
});
