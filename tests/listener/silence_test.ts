import assert from "node:assert/strict";
import { Silence, ticksPerS } from "../../src/listener/silence.ts";

/** Gets the ticks of `count` at which there was something to do. */
function ticks(silence: Silence, count: number): [number, string][] {
  const done: [number, string][] = [];
  for (let tick = 1; tick <= count; tick++) {
    const todo = silence.tick(10);
    if (todo !== "wait") done.push([tick, todo]);
  }
  return done;
}

Deno.test("Silence.tick() asks once after half of the time, and gives up a tick after all of it", () => {
  assert.deepEqual(ticks(new Silence(), 10 * ticksPerS + 1), [
    [5 * ticksPerS, "ask"],
    [10 * ticksPerS + 1, "give up"],
  ]);
});

Deno.test("Silence.heard() begins anew, also with asking", () => {
  const silence = new Silence();
  ticks(silence, 10 * ticksPerS);
  silence.heard();
  assert.deepEqual(ticks(silence, 10 * ticksPerS), [[5 * ticksPerS, "ask"]]);
});
