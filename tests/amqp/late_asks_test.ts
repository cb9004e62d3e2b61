import assert from "node:assert/strict";
import { Ask, moments, readQuestion } from "../../src/amqp/ask.ts";
import { LateAsks } from "../../src/amqp/late_asks.ts";
import type { Link } from "../../src/amqp/link.ts";
import { type Membership, newMembership } from "../../src/amqp/membership.ts";
import { SentLog } from "../../src/amqp/sent_log.ts";
import { Tracker } from "../../src/amqp/tracker.ts";
import { fc } from "../helpers/property.ts";
import { Clock, one, two } from "./fakes.ts";

/** A question that was sent to a node. */
interface Sent {
  readonly atMs: number;
  readonly key: string;
  readonly ageMs: number;
}

/** A node at a time of its own, whose join a minute after its start wasn't answered. */
class Bench extends Clock {
  readonly sent: Sent[] = [];
  readonly gaps: string[] = [];
  readonly connector: { link: Link | undefined } = {
    link: { isReady: true } as Link,
  };
  /** When each other node said that it gets messages; those that aren't here are gone. */
  readonly hearsMs = new Map([[one, this.nowMs], [two, this.nowMs]]);
  /** Those that say it, every five seconds. */
  readonly hearing = new Set<string>([one, two]);
  readonly membership: Membership = newMembership("/a");
  readonly late = new LateAsks({
    connector: this.connector,
    sender: {
      sentUpTo: 7,
      publishNews: (_, { key, body }) => {
        const { ageMs } = readQuestion(body);
        this.sent.push({ atMs: this.nowMs, key, ageMs });
      },
    },
    peers: { hearsMs: (node) => this.hearsMs.get(node) },
    onGap: (_, reason) => void this.gaps.push(reason),
  });

  constructor(nowMs = 60_000) {
    super(nowMs);
  }

  /** Lets a join succeed now that `nodes` didn't answer. */
  join(nodes: readonly string[], { number = 1 } = {}): void {
    const ask = new Ask(number, 7);
    this.membership.wanted = true;
    this.membership.joins.push(Promise.withResolvers());
    ask.add(this.membership);
    this.membership.joins.length = 0;
    ask.end();
    this.late.add(ask, nodes);
  }

  /** Lets time pass. */
  pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.nowMs += 1_000;
      for (const node of this.hearing) {
        if (this.nowMs % 5_000 < 1_000) this.hearsMs.set(node, this.nowMs);
      }
      this.late.tick();
    }
  }

  /** Lets a node answer the latest question, `ms` after it was asked: it had sent 40 messages when the join succeeded. */
  answer(node: string, ms = 10): void {
    const key = `node.${node}`;
    const { atMs, ageMs } = this.sent.findLast((each) => each.key === key)!;
    this.nowMs = Math.max(this.nowMs, atMs + ms);
    const sent = Array(moments.count).fill(40);
    this.late.answered(node, 1, { last: 50, ageMs, sent });
  }

  /** Lets a message of a node come, and tells what it is. */
  message(node: string, sequence: number, since: number): string {
    const envelope = { kind: "text", node, sequence, since } as const;
    return this.membership.tracker.message(envelope);
  }
}

// The question was lost with a queue or a broker, nobody asked again, and
// clients were told after half a minute.
Deno.test("LateAsks asks again and again, only those that haven't answered, until they have", () => {
  using bench = new Bench();
  bench.join([one, two]);
  bench.pass(2);
  bench.answer(two);
  bench.pass(22);
  const asked = (node: string): number[] =>
    bench.sent.filter(({ key }) => key === `node.${node}`)
      .map(({ atMs }) => Math.floor((atMs - 60_000) / 1_000));
  assert.deepEqual(asked(one), [1, 2, 4, 8, 16, 24]);
  assert.deepEqual(asked(two), [1, 2]);
  bench.answer(one);
  assert.equal(bench.late.size, 0);
  bench.pass(60);
  assert.equal(bench.sent.length, 8);
  assert.deepEqual(bench.gaps, []);
});

const noAnswer = "another node doesn't say what it sent";

Deno.test("LateAsks tells of channels for which a node that is there never answers", () => {
  using bench = new Bench();
  bench.join([one]);
  bench.pass(15);
  bench.hearing.delete(one);
  bench.pass(30);
  bench.hearing.add(one);
  bench.pass(15);
  assert.deepEqual(bench.gaps, []);
  bench.pass(20);
  assert.deepEqual(bench.gaps, [noAnswer]);
  assert.equal(bench.late.size, 0);
});

/** What keeps an answer away without anybody's fault. */
const outages: Record<string, (bench: Bench) => void> = {
  "there is no connection": ({ connector, late }) => {
    connector.link = undefined;
    late.disconnected();
  },
  "the broker takes nothing": ({ connector }) =>
    connector.link = { isReady: false } as Link,
  "the other node isn't heard, or gets no messages": ({ hearing }) =>
    hearing.delete(one),
};
for (const [name, begin] of Object.entries(outages)) {
  // It was: a node that was away for half a minute cost clients their connection.
  Deno.test(`LateAsks gives nobody up while ${name}`, () => {
    using bench = new Bench();
    bench.join([one]);
    for (let i = 0; i < 2; i++) {
      bench.pass(10);
      begin(bench);
      bench.pass(100);
      const { length } = bench.sent;
      bench.pass(100);
      assert.equal(bench.sent.length, length);
      bench.connector.link = { isReady: true } as Link;
      bench.hearing.add(one);
      // As soon as it is heard, and not when the long wait from before is over.
      for (let s = 0; s < 6 && bench.sent.length === length; s++) bench.pass(1);
      assert.ok(bench.sent.length > length);
    }
    assert.deepEqual(bench.gaps, []);
    bench.answer(one);
    assert.equal(bench.late.size, 0);
  });
}

Deno.test("LateAsks asks again at once after a lost connection, however short that was", () => {
  using bench = new Bench();
  bench.join([one]);
  bench.pass(9);
  bench.late.disconnected();
  bench.pass(1);
  assert.equal(bench.sent.at(-1)!.atMs, bench.nowMs);
});

Deno.test("LateAsks forgets those that have gone, and channels that were left", () => {
  using bench = new Bench();
  bench.join([one, two]);
  bench.join([one], { number: 2 });
  bench.hearsMs.delete(one);
  bench.pass(1);
  assert.equal(bench.late.size, 1);
  assert.deepEqual(bench.sent.map(({ key }) => key), [`node.${two}`]);
  bench.membership.tracker = new Tracker();
  bench.pass(1);
  assert.equal(bench.late.size, 0);
  assert.deepEqual(bench.gaps, []);
});

Deno.test("LateAsks keeps 10,000 questions, fewer to many nodes, and sends 200 a second", () => {
  using bench = new Bench();
  for (let number = 1; number <= 10_001; number++) {
    bench.join([one], { number });
  }
  assert.equal(bench.late.size, 10_000);
  assert.deepEqual(bench.gaps, [noAnswer]);
  bench.pass(3);
  assert.equal(bench.sent.length, 600);
  const nodes = Array.from({ length: 1_000 }, (_, i) => `${i}`);
  for (let number = 10_002; number <= 10_102; number++) {
    bench.join(nodes, { number });
  }
  assert.equal(bench.late.size, 100);
});

Deno.test("LateAsks asks what had been sent when joins succeeded, and takes no answer that is too late for that", () => {
  using bench = new Bench();
  bench.join([one]);
  bench.pass(1);
  const { ageMs } = bench.sent[0]!;
  assert.equal(ageMs, 1_000);
  assert.equal(bench.message(one, 43, 41), "next");
  bench.answer(one, 1_100);
  assert.deepEqual(bench.gaps, []);
  assert.equal(bench.late.size, 1);
  bench.pass(1);
  bench.answer(one, 900);
  assert.deepEqual(bench.gaps, ["messages after a join are missing"]);
  assert.equal(bench.late.size, 0);
});

// Where everything takes seconds, the number of then is far too low.
Deno.test("LateAsks takes answers that take seconds, rather than give up, but not for a loss", () => {
  for (const isMissing of [false, true]) {
    using bench = new Bench();
    bench.join([one]);
    bench.message(one, 43, isMissing ? 41 : 40);
    for (let i = 0; i < 50; i++) {
      bench.pass(1);
      if (bench.nowMs - bench.sent.at(-1)!.atMs < 3_000) continue;
      const { gaps: { length } } = bench;
      bench.answer(one, 3_000);
      assert.equal(bench.gaps.length, length);
    }
    assert.equal(bench.late.size, 0);
    assert.deepEqual(bench.gaps, isMissing ? [noAnswer] : []);
  }
});

const moment = fc.nat({ max: 20_000 });
const transitMs = fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 5_000 }));
const story = fc.record({
  /** When another node says something, and whether that is lost if somebody had to get it. */
  said: fc.array(fc.record({ ms: moment, isLost: fc.boolean() }), {
    maxLength: 30,
  }),
  /** Until then its broker holds up everything. */
  heldMs: moment,
  /** Until then it doesn't route by the binding. */
  routedMs: moment,
  /** When it answered, if it did while the join waited. */
  answeredMs: moment,
  /** When it is asked, and how long question and answer take. */
  asked: fc.array(
    fc.record({ ms: moment, askMs: transitMs, answerMs: transitMs }),
    { maxLength: 5 },
  ),
});

// Both verdicts were in vain: a message that was sent before a join, and held
// up, was taken for one that was sent after it.
Deno.test("SentLog, LateAsks and Tracker: what is lost after a join is told, and what was lost long before isn't", () => {
  const joinedMs = 10_000;
  fc.assert(
    fc.property(story, ({ said, heldMs, routedMs, answeredMs, asked }) => {
      using bench = new Bench(joinedMs);
      bench.join([one]);
      const tell = (verdict: string): void => {
        // Before, nobody is there.
        if (verdict === "gap" && bench.nowMs > joinedMs) bench.gaps.push("");
      };
      const log = new SentLog();
      const events: { ms: number; act: () => void }[] = [];
      const at = (ms: number, act: () => void) => events.push({ ms, act });
      const lost: number[] = [];
      const times = said.sort((a, b) => a.ms - b.ms).entries();
      for (const [i, { ms, isLost }] of times) {
        log.add(i + 1, ms);
        const arrivesMs = Math.max(ms, heldMs);
        if (arrivesMs < routedMs || isLost && ms > joinedMs) lost.push(ms);
        else at(arrivesMs, () => tell(bench.message(one, i + 1, i)));
      }
      const { tracker } = bench.membership;
      if (answeredMs < joinedMs) {
        at(answeredMs, () => tracker.begin(one, log.sentBefore(answeredMs)));
        at(joinedMs, () => tracker.reopen(one));
      }
      // At last all are connected, and the other node tells its last number.
      const last = said.length;
      const final = { ms: 15_000, askMs: 10, answerMs: 10 };
      for (const { ms: ageMs, askMs, answerMs } of [...asked, final]) {
        const sent = Array.from(
          { length: moments.count },
          (_, i) => log.sentBefore(joinedMs + askMs - i * moments.stepMs),
        );
        at(
          joinedMs + ageMs + askMs + answerMs,
          () => bench.late.answered(one, 1, { last, ageMs, sent }),
        );
      }
      const mark = { last, mayBeLeftover: false };
      at(35_000, () => tell(tracker.mark(one, mark)));
      for (const { ms, act } of events.sort((a, b) => a.ms - b.ms)) {
        bench.nowMs = ms;
        act();
      }
      const isMissed = lost.some((ms) => ms > joinedMs);
      if (isMissed) assert.ok(bench.gaps.length > 0, "untold");
      // An answer takes a second at most, and the log is a tenth off.
      const isLongAgo = lost.every((ms) => ms < joinedMs - 1_200);
      if (isLongAgo) assert.deepEqual(bench.gaps, []);
    }),
    { numRuns: 1_000 },
  );
});
