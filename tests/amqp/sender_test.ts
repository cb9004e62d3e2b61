import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Link } from "../../src/amqp/link.ts";
import { newMembership } from "../../src/amqp/membership.ts";
import { Sender } from "../../src/amqp/sender.ts";
import { text } from "../helpers/messages.ts";
import { Clock, own } from "./fakes.ts";

/** A link that keeps what is published on it, and why it was broken off. */
class FakeLink {
  isReady = true;
  readonly published: string[] = [];
  readonly reasons: string[] = [];

  publish({ body }: { body: Uint8Array }): number {
    return this.published.push(new TextDecoder().decode(body));
  }

  destroy({ message }: Error): void {
    this.reasons.push(message);
  }
}

/** A sender that is connected, and what it tells. */
class Bench {
  fake = new FakeLink();
  readonly connector: { link: Link | undefined } = { link: undefined };
  /** Whether the channel was congested, each time that it said so. */
  readonly congestion: boolean[] = [];
  readonly sender = new Sender({
    node: own,
    connector: this.connector,
    outboxBytes: 2_000,
    onCongested: (_key, isCongested) => void this.congestion.push(isCongested),
  });
  readonly #membership = newMembership("/a");

  constructor() {
    this.connect();
  }

  get link(): Link {
    return this.fake as unknown as Link;
  }

  /** Connects anew, and gets what is published at once. */
  connect(): string[] {
    this.fake = new FakeLink();
    this.connector.link = this.link;
    this.sender.connected();
    return this.fake.published;
  }

  disconnect(message = "cut", detail: BrokerError["detail"] = {}): void {
    this.sender.disconnected(new BrokerError(message, detail));
  }

  say(message: string): boolean {
    return this.sender.publish(this.#membership, text(message));
  }

  answer(tag: number, { upTo = false, isTaken = true } = {}): void {
    this.sender.answered({ tag, upTo, isTaken });
  }
}

/** How a broker refuses a message that is too large. */
const tooBig: BrokerError["detail"] = {
  code: 406,
  access: { right: "write", kind: "exchange", name: "staps" },
};

Deno.test("Sender publishes at once, and after a lost connection what wasn't confirmed", () => {
  const bench = new Bench();
  for (const message of ["a", "b", "c"]) bench.say(message);
  assert.deepEqual(bench.fake.published, ["a", "b", "c"]);
  bench.answer(1);
  assert.equal(bench.sender.unconfirmed, 2);
  bench.disconnect();
  assert.deepEqual(bench.connect(), ["b", "c"]);
  bench.answer(2, { upTo: true });
  assert.equal(bench.sender.unconfirmed, 0);
  assert.equal(bench.sender.outbox.messages, 0);
});

Deno.test("Sender keeps what comes while the link isn't ready, and pump() publishes it as one", () => {
  const bench = new Bench();
  bench.fake.isReady = false;
  bench.say("a");
  bench.say("b");
  assert.deepEqual(bench.fake.published, []);
  bench.fake.isReady = true;
  bench.sender.pump();
  assert.equal(bench.fake.published.length, 1);
  assert.equal(bench.sender.outbox.messages, 2);
});

Deno.test("Sender counts what a queue didn't take, and tick() publishes a notice of it", () => {
  const bench = new Bench();
  bench.say("abc");
  bench.answer(1, { isTaken: false });
  assert.equal(bench.sender.counts.rejected, 1);
  bench.sender.tick(bench.link);
  // A notice's body is the size of what it is about.
  assert.deepEqual(bench.fake.published, ["abc", "3"]);
});

Deno.test("Sender.disconnected() gives up the largest message if the broker found one too big, and tells that there is room", () => {
  const bench = new Bench();
  bench.say("small");
  bench.say("x".repeat(900));
  assert.deepEqual(bench.congestion, [true, true]);
  bench.disconnect("too big", tooBig);
  assert.deepEqual(bench.connect(), ["small", "900"]);
  bench.answer(1);
  assert.equal(bench.congestion.at(-1), false);
});

Deno.test("Sender learns from the first refusal how much the broker takes, until the connection ends otherwise", () => {
  const bench = new Bench();
  bench.say("x".repeat(20));
  bench.say("small");
  const words =
    "PRECONDITION_FAILED - message size 20 is larger than configured max size 10";
  bench.disconnect(words, tooBig);
  assert.equal(bench.say("x".repeat(20)), false);
  bench.disconnect();
  assert.equal(bench.say("x".repeat(20)), true);
});

Deno.test("Sender.sentBefore() tells what had been published by then, be it again", () => {
  using clock = new Clock(1_000);
  const bench = new Bench();
  bench.say("a");
  clock.nowMs = 2_000;
  bench.say("b");
  assert.equal(bench.sender.sentBefore(1_999), 1);
  bench.disconnect();
  clock.nowMs = 3_000;
  bench.connect();
  assert.equal(bench.sender.sentBefore(2_999), 2);
});

Deno.test("Sender.tick() breaks off a link on which a message stays unconfirmed, sooner if later ones are, or none is", () => {
  const later = "The broker confirms later messages, and not earlier ones";
  const cases = [
    [[1_000], true, 10_000, later],
    [[9_000, 18_000, 27_000], false, 30_000, later],
    [[1_000], false, 11_000, "The broker confirms nothing"],
  ] as const;
  for (const [answersMs, isTaken, limitMs, reason] of cases) {
    using clock = new Clock(0);
    const bench = new Bench();
    bench.say("a");
    for (const [number, ms] of answersMs.entries()) {
      clock.nowMs = ms;
      const onAnswer = (): void => {};
      const probe = { key: "own", number, mandatory: true, onAnswer };
      bench.sender.publishProbe(bench.link, probe);
      bench.answer(2 + number, { isTaken });
    }
    clock.nowMs = limitMs;
    bench.sender.tick(bench.link);
    assert.deepEqual(bench.fake.reasons, []);
    clock.nowMs++;
    bench.sender.tick(bench.link);
    assert.deepEqual(bench.fake.reasons, [reason]);
  }
});

Deno.test("Sender tells of congestion at each message while its channel is behind, and once that it caught up", () => {
  const bench = new Bench();
  // Each takes 257 of 2,000 bytes.
  bench.say("x");
  bench.say("y");
  assert.deepEqual(bench.congestion, [true, true]);
  bench.answer(1);
  assert.deepEqual(bench.congestion, [true, true]);
  bench.answer(2);
  assert.deepEqual(bench.congestion, [true, true, false]);
});

Deno.test("Sender tells of congestion as long as messages have to be dropped, and of its end", () => {
  const bench = new Bench();
  bench.fake.isReady = false;
  for (let i = 0; i < 20; i++) bench.say("x".repeat(200));
  bench.congestion.length = 0;
  assert.equal(bench.say("x".repeat(200)), false);
  assert.deepEqual(bench.congestion, [true]);
  const { length } = bench.connect();
  bench.answer(length, { upTo: true });
  assert.deepEqual(bench.congestion, [true, false]);
});
