import assert from "node:assert/strict";
import type { Entry, Numbered } from "../../src/amqp/entry.ts";
import { everyNode, Outbox } from "../../src/amqp/outbox.ts";
import { largeBytes, own, release } from "../../src/common/large_memory.ts";
import { text } from "../helpers/messages.ts";

/** Makes an outbox, and what it tells. */
function make(maxBytes: number): { outbox: Outbox; caughtUp: string[] } {
  const caughtUp: string[] = [];
  const outbox = new Outbox({
    maxBytes,
    onCaughtUp: (key) => void caughtUp.push(key),
  });
  return { outbox, caughtUp };
}

function channel(key = "a"): Numbered {
  return { key, lastSequence: 0, lastSent: 0 };
}

function takeAll(outbox: Outbox): Entry[] {
  const entries = [];
  for (let entry; (entry = outbox.take());) entries.push(entry);
  return entries;
}

Deno.test("Outbox.add() takes one message whatever its size, and then what fits", () => {
  const { outbox } = make(1000);
  const a = channel();
  assert.equal(outbox.add(a, text("x".repeat(1000))), true);
  assert.equal(outbox.add(a, text("y")), false);
  const entry = outbox.take()!;
  assert.equal(entry.bytes, 1000);
  assert.equal(outbox.take()!.kind, "lost");
  outbox.confirm(entry);
  assert.equal(outbox.add(a, text("z")), true);
});

Deno.test("Outbox holds no more than it may, and replaces the rest by one notice a channel", () => {
  const { outbox } = make(10_000);
  const channels = ["a", "b", "c"].map(channel);
  let added = 0;
  for (let i = 0; i < 1_000; i++) {
    for (const channel of channels) {
      if (outbox.add(channel, text("x".repeat(50)))) added++;
      assert.ok(outbox.bytes <= 10_000);
    }
  }
  assert.ok(added > 50);
  const entries = takeAll(outbox);
  assert.equal(entries.flatMap(({ messages }) => messages).length, added);
  for (const { key, lastSequence } of channels) {
    const last = entries.findLast((entry) => entry.key === key)!;
    assert.equal(last.kind, "lost");
    assert.equal(last.sequence, lastSequence);
  }
  for (const entry of entries) outbox.confirm(entry);
  assert.ok(outbox.isEmpty);
  assert.equal(outbox.bytes, 0);
});

Deno.test("Outbox gives no channel more than it leaves to the others", () => {
  const { outbox } = make(100_000);
  const flood = (key: string): number => {
    const flooded = channel(key);
    const before = outbox.bytes;
    while (outbox.add(flooded, text("x".repeat(500))));
    return outbox.bytes - before;
  };
  const shares = ["a", "b", "c"].map(flood);
  // What is free is halved each time, but for what one message more would take.
  for (const [index, share] of [50_000, 25_000, 12_500].entries()) {
    assert.ok(Math.abs(shares[index]! - share) < 1_000, `${shares}`);
  }
  assert.ok(outbox.add(channel("d"), text("quiet")));
});

Deno.test("Outbox.isBehind() is true from a sixteenth of what is free on, and until half of that", () => {
  const { outbox, caughtUp } = make(100_000);
  outbox.add(channel("b"), text("quiet"));
  const a = channel();
  const add = (): Entry => {
    outbox.add(a, text("x".repeat(1_000 - 256)));
    return outbox.take()!;
  };
  outbox.take();
  const entries = Array.from({ length: 5 }, add);
  assert.equal(outbox.isBehind("a"), false);
  entries.push(add());
  assert.equal(outbox.isBehind("a"), true);
  assert.equal(outbox.isBehind("b"), false);
  for (const entry of entries.slice(0, 2)) outbox.confirm(entry);
  assert.deepEqual(caughtUp, []);
  outbox.confirm(entries[2]!);
  assert.deepEqual(caughtUp, ["a"]);
  assert.equal(outbox.isBehind("a"), false);
});

Deno.test("Outbox.limitEntries() gives up what is larger, and makes smaller batches from then on", () => {
  const { outbox } = make(1_000_000);
  const [a, other] = [channel("a"), channel("b")];
  const say = (count: number): void => {
    for (let i = 0; i < count; i++) outbox.add(a, text("x".repeat(100)));
  };
  say(1);
  const sent = outbox.take()!;
  say(50);
  outbox.add(other, text("y".repeat(2_000)));
  outbox.add(other, text("small"));
  outbox.limitEntries(1_000);
  outbox.rewind();
  assert.equal(outbox.take(), sent);
  say(50);
  const entries = takeAll(outbox);
  const lost = entries.filter(({ kind }) => kind === "lost");
  // A batch, and a large message with one behind it.
  assert.deepEqual(lost.map(({ key }) => key), ["a", "b"]);
  const others = entries.filter(({ kind }) => kind !== "lost");
  assert.equal(others.flatMap(({ messages }) => messages).length, 50);
  for (const { bytes } of others) assert.ok(bytes <= 1_000, `${bytes}`);
  assert.equal(outbox.add(other, text("y".repeat(2_000))), false);
  outbox.limitEntries(undefined);
  assert.equal(outbox.add(other, text("y".repeat(2_000))), true);
});

Deno.test("Outbox.rewind() sends confirmed entries behind an unconfirmed one again", () => {
  const { outbox } = make(1_000_000);
  const a = channel();
  const send = (): Entry => {
    outbox.add(a, text("x"));
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
  for (const entry of [first, second, third]) outbox.confirm(entry!);
  assert.ok(outbox.isEmpty);
  assert.deepEqual([outbox.bytes, outbox.messages], [0, 0]);
});

Deno.test("Outbox tells everyone once more than 10,000 channels lost something", () => {
  const { outbox } = make(0);
  for (let i = 0; i < 20_000; i++) {
    outbox.add(channel(`${i}`), text(""));
  }
  // What is lost behind a message is told behind it, too.
  outbox.confirm(outbox.take()!);
  assert.equal(outbox.add(channel("fits"), text("")), true);
  outbox.add(channel("late"), text(""));
  const entries = takeAll(outbox);
  assert.equal(entries.length, 10_003);
  const keys = entries.slice(-3).map(({ key }) => key);
  assert.deepEqual(keys, [everyNode, "fits", everyNode]);
});

Deno.test("Outbox.lastOf() gets the number of what was sent, and nothing while that has to be sent again", () => {
  const { outbox } = make(1_000_000);
  const a = channel();
  assert.equal(outbox.lastOf(a), 0);
  outbox.add(a, text("x"));
  // An earlier membership may have sent it.
  assert.equal(outbox.lastOf(a), undefined);
  const entry = outbox.take()!;
  assert.equal(outbox.lastOf(a), entry.sequence);
  outbox.rewind();
  assert.equal(outbox.lastOf(a), undefined);
  assert.equal(outbox.take(), entry);
  outbox.confirm(entry);
  outbox.rewind();
  assert.equal(outbox.lastOf(a), entry.sequence);
});

Deno.test("Outbox.rewind() doesn't send again what the broker returned: nobody was there", () => {
  const { outbox } = make(10_000);
  const b = channel("b");
  outbox.add(channel("a"), text("unconfirmed"));
  outbox.add(b, text("returned"), { isPosted: true });
  outbox.add(b, text("confirmed"), { isPosted: true });
  const [, returned] = takeAll(outbox);
  outbox.confirm(returned!, { isReturned: true });
  outbox.rewind();
  assert.deepEqual(takeAll(outbox).map(({ key }) => key), ["a"]);
});

Deno.test("Outbox.add() puts nothing into the entry of another membership of the channel", () => {
  const { outbox } = make(10_000);
  const [posted, joined] = [channel(), channel()];
  outbox.add(posted, text("one"), { isPosted: true });
  outbox.add(joined, text("two"));
  outbox.add(joined, text("three"));
  const entries = takeAll(outbox);
  assert.deepEqual(entries.map(({ messages }) => messages.length), [1, 2]);
  assert.equal(joined.lastSequence, entries[1]!.sequence);
  assert.deepEqual(entries.map(({ isPosted }) => isPosted), [true, false]);
});

Deno.test("Outbox.hasRoom() says what add() would", () => {
  const { outbox } = make(1000);
  assert.equal(outbox.hasRoom("a", text("x".repeat(5000))), true);
  outbox.add(channel("a"), text("x".repeat(500)));
  assert.equal(outbox.hasRoom("a", text("x".repeat(500))), false);
  outbox.limitEntries(10);
  assert.equal(outbox.hasRoom("b", text("x".repeat(11))), false);
});

Deno.test("Outbox.sentUpTo is the number before the first one that is still to be sent, or sent again", () => {
  const { outbox } = make(10_000);
  const a = channel();
  assert.equal(outbox.sentUpTo, 0);
  const entries = [];
  for (let number = 1; number <= 3; number++) {
    outbox.add(a, text("x"));
    assert.equal(outbox.sentUpTo, number - 1);
    entries.push(outbox.take()!);
    assert.equal(outbox.sentUpTo, number);
  }
  outbox.confirm(entries[0]!);
  outbox.rewind();
  assert.equal(outbox.sentUpTo, 1);
  takeAll(outbox);
  assert.equal(outbox.sentUpTo, 3);
});

Deno.test("Outbox needs the memory of large messages, also in a batch", () => {
  const { outbox } = make(1_000_000);
  const a = channel();
  const messages = [text("l".repeat(largeBytes)), text("m".repeat(largeBytes))];
  for (const { frame } of messages) own(frame);
  for (const message of messages) outbox.add(a, message);
  for (const { frame } of messages) release(frame);
  assert.ok(messages.every(({ frame }) => frame.length > largeBytes));
});
