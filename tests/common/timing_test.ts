import assert from "node:assert/strict";
import { sleep, within } from "../../src/common/timing.ts";

const never = new Promise<never>(() => {});

Deno.test("within() gets what comes in time, and leaves no timer behind", async () => {
  assert.equal(await within(Promise.resolve(7), 60_000), 7);
  const fault = new Error("broken");
  await assert.rejects(within(Promise.reject(fault), 60_000), fault);
});

Deno.test("within() gets what `late` returns or throws, or nothing, when it takes too long", async () => {
  assert.equal(await within(never, 1, () => "late"), "late");
  assert.equal(await within(never, 1), undefined);
  const late = (): never => {
    throw new RangeError("too late");
  };
  await assert.rejects(within(never, 1, late), RangeError);
});

Deno.test("within() ignores a rejection that comes too late", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  await within(promise, 1);
  reject(new Error("nobody waits any more"));
  await sleep(0);
});
