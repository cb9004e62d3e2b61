import assert from "node:assert/strict";
import { FairShare } from "../../src/listener/fair_share.ts";

/** Works for longer than busy connections may at a time. */
function work(): void {
  const endMs = performance.now() + 5;
  while (performance.now() < endMs);
}

Deno.test("FairShare.run() works at once while nobody else does", () => {
  const share = new FairShare();
  let isDone = false;
  share.run(() => isDone = true);
  assert.ok(isDone);
});

Deno.test("FairShare.run() keeps the order, and lets a timer through after its time", async () => {
  const share = new FairShare();
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(() => order.push("timer"), 0);
  share.run(() => {
    order.push("first");
    work();
  });
  share.run(() => {
    order.push("second");
    work();
  });
  share.run(() => {
    order.push("third");
    resolve();
  });
  await promise;
  assert.deepEqual(order, ["first", "timer", "second", "third"]);
});

Deno.test("FairShare.run() counts what work leads to in microtasks", async () => {
  const share = new FairShare();
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(() => order.push("timer"), 0);
  share.run(() => queueMicrotask(work));
  share.run(() => {
    order.push("second");
    resolve();
  });
  await promise;
  assert.deepEqual(order, ["timer", "second"]);
});
