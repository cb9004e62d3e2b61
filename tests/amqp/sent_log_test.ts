import assert from "node:assert/strict";
import { SentLog } from "../../src/amqp/sent_log.ts";
import { fc } from "../helpers/property.ts";

Deno.test("SentLog.sentBefore() gets nothing that was sent later, and is off by little", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 200 }), { minLength: 1, maxLength: 100 }),
      fc.nat({ max: 10_000 }),
      (pauses, ms) => {
        const log = new SentLog();
        let nowMs = 0;
        const sentMs = pauses.map((pause) => nowMs += pause);
        for (const [i, ms] of sentMs.entries()) log.add(i + 1, ms);
        const sentBy = (ms: number): number =>
          sentMs.filter((each) => each <= ms).length;
        const number = log.sentBefore(ms);
        assert.ok(number <= sentBy(ms));
        assert.ok(number >= sentBy(ms - 100));
      },
    ),
  );
});

Deno.test("SentLog remembers minutes in little memory, and takes what is sent again for sent before", () => {
  const log = new SentLog();
  for (let i = 1; i <= 100_000; i++) log.add(i, i * 100);
  log.add(7, 20_000_000);
  assert.equal(log.sentBefore(20_000_000), 100_000);
  assert.ok(log.size <= 1_000);
  for (const [ageMs, offBy] of [[0, 0], [40_000, 0], [200_000, 100]] as const) {
    const expected = 100_000 - ageMs / 100;
    const number = log.sentBefore(10_000_000 - ageMs);
    assert.ok(number <= expected && number >= expected - offBy, `${number}`);
  }
});
