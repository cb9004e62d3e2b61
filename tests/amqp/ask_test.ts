import assert from "node:assert/strict";
import { Ask, moments, readAnswer, writeAnswer } from "../../src/amqp/ask.ts";
import { newMembership } from "../../src/amqp/membership.ts";

Deno.test("Ask takes the replies of 1,000 nodes, and no more", () => {
  const ask = new Ask(1, 0);
  const membership = newMembership("/a");
  ask.add(membership);
  for (let node = 0; node < 1_000; node++) {
    ask.echo(`${node}`, membership.key);
  }
  ask.echo("another", membership.key);
  assert.equal(ask.answer("another", 7), true);
  assert.equal(ask.isReached("another"), false);
  for (let node = 0; node < 1_000; node++) {
    assert.equal(ask.answer(`${node}`, node), node < 999);
  }
  assert.equal(ask.isReached("998"), true);
  // The highest number counts.
  assert.equal(ask.answer("another", 5), true);
  assert.deepEqual(["another", "999"].map((node) => ask.lastOf(node)), [7, 0]);
});

Deno.test("readAnswer() reads what writeAnswer() wrote, and nothing that is longer or no number", () => {
  const sent = Array.from({ length: moments.count }, (_, i) => 90 - i);
  const answer = { last: 100, ageMs: 5, sent };
  assert.deepEqual(readAnswer(writeAnswer(answer)), answer);
  const tooMany = writeAnswer({ ...answer, sent: [...sent, 0] });
  assert.equal(readAnswer(tooMany), undefined);
  for (const text of ["", "1", "1 x", "1 2 0.5"]) {
    assert.equal(readAnswer(new TextEncoder().encode(text)), undefined, text);
  }
});
