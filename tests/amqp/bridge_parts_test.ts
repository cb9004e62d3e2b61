/** The bridge's parts that need no broker. */
import assert from "node:assert/strict";
import { readBatch, writeBatch } from "../../src/amqp/batch.ts";
import { readEnvelope, writeEnvelope } from "../../src/amqp/envelope.ts";
import { type Binder, Memberships } from "../../src/amqp/memberships.ts";
import { everyNode, type Letter, Outbox } from "../../src/amqp/outbox.ts";
import { Tracker, type Verdict } from "../../src/amqp/tracker.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { channelKey } from "../../src/relay/channel_hash.ts";
import { type Message, messageBytes } from "../../src/relay/message.ts";
import { eventually } from "../helpers/eventually.ts";
import { fc } from "../helpers/property.ts";

const node = "0123456789abcdef";

Deno.test("readEnvelope() reads what writeEnvelope() wrote", () => {
  fc.assert(fc.property(
    fc.constantFrom("text", "binary", "batch", "lost", "rejected", "probe"),
    fc.maxSafeNat(),
    fc.maxSafeNat(),
    (kind, sequence, since) => {
      const envelope = { kind, node, sequence, since } as const;
      assert.deepEqual(readEnvelope(writeEnvelope(envelope)), envelope);
    },
  ));
});

Deno.test("readEnvelope() takes nothing that somebody else wrote", () => {
  const good = { type: "text", appId: node, messageId: "1.0" };
  assert.ok(readEnvelope(good));
  for (
    const bad of [
      { type: undefined },
      { type: "other" },
      { appId: undefined },
      { appId: "me" },
      { messageId: undefined },
      { messageId: "1" },
      { messageId: "1.0.0" },
      { messageId: "-1.0" },
      { messageId: "zzzzzzzzzzz.0" },
    ]
  ) assert.equal(readEnvelope({ ...good, ...bad }), undefined);
});

Deno.test("readBatch() reads what writeBatch() wrote", () => {
  const message: fc.Arbitrary<Message> = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("", "\uFEFFmark"),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes).buffer),
  );
  fc.assert(fc.property(fc.array(message), (messages) => {
    const bytes = messages.reduce((sum, one) => sum + messageBytes(one), 0);
    const read = readBatch(writeBatch(messages, bytes));
    assert.equal(read.length, messages.length);
    for (const [i, one] of read.entries()) {
      const sent = messages[i]!;
      assert.equal(one.bytes, messageBytes(sent));
      if (typeof sent === "string") assert.equal(one.message, sent);
      else {
        assert.deepEqual(
          new Uint8Array(one.message as Uint8Array<ArrayBuffer>),
          new Uint8Array(sent),
        );
      }
    }
  }));
});

Deno.test("readBatch() refuses what isn't a batch", () => {
  for (const bytes of [[1], [0, 0, 0, 2, 1], [255, 255, 255, 255]]) {
    assert.throws(() => readBatch(new Uint8Array(bytes)), RangeError);
  }
});

Deno.test("Outbox holds no more than it may, and replaces the rest by one notice a channel", () => {
  const outbox = new Outbox(10_000);
  const outlet = { key: "a", lastSequence: 0 };
  let added = 0;
  for (let i = 0; i < 1_000; i++) {
    if (outbox.add(outlet, "x".repeat(50), { bytes: 50 })) added++;
    assert.ok(outbox.bytes <= 10_000);
  }
  assert.ok(added > 50);
  const letters = [];
  for (let letter; (letter = outbox.take());) letters.push(letter);
  assert.equal(letters.flatMap(({ messages }) => messages).length, added);
  assert.equal(letters.at(-1)!.kind, "lost");
  assert.equal(letters.at(-1)!.sequence, outlet.lastSequence);
  for (const letter of letters) outbox.confirm(letter);
  assert.ok(outbox.isEmpty);
  assert.equal(outbox.bytes, 0);
});

Deno.test("Outbox.rewind() sends confirmed letters behind an unconfirmed one again", () => {
  const outbox = new Outbox(1_000_000);
  const outlet = { key: "a", lastSequence: 0 };
  const send = (): Letter => {
    outbox.add(outlet, "x", { bytes: 1 });
    return outbox.take()!;
  };
  const [first, second, third] = [send(), send(), send()];
  const { bytes, messages } = outbox;
  // A notice will tell of this one.
  const rejected = send();
  outbox.reject(rejected);
  outbox.confirm(second!);
  outbox.rewind();
  assert.deepEqual([outbox.bytes, outbox.messages], [bytes, messages]);
  assert.deepEqual(
    [outbox.take(), outbox.take(), outbox.take(), outbox.take()],
    [first, second, third, undefined],
  );
  for (const letter of [first, second, third]) outbox.confirm(letter!);
  assert.ok(outbox.isEmpty);
  assert.deepEqual([outbox.bytes, outbox.messages], [0, 0]);
});

Deno.test("Outbox tells everyone once more than 10,000 channels lost something", () => {
  const outbox = new Outbox(0);
  for (let i = 0; i < 20_000; i++) {
    outbox.add({ key: `${i}`, lastSequence: 0 }, "", { bytes: 0 });
  }
  let notices = 0;
  let last;
  for (let letter; (letter = outbox.take()); last = letter) {
    if (letter.kind === "lost") notices++;
  }
  assert.equal(notices, 10_001);
  assert.equal(last!.key, everyNode);
});

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

/** A broker's bindings, and how many operations are under way for each. */
class FakeBroker implements Binder {
  readonly bound = new Set<string>();
  readonly busy = new Set<string>();
  most = 0;

  async bind(key: string): Promise<void> {
    await this.#act(key);
    this.bound.add(key);
  }

  async unbind(key: string): Promise<void> {
    await this.#act(key);
    this.bound.delete(key);
  }

  async #act(key: string): Promise<void> {
    assert.ok(!this.busy.has(key), "two operations on one channel");
    this.busy.add(key);
    this.most = Math.max(this.most, this.busy.size);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
    this.busy.delete(key);
  }
}

Deno.test("Memberships: the last call counts, whatever connections do meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.constantFrom("join", "leave", "cut", "wait"), fc.nat(3)),
        { maxLength: 60 },
      ),
      async (steps) => {
        const memberships = new Memberships({
          onOutage: "local",
          joinTimeoutMs: 5_000,
          onMissed: () => assert.fail("nothing was lost"),
          nowMs: () => 0,
          latestProbe: () => 0,
        });
        const broker = new FakeBroker();
        const joined = new Set<string>();
        memberships.attach([broker, broker, broker]);
        for (const [what, i] of steps) {
          const path = `/${i}`;
          if (what === "join") {
            void memberships.join(path);
            joined.add(path);
          } else if (what === "leave") {
            memberships.leave(path);
            joined.delete(path);
          } else if (what === "cut") {
            memberships.detach();
            // What was under way still reaches the broker.
            await eventually(() => broker.busy.size === 0, "the broker");
            memberships.attach([broker, broker, broker]);
          } else await new Promise((resolve) => setTimeout(resolve, i));
        }
        const wanted = [...joined].map(channelKey).sort();
        await eventually(
          () =>
            broker.busy.size === 0 && memberships.waiting === 0 &&
            memberships.size === joined.size,
          "everything to settle",
        );
        assert.deepEqual([...broker.bound].sort(), wanted);
        assert.ok(broker.most <= 3);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("Memberships tell of lost bindings as soon as they are back, and not to newcomers", async () => {
  const missed: string[] = [];
  const memberships = new Memberships({
    onOutage: "refuse",
    joinTimeoutMs: 5_000,
    onMissed: ({ path }) => missed.push(path),
    nowMs: () => 0,
    latestProbe: () => 0,
  });
  const broker = new FakeBroker();
  memberships.attach([broker]);
  for (const path of ["/a", "/b", "/c"]) await memberships.join(path);
  memberships.detach();
  await assert.rejects(memberships.join("/d"), BridgeUnavailableError);
  memberships.leave("/b");
  memberships.loseBindings();
  broker.bound.clear();
  assert.deepEqual(missed, []);
  memberships.attach([broker]);
  await memberships.join("/d");
  await eventually(() => missed.length === 2, "both");
  assert.deepEqual(missed.sort(), ["/a", "/c"]);
  assert.equal(memberships.size, 3);
});

Deno.test("Memberships.mayHaveLeftovers() says so from the unbind to the next probe", async () => {
  let latest = 4;
  const memberships = new Memberships({
    onOutage: "refuse",
    joinTimeoutMs: 5_000,
    onMissed: () => assert.fail("nothing was lost"),
    nowMs: () => 0,
    latestProbe: () => latest,
  });
  const broker = new FakeBroker();
  memberships.attach([broker]);
  const has = (): boolean =>
    memberships.mayHaveLeftovers(memberships.byPath("/a")!);
  await memberships.join("/a");
  memberships.probed(4);
  assert.ok(!has());
  memberships.leave("/a");
  // It joins again before the unbind is answered.
  assert.ok(has());
  latest = 5;
  await memberships.join("/a");
  // The queue may have got it before the unbind.
  memberships.probed(5);
  assert.ok(has());
  memberships.probed(6);
  assert.ok(!has());
});

Deno.test("Memberships.mayHaveLeftovers() says so after an unbind that a lost connection left unanswered", async () => {
  const memberships = new Memberships({
    onOutage: "local",
    joinTimeoutMs: 5_000,
    onMissed: () => assert.fail("nothing was lost"),
    nowMs: () => 0,
    latestProbe: () => 1,
  });
  const broker = new FakeBroker();
  memberships.attach([broker]);
  await memberships.join("/a");
  memberships.leave("/a");
  memberships.detach();
  await memberships.join("/a");
  memberships.attach([new FakeBroker()]);
  memberships.probed(2);
  assert.ok(memberships.mayHaveLeftovers(memberships.byPath("/a")!));
});
