import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Link } from "../../src/amqp/link.ts";
import type { Membership } from "../../src/amqp/membership.ts";
import { Probe } from "../../src/amqp/probe.ts";
import type { ProbeMessage } from "../../src/amqp/sender.ts";
import { MortalLink } from "./fakes.ts";

/** A probe with everything around it, remembered. */
class Bench {
  readonly fake = new MortalLink();
  readonly link = this.fake as unknown as Link;
  readonly connector: { link: Link | undefined } = { link: undefined };
  readonly sent: ProbeMessage[] = [];
  /** Those through doubtful bindings that the broker hasn't answered. */
  readonly doubts: ProbeMessage[] = [];
  isOnlyConsumer = true;
  /** What was said when it was asked for that. */
  readonly turns: boolean[] = [];
  readonly watch = { received: 0, probed: () => {} };
  readonly sender = {
    answers: 0,
    publishProbe: (_: unknown, message: ProbeMessage) => {
      this.sent.push(message);
      if (!message.mandatory) this.doubts.push(message);
    },
  };
  /** Keys of channels that were bound lately. */
  bound: string[] = [];
  readonly lost: string[] = [];
  readonly drained: number[] = [];
  readonly memberships = new Map(
    ["a", "b"].map((key) => [key, { key } as Membership]),
  );
  readonly probe = new Probe({
    ownKey: "own",
    connector: this.connector,
    sender: this.sender,
    memberships: {
      boundSince: () =>
        new Map(this.bound.map((key) => [this.memberships.get(key)!, 1])),
      byKey: (key) => this.memberships.get(key),
      loseBinding: ({ key }) => void this.lost.push(key),
      probed: (number) => void this.drained.push(number),
    },
    watch: this.watch,
    isOnlyConsumer: (_, hasTurn) => {
      this.turns.push(hasTurn);
      return Promise.resolve(this.isOnlyConsumer);
    },
  });

  /** Connects; with `isConfirmed`, the broker confirms the first message. */
  connect({ isConfirmed = false } = {}): void {
    this.connector.link = this.link;
    this.probe.connected(this.link);
    if (isConfirmed) this.sent.at(-1)!.onAnswer(true);
  }

  /** Lets time pass, in each tick of which `progress` happens. */
  tick(count = 1, progress: () => void = () => {}): void {
    for (let i = 0; i < count; i++) {
      progress();
      this.probe.tick(this.link);
    }
  }

  /** The latest message comes out of the queue. */
  returnLatest(): void {
    this.probe.returned(this.probe.latest);
  }

  /** The broker takes what went through doubtful bindings. */
  takeDoubts(): void {
    for (const { onAnswer } of this.doubts.splice(0)) onAnswer(true);
  }

  /** The keys of what was sent since the last time. */
  get keys(): string[] {
    return this.sent.splice(0).map(({ key }) => key);
  }
}

Deno.test("Probe.measure() resolves when the message is back, and says why it isn't", async () => {
  const bench = new Bench();
  const { probe } = bench;
  await assert.rejects(probe.measure(1), /can't be reached/);
  bench.connect();
  probe.returned(1);
  const measured = probe.measure(60_000);
  bench.returnLatest();
  assert.equal(await measured, probe.roundTripMs);
  await assert.rejects(probe.measure(1), /doesn't return a message/);
  const refused = probe.measure(60_000);
  bench.sent.at(-1)!.onAnswer(false);
  await assert.rejects(refused, /This node's queue is full/);
  const cut = probe.measure(60_000);
  probe.disconnected();
  await assert.rejects(cut, /connection to the broker was lost/);
  assert.equal(probe.roundTripMs, undefined);
});

Deno.test("Probe.tick() sends one message at a time, and breaks off a link on which nothing comes back any more", () => {
  const bench = new Bench();
  bench.connect();
  bench.tick();
  assert.deepEqual(bench.keys, ["own"]);
  bench.returnLatest();
  assert.deepEqual(bench.drained, [1]);
  bench.tick();
  assert.deepEqual(bench.keys, ["own"]);
  bench.tick(5);
  assert.equal(bench.fake.isDestroyed, false);
  bench.tick();
  assert.equal(bench.fake.isDestroyed, true);
  // The broker said nothing at all: nothing is known to be lost.
  assert.equal(bench.probe.isSuspect, false);
});

Deno.test("Probe.tick() has patience with a broker that works, or that takes nothing", () => {
  const bench = new Bench();
  bench.connect();
  bench.tick(100, () => bench.sender.answers++);
  bench.fake.blocked = "memory";
  bench.tick(100);
  bench.fake.blocked = undefined;
  bench.tick(5);
  assert.equal(bench.fake.isDestroyed, false);
});

// What was published had nowhere to go and was confirmed, as an alternate exchange took it.
Deno.test("Probe suspects the bindings when a message is confirmed and doesn't come", async () => {
  const bench = new Bench();
  const { link, probe, watch } = bench;
  bench.connect({ isConfirmed: true });
  bench.tick(4, () => bench.sender.answers++);
  assert.equal(bench.fake.isDestroyed, false);
  bench.tick();
  await link.down;
  assert.equal(probe.isSuspect, true);
  probe.disconnected();

  const proven = probe.comesBack(link);
  watch.received++;
  bench.returnLatest();
  assert.equal(await proven, true);
  assert.equal(probe.isSuspect, false);
});

// It was taken for lost, and everybody was told.
Deno.test("Probe waits while a connection that was lost still consumes the queue", async () => {
  const bench = new Bench();
  bench.isOnlyConsumer = false;
  bench.connect({ isConfirmed: true });
  for (let i = 0; i < 20; i++) {
    bench.tick();
    await Promise.resolve();
  }
  assert.equal(bench.fake.isDestroyed, false);
  assert.ok(bench.turns.length > 1 && !bench.turns.includes(true));
  bench.isOnlyConsumer = true;
  bench.watch.received++;
  bench.tick(6);
  await bench.link.down;
  assert.equal(bench.probe.isSuspect, true);
  assert.equal(bench.turns.at(-1), true);
});

Deno.test("Probe suspects the bindings if others are delivered for long, but not its message", async () => {
  const bench = new Bench();
  bench.connect({ isConfirmed: true });
  bench.tick(30, () => bench.watch.received++);
  assert.equal(bench.fake.isDestroyed, false);
  bench.tick(1, () => bench.watch.received++);
  await bench.link.down;
  assert.equal(bench.probe.isSuspect, true);
});

Deno.test("Probe finds young bindings that are lost with the connection", () => {
  const bench = new Bench();
  const { probe } = bench;
  bench.connect();
  bench.bound = ["a", "b"];
  probe.disconnected();
  bench.sent.length = 0;
  bench.connect();
  assert.deepEqual(bench.keys, ["a", "b", "own"]);
  // From before the connection was lost.
  probe.passed(1, "b");
  probe.passed(probe.latest, "a");
  bench.returnLatest();
  assert.deepEqual(bench.lost, []);
  bench.takeDoubts();
  assert.deepEqual(bench.lost, ["b"]);
  // Asked once.
  bench.tick();
  assert.deepEqual(bench.keys, ["own"]);
});

// The lost bindings stayed unnoticed.
Deno.test("Probe asks for doubtful bindings again if the queue was full", () => {
  const bench = new Bench();
  bench.bound = ["a"];
  bench.probe.disconnected();
  bench.connect();
  bench.sent.splice(0).at(-1)!.onAnswer(false);
  bench.tick();
  assert.deepEqual(bench.keys, ["a", "own"]);
  // They take a place in it, too: the first was too many, and the last was not.
  bench.doubts.splice(0).at(-1)!.onAnswer(false);
  bench.returnLatest();
  assert.deepEqual(bench.lost, []);
  bench.tick();
  assert.deepEqual(bench.keys, ["a", "own"]);
  bench.takeDoubts();
  bench.returnLatest();
  assert.deepEqual(bench.lost, ["a"]);
});

Deno.test("Probe.doubt() asks for a binding once a message on the present connection is back", () => {
  const bench = new Bench();
  const { probe } = bench;
  bench.connect();
  bench.sent.length = 0;
  for (const membership of bench.memberships.values()) probe.doubt(membership);
  bench.tick();
  // The first one is still on its way.
  assert.deepEqual(bench.keys, []);
  bench.returnLatest();
  assert.deepEqual(bench.lost, []);
  bench.tick();
  assert.deepEqual(bench.keys, ["a", "b", "own"]);
  probe.passed(probe.latest, "b");
  bench.takeDoubts();
  bench.returnLatest();
  assert.deepEqual(bench.lost, ["a"]);
});

Deno.test("Probe.isOwnKeyBound() tells what the broker does with the message", async () => {
  const bench = new Bench();
  const { probe, link } = bench;
  bench.bound = ["a"];
  probe.disconnected();

  const taken = probe.isOwnKeyBound(link);
  // Doubts are for later: bindings are being set up.
  assert.deepEqual(bench.sent.map(({ key }) => key), ["own"]);
  bench.sent[0]!.onAnswer(true);
  assert.equal(await taken, true);

  const returned = probe.isOwnKeyBound(link);
  probe.unroutable(link);
  bench.sent.at(-1)!.onAnswer(true);
  assert.equal(await returned, false);

  const blocked = probe.isOwnKeyBound(link);
  probe.blocked();
  assert.equal(await blocked, true);

  const cut = probe.isOwnKeyBound(link);
  link.destroy(new BrokerError("cut"));
  await assert.rejects(cut, /cut/);
});

// It stayed on its way for ever: no other one was sent while the connection
// lasted, and the round trip was unknown.
Deno.test("Probe.unroutable() gives up the message, or breaks off a link in use, whose bindings are gone", async () => {
  const bench = new Bench();
  const { probe, link } = bench;
  const isBound = probe.isOwnKeyBound(link);
  probe.unroutable(link);
  assert.equal(await isBound, false);
  bench.connector.link = link;
  bench.sent.length = 0;
  bench.tick();
  assert.deepEqual(bench.keys, ["own"]);
  probe.unroutable(link);
  assert.equal((await link.down).message, "bindings are gone");
});
