import assert from "node:assert/strict";
import { Tracker, type Verdict } from "../../src/amqp/tracker.ts";

Deno.test("Tracker remembers those that sent last, and not every node that ever was", () => {
  const tracker = new Tracker();
  const say = (node: string, sequence: number): Verdict =>
    tracker.message({ kind: "text", node, sequence, since: sequence - 1 });
  for (let i = 1; i <= 10_000; i++) {
    assert.equal(say(`passer-by ${i}`, 1), "next");
    assert.equal(say("always here", i), "next");
    assert.equal(say("always here", i), "duplicate");
    assert.ok(tracker.nodes <= 2_000);
  }
  assert.equal(say("always here", 10_002), "gap");
});

Deno.test("Tracker.message() finds a loss after what an earlier membership left", () => {
  const tracker = new Tracker();
  const envelope = { kind: "text", node: "x" } as const;
  const verdicts = [
    tracker.message({ ...envelope, sequence: 1, since: 0 }, true),
    tracker.message({ ...envelope, sequence: 3, since: 2 }, true),
    tracker.message({ ...envelope, sequence: 5, since: 4 }),
    tracker.message({ ...envelope, sequence: 7, since: 6 }),
  ];
  assert.deepEqual(verdicts, ["next", "next", "next", "gap"]);
});

// Nodes are often joined at the same time: one that joined right before was
// taken for one that had sent something.
Deno.test("Tracker.expect() takes a node's own join for no message, and finds what is missing behind it", () => {
  const envelope = { kind: "text", node: "x", sequence: 15 } as const;
  const first = (act: (tracker: Tracker) => void, isMet = true): string => {
    const tracker = new Tracker();
    if (isMet) tracker.meet("x", 10);
    act(tracker);
    return tracker.expect("x", 8);
  };
  const marked = (last: number) => (tracker: Tracker) =>
    tracker.mark("x", { last, mayBeLeftover: false });
  const heard = (since: number) => (tracker: Tracker) =>
    tracker.message({ ...envelope, since });
  assert.equal(first(() => {}), "next");
  for (const since of [8, 9]) {
    const tracker = new Tracker();
    assert.equal(tracker.expect("x", 8), "next");
    const verdict = tracker.message({ ...envelope, since });
    assert.equal(verdict, since === 8 ? "next" : "gap");
  }
  for (const isMet of [true, false]) {
    const verdicts = [heard(0), heard(8), heard(9), marked(8), marked(9)]
      .map((act) => first(act, isMet));
    assert.deepEqual(verdicts, ["next", "next", "gap", "next", "gap"]);
  }
});

Deno.test("Tracker.reopen() leaves to expect() what is missing next, and forgets nothing", () => {
  const envelope = { kind: "text", node: "x" } as const;
  for (const [last, verdict] of [[25, "next"], [24, "gap"]] as const) {
    for (const isMarked of [false, true]) {
      const tracker = new Tracker();
      tracker.reopen("x");
      tracker.message({ ...envelope, sequence: 20, since: 0 });
      tracker.reopen("x");
      const say = (sequence: number, since: number): Verdict =>
        tracker.message({ ...envelope, sequence, since });
      assert.equal(say(20, 0), "duplicate");
      if (isMarked) {
        const mark = { last: 25, mayBeLeftover: false };
        assert.equal(tracker.mark("x", mark), "next");
      }
      assert.equal(say(30, 25), "next");
      assert.equal(say(33, 32), "gap");
      assert.equal(tracker.expect("x", last), verdict);
      assert.equal(tracker.expect("x", 33), "next");
      assert.equal(say(36, 35), "gap");
    }
  }
  const tracker = new Tracker();
  const mark = (last: number) =>
    tracker.mark("x", { last, mayBeLeftover: false });
  tracker.begin("x", 20);
  tracker.reopen("x");
  assert.equal(tracker.expect("x", 30), "next");
  assert.equal(mark(31), "gap");
  tracker.reopen("x");
  assert.deepEqual([mark(32), mark(33)], ["next", "gap"]);
  // Nothing is missing where the next one follows the last one.
  tracker.reopen("x");
  tracker.message({ ...envelope, sequence: 40, since: 33 });
  assert.equal(tracker.expect("x", 32), "next");
  tracker.reopen("x");
  assert.deepEqual([mark(40), tracker.expect("x", 39)], ["next", "next"]);
});
