/** The soak in a tiny form, so that it can't rot. Says nothing about memory. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { repository, runProgram } from "../../tools/process.ts";
import { stepsTogether } from "../helpers/steps.ts";
import { isFlat } from "./report.ts";
import { soak } from "./run.ts";

Deno.test("deno task soak", (t) =>
  stepsTogether(t, {
    "runs, finds everything well, and says so": async () => {
      const task = (await block("docs/reliability.md", "soak")).trim();
      assert.equal(task, "npx --yes deno@2.9.6 task soak");
      const file = await Deno.readTextFile(`${repository}/deno.json`);
      const [, ...args] = JSON.parse(file).tasks.soak.command.split(" ");
      const { code, stdout, stderr } = await runProgram(
        Deno.execPath(),
        [...args, ..."--minutes 0.15 --joins 40 --seed 1".split(" ")],
        { cwd: repository, timeoutMs: 120_000 },
      );
      assert.equal(code, 0, stdout + stderr);
      assert.match(
        stdout,
        /\| all clients \| promises broken.* \| 0 \| 0 \| flat \|/,
      );
      assert.doesNotMatch(stdout, /not flat/);
    },

    "ends early when it is told to, with what it found": async () => {
      const interrupted = new AbortController();
      const result = await soak({
        minutes: 20,
        seed: 2,
        joinsPerSecond: 20,
        signal: interrupted.signal,
        onQuiet: () => setTimeout(() => interrupted.abort(), 1_000),
      });
      assert.ok(isFlat(result), JSON.stringify(result.findings));
      assert.ok(result.seconds < 10 * 60);
      assert.ok(result.counts.deliveries > 0);
    },
  }));
