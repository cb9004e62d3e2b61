/** A short run of the fuzzer, the same in every run of the tests; `deno task fuzz` has long ones. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { repository, runProgram } from "../../tools/process.ts";
import { inputOf, runTarget } from "./run.ts";
import { shown } from "./smaller.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets.ts";

const seed = 20_260_101;

for (const target of targets) {
  Deno.test(`fuzz ${target.name}: no input does harm: ${target.about}`, async () => {
    const { finding, inputs } = await runTarget(target, {
      seed,
      count: target.quickCount,
    });
    assert.ok(!finding, finding);
    assert.equal(inputs, target.quickCount);
  });
}

Deno.test("runTarget() finds the input that does harm, makes it small, and tells how to try it again", async () => {
  const target: Target<string> = {
    ...{ name: "test", about: "", batch: 200, quickCount: 0 },
    make: (random) =>
      Array.from({ length: 50 }, () => random.pick([..."abcdefghijklmnop"]))
        .join(""),
    open: () => ({
      try: (text) => {
        if (/a.*p.*a.*p/.test(text)) throw new RangeError("too much");
      },
    }),
  };
  const { finding } = await runTarget(target, { seed: 1, count: 10_000 });
  const [, number] =
    /^Target test, seed 1: RangeError: too much\nInput: "apap"\nAgain: deno task fuzz --only test --seed 1 --case (\d+)$/
      .exec(finding!)!;
  const first = Number(number);
  const again = await runTarget(target, { seed: 1, first, count: 1 });
  assert.equal(again.finding, finding);
});

Deno.test("docs/reliability.md's command runs the fuzzer", async () => {
  const task = (await block("docs/reliability.md", "fuzz")).trim();
  assert.match(task, /^npx --yes deno@[\d.]+ task fuzz$/);
  const args = "task fuzz --only envelope --only batch --seed 7 --minutes 0.01";
  const { code, stdout, stderr } = await runProgram(
    Deno.execPath(),
    args.split(" "),
    { cwd: repository },
  );
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^seed 7\nenvelope +\d+ inputs in .*\nbatch /);
});

Deno.test("targets make the same input of the same seed, and others of others", () => {
  for (const target of targets) {
    const make = (number: number): string =>
      shown(inputOf(target, seed, number));
    const first = Array.from({ length: 50 }, (_, i) => make(i));
    assert.deepEqual(Array.from({ length: 50 }, (_, i) => make(i)), first);
    assert.ok(new Set(first).size > 25, target.name);
  }
});
