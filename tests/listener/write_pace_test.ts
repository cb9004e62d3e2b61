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
    const writer: Writer = { writeNow: () => later.push(i), round: 0 };
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
  let before = 0;
  while (later.length < 136) {
    await nextTurn();
    assert.ok(later.length > before && later.length <= before + 64);
    before = later.length;
  }
  assert.deepEqual(later, Array.from({ length: 136 }, (_, i) => 64 + i));
});

Deno.test("mayWrite() lets those who were quiet write before those who are busy", async () => {
  noteRead();
  const order: string[] = [];
  let isFlooding = true;
  const busy = Array.from({ length: 300 }, () => {
    const writer: Writer = {
      round: 0,
      writeNow: () => {
        order.push("busy");
        // The write is done; there is more to write.
        queueMicrotask(() => {
          if (isFlooding && mayWrite(writer)) writer.writeNow();
        });
      },
    };
    return writer;
  });
  for (const writer of busy) mayWrite(writer);
  while (order.length < 1500) await nextTurn();
  const quiet: Writer = { writeNow: () => order.push("quiet"), round: 0 };
  assert.equal(mayWrite(quiet), false);
  const before = order.length;
  await nextTurn();
  assert.equal(order[before], "quiet");
  // Who goes on at once is as busy as the others.
  assert.equal(mayWrite(quiet), false);
  await nextTurn();
  assert.equal(order.indexOf("quiet", before + 1), -1);
  isFlooding = false;
  while (order.indexOf("quiet", before + 1) < 0) await nextTurn();
});

Deno.test("mayWrite() lets the busy go on, however many come who were quiet", async () => {
  noteRead();
  ask(64);
  let wrote = 0;
  const busy: Writer = { writeNow: () => wrote++, round: Infinity };
  mayWrite(busy);
  ask(200);
  await nextTurn();
  assert.equal(wrote, 1);
  for (let i = 0; i < 10; i++) await nextTurn();
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
