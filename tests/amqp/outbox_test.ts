import assert from "node:assert/strict";
import { type Entry, everyNode, Outbox } from "../../src/amqp/outbox.ts";
import { text } from "../helpers/messages.ts";

Deno.test("Outbox.add() takes one message whatever its size, and then what fits", () => {
  const outbox = new Outbox(1000);
  const channel = { key: "a", lastSequence: 0 };
  assert.equal(outbox.add(channel, text("x".repeat(1000))), true);
  assert.equal(outbox.add(channel, text("y")), false);
  const entry = outbox.take()!;
  assert.equal(entry.bytes, 1000);
  assert.equal(outbox.take()!.kind, "lost");
  outbox.confirm(entry);
  assert.equal(outbox.add(channel, text("z")), true);
});

Deno.test("Outbox holds no more than it may, and replaces the rest by one notice a channel", () => {
  const outbox = new Outbox(10_000);
  const channel = { key: "a", lastSequence: 0 };
  let added = 0;
  for (let i = 0; i < 1_000; i++) {
    if (outbox.add(channel, text("x".repeat(50)))) added++;
    assert.ok(outbox.bytes <= 10_000);
  }
  assert.ok(added > 50);
  const entries = [];
  for (let entry; (entry = outbox.take());) entries.push(entry);
  assert.equal(entries.flatMap(({ messages }) => messages).length, added);
  assert.equal(entries.at(-1)!.kind, "lost");
  assert.equal(entries.at(-1)!.sequence, channel.lastSequence);
  for (const entry of entries) outbox.confirm(entry);
  assert.ok(outbox.isEmpty);
  assert.equal(outbox.bytes, 0);
});

Deno.test("Outbox.rewind() sends confirmed entries behind an unconfirmed one again", () => {
  const outbox = new Outbox(1_000_000);
  const channel = { key: "a", lastSequence: 0 };
  const send = (): Entry => {
    outbox.add(channel, text("x"));
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
  const outbox = new Outbox(0);
  for (let i = 0; i < 20_000; i++) {
    outbox.add({ key: `${i}`, lastSequence: 0 }, text(""));
  }
  let notices = 0;
  let last;
  for (let entry; (entry = outbox.take()); last = entry) {
    if (entry.kind === "lost") notices++;
  }
  assert.equal(notices, 10_001);
  assert.equal(last!.key, everyNode);
});
