/** The matrix's command line and cells. What it does to brokers is in tests/e2e/broker_loss_test.ts in short. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { cells, nameOf, scenes, select } from "./cells.ts";
import { main } from "./main.ts";

async function matrix(
  ...args: string[]
): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const code = await main(args, (line) => lines.push(line));
  return { code, lines };
}

Deno.test("deno task matrix lists what the page's commands take", async () => {
  const page = await block("docs/reliability.md", "matrix");
  for (const line of page.trim().split("\n")) {
    assert.match(line, /^npx --yes deno@2\.9\.6 task matrix( |$)/);
    const only = /--only "([^"]+)"/.exec(line)?.[1];
    const wanted = only === undefined ? [] : ["--only", only];
    const { code, lines } = await matrix(...wanted, "--list");
    assert.equal(code, 0, lines.join("\n"));
    const expected = select(only?.split(",") ?? []).map(nameOf);
    assert.deepEqual(lines.slice(0, expected.length), expected);
  }
});

Deno.test("deno task matrix says what is wrong on its command line", async () => {
  for (const args of [["--only", "5.0"], ["--deliveries", "many"], ["--all"]]) {
    const { code, lines } = await matrix(...args);
    assert.equal(code, 2);
    assert.match(lines[0]!, /^matrix: /);
  }
});

Deno.test("cells have names of their own, and scenes have each cell once", () => {
  const [everything, khepri, tuned] = [7 * 2 * 2 * 2, 3 * 2, 3 * 2];
  assert.equal(cells.length, everything + khepri + tuned);
  assert.equal(new Set(cells.map(nameOf)).size, cells.length);
  assert.deepEqual(
    scenes(cells).flat().map(nameOf).sort(),
    cells.map(nameOf).sort(),
  );
});
