import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Link } from "../../src/amqp/link.ts";
import { Memberships } from "../../src/amqp/memberships.ts";
import { Sender } from "../../src/amqp/sender.ts";
import { text } from "../helpers/messages.ts";

/** A link that keeps what is published on it. */
class FakeLink {
  isReady = true;
  readonly published: string[] = [];

  publish({ body }: { body: Uint8Array }): number {
    return this.published.push(new TextDecoder().decode(body));
  }
}

/** Makes a sender, and what puts it on a link. */
function make(): {
  sender: Sender;
  /** Whether the channel was congested, each time that it said so. */
  congestion: boolean[];
  connect: (link: FakeLink) => void;
  say: (message: string) => boolean;
} {
  const memberships = new Memberships({
    onOutage: "local",
    joinTimeoutMs: 1_000,
    onMissed: () => {},
    onDoubtful: () => {},
    onBound: () => {},
    latestProbe: () => 0,
  });
  void memberships.join("/a");
  const membership = memberships.byPath("/a")!;
  const congestion: boolean[] = [];
  const connector: { link: Link | undefined } = { link: undefined };
  const sender = new Sender({
    node: "0123456789abcdef",
    connector,
    outboxBytes: 2_000,
    onCongested: (_key, isCongested) => void congestion.push(isCongested),
  });
  return {
    sender,
    congestion,
    connect: (link) => {
      connector.link = link as unknown as Link;
      sender.connected();
    },
    say: (message) => sender.publish(membership, text(message)),
  };
}

Deno.test("Sender publishes at once, and after a lost connection what wasn't confirmed", () => {
  const { sender, connect, say } = make();
  const first = new FakeLink();
  connect(first);
  for (const message of ["a", "b", "c"]) say(message);
  assert.deepEqual(first.published, ["a", "b", "c"]);
  sender.answered({ tag: 1, upTo: false, isTaken: true });
  assert.equal(sender.unconfirmed, 2);
  sender.disconnected(new BrokerError("cut"));
  const second = new FakeLink();
  connect(second);
  assert.deepEqual(second.published, ["b", "c"]);
  sender.answered({ tag: 2, upTo: true, isTaken: true });
  assert.equal(sender.unconfirmed, 0);
  assert.equal(sender.outbox.messages, 0);
});

Deno.test("Sender keeps what comes while the link isn't ready, and pump() publishes it as one", () => {
  const { sender, connect, say } = make();
  const link = new FakeLink();
  link.isReady = false;
  connect(link);
  say("a");
  say("b");
  assert.deepEqual(link.published, []);
  link.isReady = true;
  sender.pump();
  assert.equal(link.published.length, 1);
  assert.equal(sender.outbox.messages, 2);
});

Deno.test("Sender counts what a queue didn't take, and tick() publishes a notice of it", () => {
  const { sender, connect, say } = make();
  const link = new FakeLink();
  connect(link);
  say("abc");
  sender.answered({ tag: 1, upTo: false, isTaken: false });
  assert.equal(sender.counts.rejected, 1);
  sender.tick(link as unknown as Link);
  // A notice's body is the size of what it is about.
  assert.deepEqual(link.published, ["abc", "3"]);
});

Deno.test("Sender.disconnected() gives up the largest message if the broker found one too big", () => {
  const { sender, connect, say } = make();
  const link = new FakeLink();
  connect(link);
  say("small");
  say("much larger");
  const access = { right: "write", kind: "exchange", name: "staps" } as const;
  sender.disconnected(new BrokerError("too big", { code: 406, access }));
  const next = new FakeLink();
  connect(next);
  assert.deepEqual(next.published, ["small", "11"]);
});

/** Lets `run` set the time, in milliseconds. */
function withTime(run: (setMs: (ms: number) => void) => void): void {
  const { now } = performance;
  try {
    run((ms) => performance.now = () => ms);
  } finally {
    performance.now = now;
  }
}

Deno.test("Sender.sentBefore() tells what had been published by then, be it again", () => {
  const { sender, connect, say } = make();
  withTime((setMs) => {
    setMs(1_000);
    connect(new FakeLink());
    say("a");
    setMs(2_000);
    say("b");
    assert.equal(sender.sentBefore(1_999), 1);
    sender.disconnected(new BrokerError("cut"));
    setMs(3_000);
    connect(new FakeLink());
    assert.equal(sender.sentBefore(2_999), 2);
  });
});

Deno.test("Sender.tick() breaks off a link on which a message stays unconfirmed, sooner if later ones are, or none is", () => {
  const later = "The broker confirms later messages, and not earlier ones";
  const cases = [
    { answers: [1_000], isTaken: true, limitMs: 10_000, reason: later },
    {
      ...{ answers: [9_000, 18_000, 27_000], isTaken: false },
      ...{ limitMs: 30_000, reason: later },
    },
    {
      ...{ answers: [1_000], isTaken: false },
      ...{ limitMs: 11_000, reason: "The broker confirms nothing" },
    },
  ];
  for (const { answers, isTaken, limitMs, reason } of cases) {
    withTime((setMs) => {
      const { sender, connect, say } = make();
      const reasons: string[] = [];
      const fake = new FakeLink();
      const link = Object.assign(fake, {
        destroy: ({ message }: Error) => reasons.push(message),
      }) as unknown as Link;
      setMs(0);
      connect(fake);
      say("a");
      for (const [i, ms] of answers.entries()) {
        setMs(ms);
        const probe = { key: "own", number: i, mandatory: true };
        sender.publishProbe(link, { ...probe, onAnswer: () => {} });
        sender.answered({ tag: 2 + i, upTo: false, isTaken });
      }
      setMs(limitMs);
      sender.tick(link);
      assert.deepEqual(reasons, []);
      setMs(limitMs + 1);
      sender.tick(link);
      assert.deepEqual(reasons, [reason]);
    });
  }
});

Deno.test("Sender learns from the first refusal how much the broker takes, until the connection ends otherwise", () => {
  const { sender, connect, say } = make();
  connect(new FakeLink());
  say("x".repeat(20));
  say("small");
  const access = { right: "write", kind: "exchange", name: "staps" } as const;
  const message =
    "PRECONDITION_FAILED - message size 20 is larger than configured max size 10";
  sender.disconnected(new BrokerError(message, { code: 406, access }));
  assert.equal(say("x".repeat(20)), false);
  sender.disconnected(new BrokerError("cut"));
  assert.equal(say("x".repeat(20)), true);
});

Deno.test("Sender tells of congestion at each message while its channel is behind, and once that it caught up", () => {
  const { sender, congestion, connect, say } = make();
  connect(new FakeLink());
  // Each takes 257 of 2,000 bytes.
  say("x");
  say("y");
  assert.deepEqual(congestion, [true, true]);
  sender.answered({ tag: 1, upTo: false, isTaken: true });
  assert.deepEqual(congestion, [true, true]);
  sender.answered({ tag: 2, upTo: false, isTaken: true });
  assert.deepEqual(congestion, [true, true, false]);
});

Deno.test("Sender tells of congestion as long as messages have to be dropped, and of its end", () => {
  const { sender, congestion, connect, say } = make();
  for (let i = 0; i < 20; i++) say("x".repeat(200));
  congestion.length = 0;
  assert.equal(say("x".repeat(200)), false);
  assert.deepEqual(congestion, [true]);
  const link = new FakeLink();
  connect(link);
  sender.answered({ tag: link.published.length, upTo: true, isTaken: true });
  assert.deepEqual(congestion, [true, false]);
});

Deno.test("Sender tells that there is room again when the largest message was given up", () => {
  const { sender, congestion, connect, say } = make();
  connect(new FakeLink());
  say("x".repeat(1_900));
  assert.deepEqual(congestion, [true]);
  const access = { right: "write", kind: "exchange", name: "staps" } as const;
  sender.disconnected(new BrokerError("too big", { code: 406, access }));
  assert.deepEqual(congestion, [true, false]);
});
