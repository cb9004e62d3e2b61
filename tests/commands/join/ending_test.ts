import assert from "node:assert/strict";
import {
  retryDelayMs,
  statusOfClose,
} from "../../../src/commands/join/ending.ts";
import { closes, restart } from "../../../src/relay/close.ts";

Deno.test("statusOfClose() tells the classes of closes apart", () => {
  const statuses = Object.entries(closes).map(([name, close]) => [
    name,
    statusOfClose(close),
  ]);
  assert.deepEqual(Object.fromEntries(statuses), {
    protocol: 6,
    not_text: 4,
    rate: 4,
    too_big: 4,
    // A connection that was lost, whoever noticed it first.
    idle: 6,
    fault: 6,
    restart: 3,
    slow: 5,
    gap: 5,
  });
  assert.equal(statusOfClose(restart(1234)), 3);
  // Without staps's words it is somebody else who goes, such as a frontend.
  assert.deepEqual(
    [1001, 1006, 1012, 1013].map((code) => statusOfClose({ code, reason: "" })),
    [3, 6, 3, 3],
  );
});

Deno.test("retryDelayMs() does what the server asks, else backs off within bounds", () => {
  const { reason } = restart(1234);
  assert.equal(retryDelayMs(reason, { failures: 0 }), 1234);
  assert.equal(retryDelayMs("retry=0", { failures: 5 }), 0);
  assert.equal(retryDelayMs("retry=999999999", { failures: 0 }), 600_000);
  const refused = { failures: 3, retryAfterMs: 5000 };
  assert.equal(retryDelayMs("", { ...refused, random: 0 }), 5000);
  assert.equal(retryDelayMs("", { ...refused, random: 1 }), 6000);
  const long = { failures: 0, retryAfterMs: 1e9, random: 0 };
  assert.equal(retryDelayMs("", long), 600_000);
  const middle = (failures: number): number =>
    retryDelayMs("", { failures, random: 0.5 });
  assert.deepEqual([0, 1, 2].map(middle), [500, 1000, 2000]);
  assert.deepEqual([6, 7, 99].map(middle), [30_000, 30_000, 30_000]);
  assert.equal(retryDelayMs("no retry", { failures: 0, random: 0 }), 400);
  assert.equal(retryDelayMs("", { failures: 0, random: 1 }), 600);
});
