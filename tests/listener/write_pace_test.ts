import assert from "node:assert/strict";
import {
  mayWrite,
  noteRead,
  type Writer,
} from "../../src/listener/write_pace.ts";

/** Asks for `count` writes at once. Gets how many may begin, and the numbers of those that begin later. */
function ask(count: number): { begun: number; later: number[] } {
  const later: number[] = [];
  let begun = 0;
  for (let i = 0; i < count; i++) {
    const writer: Writer = { writeNow: () => later.push(i) };
    if (mayWrite(writer)) begun++;
  }
  return { begun, later };
}

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => setImmediate(resolve));

Deno.test("mayWrite() lets 64 writes begin in each turn, in the order in which they asked", async () => {
  noteRead();
  const { begun, later } = ask(200);
  assert.equal(begun, 64);
  assert.deepEqual(later, []);
  for (const count of [64, 128, 136]) {
    await nextTurn();
    assert.deepEqual(later, Array.from({ length: count }, (_, i) => 64 + i));
  }
});

Deno.test("mayWrite() lets nobody overtake those who wait", async () => {
  noteRead();
  const first = ask(65);
  noteRead();
  const second = ask(1);
  assert.equal(second.begun, 0);
  await nextTurn();
  assert.deepEqual([first.later, second.later], [[64], [0]]);
});

Deno.test("noteRead() begins another turn", () => {
  noteRead();
  assert.equal(ask(64).begun, 64);
  noteRead();
  assert.equal(ask(64).begun, 64);
  noteRead();
});
