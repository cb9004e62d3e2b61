import assert from "node:assert/strict";
import {
  retryDelayMs,
  statusOfClose,
} from "../../../src/commands/join/ending.ts";
import { closes, restart } from "../../../src/relay/close.ts";

Deno.test("statusOfClose() tells the classes of closes apart", () => {
  assert.deepEqual(
    Object.values(closes).map((close) => [close.code, statusOfClose(close)]),
    [
      [1002, 6],
      [1007, 4],
      [1008, 4],
      [1009, 4],
      // Idle: a connection that was lost, whoever noticed it first.
      [1001, 6],
      [1011, 6],
      [1001, 3],
      [4000, 5],
      [4001, 5],
    ],
  );
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
  const middle = (failures: number): number =>
    retryDelayMs("", { failures, random: 0.5 });
  assert.deepEqual([0, 1, 2, 6, 7, 99].map(middle), [
    500,
    1000,
    2000,
    30_000,
    30_000,
    30_000,
  ]);
  assert.equal(retryDelayMs("no retry", { failures: 0, random: 0 }), 400);
  assert.equal(retryDelayMs("", { failures: 0, random: 1 }), 600);
});
