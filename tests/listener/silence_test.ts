/** What `websocket_test.ts` has no case of. */
import assert from "node:assert/strict";
import { Silence, ticksPerS } from "../../src/listener/silence.ts";

Deno.test("Silence.tick() lets a client take its time that takes what is queued before the question", () => {
  const silence = new Silence();
  let takenBytes = 0;
  for (let tick = 0; tick < 5 * ticksPerS; tick++) {
    silence.tick(10, { pushedBytes: 100, takenBytes });
  }
  // 110: the question is queued, too.
  const after = (ticks: number): string[] =>
    Array.from(
      { length: ticks },
      () => silence.tick(10, { pushedBytes: 110, takenBytes }),
    ).filter((todo) => todo !== "wait");
  for (let round = 0; round < 10; round++) {
    assert.deepEqual(after(5 * ticksPerS), []);
    takenBytes += 10;
  }
  // Now the question goes out: from here on, only an answer counts.
  assert.deepEqual(after(5 * ticksPerS), []);
  takenBytes += 10;
  assert.deepEqual(after(1), ["give up"]);
});

Deno.test("Silence.tick() asks a client that takes what is queued, too", () => {
  const silence = new Silence();
  const done: string[] = [];
  for (let tick = 1; tick <= 5 * ticksPerS; tick++) {
    done.push(silence.tick(10, { pushedBytes: 1000, takenBytes: tick }));
  }
  assert.equal(done.indexOf("ask"), 5 * ticksPerS - 1);
});
