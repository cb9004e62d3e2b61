import assert from "node:assert/strict";
import type { Client } from "../../src/relay/client.ts";
import type { Message } from "../../src/relay/message.ts";
import { Turn } from "../../src/relay/turn.ts";
import { concat } from "../../tools/raw_client.ts";
import { type Content, contentsIn, text } from "../helpers/messages.ts";
import { fc } from "../helpers/property.ts";

/** A turn only tells clients apart. */
const members = ["a", "b", "c"] as unknown as Client[];
const [a, b] = members;

/** Sends `turn`, and gets the pieces that each member got. */
function send(turn: Turn): Uint8Array<ArrayBuffer>[][] {
  const got = new Map(
    members.map((each) => [each, [] as Uint8Array<ArrayBuffer>[]]),
  );
  turn.sendTo(
    new Set(members),
    (member, frames) => got.get(member)!.push(frames),
  );
  return [...got.values()];
}

/** Gets messages whose frames lie one behind the other, as those of one read do. */
function adjoining(...contents: string[]): Message[] {
  const messages = contents.map(text);
  const all = concat(messages.map(({ frame }) => frame));
  let end = 0;
  return messages.map((message) => {
    const start = end;
    end += message.frame.length;
    return { ...message, frame: all.subarray(start, end) };
  });
}

Deno.test("Turn.sendTo() sends everybody the same piece, whose parts it copies only if it must", () => {
  const turn = new Turn();
  const messages = adjoining("1", "2");
  for (const message of messages) turn.add(message, a);
  assert.equal(turn.bytes, 6);
  const [toA, [toB] = [], [toC] = []] = send(turn);
  assert.deepEqual(toA, []);
  assert.equal(toB!.buffer, messages[0]!.frame.buffer);
  assert.equal(toC, toB);
  assert.equal(turn.bytes, 0);
  turn.add(messages[1]!, a);
  turn.add(messages[0]!, a);
  const [, [copied] = []] = send(turn);
  assert.deepEqual(contentsIn(copied!), ["2", "1"]);
  assert.notEqual(copied!.buffer, messages[0]!.frame.buffer);
});

Deno.test("Turn.sendTo() sends those who published some of it the rest, from the buffer of all", () => {
  const turn = new Turn();
  for (const [content, from] of [["1", a], ["2", a], ["3", b], ["4", a]]) {
    turn.add(text(content as string), from as Client);
  }
  const [toA, toB, toC] = send(turn);
  assert.deepEqual(toA!.map(contentsIn), [["3"]]);
  assert.deepEqual(toB!.map(contentsIn), [["1", "2"], ["4"]]);
  assert.deepEqual(toC!.map(contentsIn), [["1", "2", "3", "4"]]);
  for (const piece of [...toA!, ...toB!]) {
    assert.equal(piece.buffer, toC![0]!.buffer);
  }
});

Deno.test("Turn.sendTo() gets every message to everybody but its publisher, in order", () => {
  const publisher = fc.constantFrom(undefined, ...members);
  fc.assert(fc.property(fc.array(publisher), (publishers) => {
    const turn = new Turn();
    const sent = publishers.map((from, i) => ({ from, content: `${i}` }));
    for (const { from, content } of sent) turn.add(text(content), from);
    const got = sent.length === 0 ? members.map(() => []) : send(turn);
    for (const [i, member] of members.entries()) {
      const expected: Content[] = sent
        .filter(({ from }) => from !== member)
        .map(({ content }) => content);
      assert.deepEqual(got[i]!.flatMap(contentsIn), expected);
    }
  }));
});

Deno.test("Turn.sendTo() takes what is added meanwhile for the next time", () => {
  const turn = new Turn();
  turn.add(text("1"), a);
  const got: Content[] = [];
  turn.sendTo(new Set(members), (_, frames) => {
    got.push(...contentsIn(frames));
    if (got.length === 1) turn.add(text("2"), undefined);
  });
  assert.deepEqual(got, ["1", "1"]);
  assert.deepEqual(send(turn).flat().flatMap(contentsIn), ["2", "2", "2"]);
});
