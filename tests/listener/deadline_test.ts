import assert from "node:assert/strict";
import { Deadline } from "../../src/listener/deadline.ts";
import { ticksPerS } from "../../src/listener/silence.ts";

/** Gets how many ticks it takes until the time is up. */
function ticksLeft(deadline: Deadline): number {
  let ticks = 1;
  while (!deadline.tick()) ticks++;
  return ticks;
}

/** One more than the time: the first tick may come at once. */
const whole = 10 * ticksPerS + 1;

function started(): Deadline {
  const deadline = new Deadline();
  deadline.start(10);
  return deadline;
}

Deno.test("Deadline.moved() begins the time anew with 16 KiB, and with nothing less", () => {
  const slow = started();
  for (let i = 0; i < ticksPerS; i++) slow.tick();
  slow.moved(16 * 1024 - 1);
  assert.equal(ticksLeft(slow), whole - ticksPerS);
  const quick = started();
  for (let i = 0; i < ticksPerS; i++) quick.tick();
  quick.moved(16 * 1024 - 1);
  quick.moved(1);
  // Those of the new time count from there.
  quick.tick();
  quick.moved(16 * 1024 - 1);
  assert.equal(ticksLeft(quick), whole - 1);
});

Deno.test("Deadline.stop() keeps the time that is left for resume()", () => {
  const deadline = started();
  deadline.tick();
  deadline.stop();
  for (let i = 0; i < 2 * whole; i++) assert.equal(deadline.tick(), false);
  deadline.resume();
  assert.equal(ticksLeft(deadline), whole - 1);
});

Deno.test("Deadline.shorten() takes time, and gives none", () => {
  const long = started();
  long.shorten(1);
  assert.equal(ticksLeft(long), ticksPerS + 1);
  const short = started();
  short.shorten(20);
  assert.equal(ticksLeft(short), whole);
});
