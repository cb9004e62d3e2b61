import assert from "node:assert/strict";
import {
  mayWrite,
  noteRead,
  type Writer,
} from "../../src/listener/write_pace.ts";

function newWriter(
  writeNow: () => void,
  { nextBytes = 5, round = 0, spent = 0 } = {},
): Writer {
  return { writeNow, nextBytes, round, spent };
}

/** Writers that always have something to write, of `bytes`; each write goes into `order` as `name`. */
function newFlood(
  order: string[],
  { count, name, bytes }: { count: number; name: string; bytes: number },
): { isOver: boolean } {
  const flood = { isOver: false };
  for (let i = 0; i < count; i++) {
    const writer = newWriter(() => {
      order.push(name);
      // The write is done; there is more to write.
      queueMicrotask(() => {
        if (!flood.isOver && mayWrite(writer)) writer.writeNow();
      });
    }, { nextBytes: bytes });
    mayWrite(writer);
  }
  return flood;
}

/** Asks for `count` writes at once. Gets how many may begin, and the numbers of those that begin later. */
function ask(count: number): { begun: number; later: number[] } {
  const later: number[] = [];
  let begun = 0;
  for (let i = 0; i < count; i++) {
    if (mayWrite(newWriter(() => later.push(i)))) begun++;
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
  const flood = newFlood(order, { count: 300, name: "busy", bytes: 5 });
  while (order.length < 1500) await nextTurn();
  const quiet = newWriter(() => order.push("quiet"));
  assert.equal(mayWrite(quiet), false);
  const before = order.length;
  await nextTurn();
  assert.equal(order[before], "quiet");
  // Who goes on at once is as busy as the others.
  assert.equal(mayWrite(quiet), false);
  await nextTurn();
  assert.equal(order.indexOf("quiet", before + 1), -1);
  flood.isOver = true;
  while (order.indexOf("quiet", before + 1) < 0) await nextTurn();
});

Deno.test("mayWrite() lets the busy go on, however many come who were quiet", async () => {
  noteRead();
  ask(64);
  let wrote = 0;
  const busy = newWriter(() => wrote++, {
    round: Infinity,
    spent: Infinity,
  });
  mayWrite(busy);
  ask(200);
  await nextTurn();
  assert.equal(wrote, 1);
  for (let i = 0; i < 10; i++) await nextTurn();
});

Deno.test("mayWrite() lets few large writes begin in a turn", async () => {
  noteRead();
  let wrote = 0;
  const writers = Array.from(
    { length: 20 },
    () => newWriter(() => wrote++, { nextBytes: 64 * 1024 }),
  );
  assert.equal(writers.filter((writer) => mayWrite(writer)).length, 4);
  await nextTurn();
  // Not all of a turn is for those that were quiet.
  assert.equal(wrote, 3);
  while (wrote < 16) await nextTurn();
  noteRead();
});

Deno.test("mayWrite() lets those who write little, and often, before those who write much", async () => {
  noteRead();
  const order: string[] = [];
  const flood = newFlood(order, {
    count: 100,
    name: "much",
    bytes: 64 * 1024,
  });
  while (order.length < 500) await nextTurn();
  const little = newWriter(() => order.push("little"));
  // Several in each round.
  for (let i = 0; i < 50; i++) {
    assert.equal(mayWrite(little), false);
    const before = order.length;
    await nextTurn();
    assert.equal(order[before], "little", `message ${i}`);
  }
  flood.isOver = true;
  for (let i = 0; i < 100; i++) await nextTurn();
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
