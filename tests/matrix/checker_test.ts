/** The checker finds what is wrong in what clients saw, and nothing else. */
import assert from "node:assert/strict";
import { type Arrival, judge, type Stay } from "./checker.ts";

/** A client of the one channel who opened at 0, and sent nothing. */
function stay(parts: Partial<Stay>): Stay {
  return {
    ...{ seat: 0, node: 0, channel: 0, openMs: 0, changed: 0 },
    ...{ sentMs: [], got: [] },
    ...parts,
  };
}

/** What came from the stay 0: number `n` at the time `n * 1000 + 1`. */
function got(...numbers: number[]): Arrival[] {
  return numbers.map((number) => ({ from: 0, number, ms: number * 1000 + 1 }));
}

/** Sends a message at 0 s, 1 s … 9 s. */
const sender = stay({ sentMs: Array.from({ length: 10 }, (_, i) => i * 1000) });
/** Every node has kept its queue. */
const none = new Set<number>();
/** All but the first, which it can't be told to have been there for. */
const all = [1, 2, 3, 4, 5, 6, 7, 8, 9];

Deno.test("judge() finds nothing where everything came", () => {
  const receiver = stay({ seat: 1, node: 1, got: got(...all) });
  assert.deepEqual(judge([sender, receiver], none), {
    ...{ messages: 10, deliveries: 9, lost: 0, losses: [], wrong: 0 },
    ...{ closed: {}, closedInVain: 0, closedWrongly: 0, silenceMs: 1000 },
  });
});

Deno.test("judge() counts what is missing in the middle and at the end, and the silence", () => {
  const receiver = stay({ seat: 1, node: 1, got: got(1, 2, 6, 7, 8) });
  const { lost, silenceMs } = judge([sender, receiver], none);
  assert.equal(lost, 4);
  assert.equal(silenceMs, 4000);
});

Deno.test("judge() takes nothing for lost that was sent before the receiver opened, or right before the sender was closed", () => {
  const late = stay({ seat: 1, node: 1, openMs: 4500, got: got(3, 5, 6, 7) });
  const closed = stay({
    sentMs: sender.sentMs,
    end: { ms: 9500, code: 4001 },
  });
  assert.equal(judge([closed, late], none).lost, 0);
  const missing = stay({ seat: 1, node: 1, openMs: 4500, got: got(5, 7) });
  assert.equal(judge([closed, missing], none).lost, 1);
  // Somebody got the last ones, so they were sent.
  const whole = stay({ seat: 2, node: 0, got: got(...all) });
  assert.equal(judge([closed, late, whole], none).lost, 2);
});

Deno.test("judge() counts what comes twice, out of order, changed or back", () => {
  const verdict = (arrivals: Arrival[], changed = 0): number =>
    judge([sender, stay({ seat: 1, node: 1, got: arrivals, changed })], none)
      .wrong;
  assert.equal(verdict(got(...all)), 0);
  assert.equal(verdict(got(1, 2, 2, ...all.slice(2))), 1);
  assert.equal(verdict(got(1, 3, 2, 4, 5, 6, 7, 8, 9)), 1);
  assert.equal(verdict(got(...all), 1), 1);
  assert.equal(verdict([...got(...all), { from: 1, number: 0, ms: 9 }]), 1);
  assert.equal(verdict(got(...all, 10)), 1);
});

Deno.test("judge() tells whether a client was closed for nothing", () => {
  const inVain = (
    first: Arrival[],
    second: Arrival[],
    ...lostQueues: number[]
  ): number[] => {
    const end = { ms: 5500, code: 4001 };
    const verdict = judge([
      sender,
      stay({ seat: 1, node: 1, got: first, end }),
      stay({ seat: 1, node: 1, openMs: 5600, got: second }),
    ], new Set(lostQueues));
    assert.deepEqual(verdict.closed, { 4001: 1 });
    assert.equal(verdict.lost, 0);
    return [verdict.closedInVain, verdict.closedWrongly];
  };
  const [early, rest] = [got(1, 2, 3, 4, 5), got(6, 7, 8, 9)];
  assert.deepEqual(inVain(early, rest), [1, 1]);
  // What was in a lost queue can't be known.
  assert.deepEqual(inVain(early, rest, 1), [1, 0]);
  // It was only late.
  assert.deepEqual(inVain(got(1, 2, 3), got(4, 5, 6, 7, 8, 9)), [1, 1]);
  assert.deepEqual(inVain(got(1, 2, 3), got(5, 6, 7, 8, 9)), [0, 0]);
  assert.deepEqual(inVain(got(1, 2, 3), rest), [0, 0]);
});

Deno.test("judge() finds a gap before a close", () => {
  const end = { ms: 5500, code: 4001 };
  const receiver = stay({ seat: 1, node: 1, got: got(1, 2, 4), end });
  assert.equal(judge([sender, receiver], none).lost, 1);
});
