/** The matrix's command line and cells. What it does to brokers is in tests/e2e/broker_loss_test.ts in short. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { repository, runProgram } from "../helpers/process.ts";
import { cells, nameOf, scenes, select } from "./cells.ts";

/** Runs the task with `args`. */
async function matrix(
  ...args: string[]
): Promise<{ code: number; stdout: string }> {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(`${repository}/deno.json`),
  );
  const [, ...command] = tasks.matrix.command.split(" ");
  return await runProgram(Deno.execPath(), [...command, ...args], {
    cwd: repository,
  });
}

Deno.test("deno task matrix lists what the page's commands take", async () => {
  const lines = (await block("docs/reliability.md", "matrix")).trim().split(
    "\n",
  );
  for (const line of lines) {
    assert.match(line, /^npx --yes deno@2\.9\.6 task matrix( |$)/);
    const only = /--only "([^"]+)"/.exec(line)?.[1];
    const wanted = only === undefined ? [] : ["--only", only];
    const { code, stdout } = await matrix(...wanted, "--list");
    assert.equal(code, 0, stdout);
    assert.deepEqual(
      stdout.split("\n").slice(0, select(only?.split(",") ?? []).length),
      select(only?.split(",") ?? []).map(nameOf),
    );
  }
});

Deno.test("deno task matrix says what is wrong on its command line", async () => {
  for (const args of [["--only", "5.0"], ["--deliveries", "many"], ["--all"]]) {
    const { code, stdout } = await matrix(...args);
    assert.equal(code, 2);
    assert.match(stdout, /^matrix: /);
  }
});

Deno.test("cells have names of their own, and scenes have each cell once", () => {
  assert.equal(cells.length, 7 * 2 * 2 * 2);
  assert.equal(new Set(cells.map(nameOf)).size, cells.length);
  assert.deepEqual(
    scenes(cells).flat().map(nameOf).sort(),
    cells.map(nameOf).sort(),
  );
  assert.ok(scenes(cells).every((scene) => scene.length === 2));
});
