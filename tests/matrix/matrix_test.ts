/** The matrix's command line, cells and judgement. What it does to brokers is in tests/e2e/broker_loss_test.ts in short. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { cells, nameOf, scenes, select } from "./cells.ts";
import { main } from "./main.ts";
import { faultsOf } from "./report.ts";
import type { Result } from "./run.ts";

async function matrix(...args: string[]): Promise<[number, string]> {
  let output = "";
  const code = await main(args, (text) => output += text);
  return [code, output];
}

Deno.test("deno task matrix lists what the page's commands take", async () => {
  const page = await block("docs/reliability.md", "matrix");
  for (const line of page.trim().split("\n")) {
    assert.match(line, /^npx --yes deno@2\.9\.6 task matrix( |$)/);
    const only = /--only "([^"]+)"/.exec(line)?.[1];
    const wanted = only === undefined ? [] : ["--only", only];
    const [code, output] = await matrix(...wanted, "--list");
    assert.equal(code, 0, output);
    const expected = select(only?.split(",") ?? []).map(nameOf).join("\n");
    assert.ok(output.startsWith(`${expected}\nrolling-restart: `), output);
  }
});

Deno.test("deno task matrix says what is wrong on its command line", async () => {
  for (const args of [["--only", "5.0"], ["--deliveries", "many"], ["--all"]]) {
    const [code, output] = await matrix(...args);
    assert.equal(code, 2);
    assert.match(output, /^matrix: /);
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

Deno.test("faultsOf() names what isn't as promised", () => {
  const good: Result["verdict"] = {
    ...{
      messages: 9,
      deliveries: 9,
      lost: 0,
      untold: 0,
      losses: [],
      wrong: 0,
      refused: 0,
    },
    ...{ closed: {}, closedInVain: 0, closedWrongly: 0, silenceMs: 0 },
  };
  const judge = (
    words: string,
    verdict: Partial<Result["verdict"]> = {},
    backMs = 0,
  ): string[] => {
    const [cell] = select([words]);
    const what = { cell: cell!, clients: 9, logs: {}, backMs };
    return faultsOf({ ...what, verdict: { ...good, ...verdict } });
  };
  for (const type of ["quorum", "classic"]) {
    assert.deepEqual(judge(type), []);
    assert.deepEqual(judge(type, { lost: 1 }), ["1 lost"]);
    assert.match(judge(type, { wrong: 1 })[0]!, /^1 twice/);
    assert.deepEqual(judge(type, { closed: { 1006: 2 } }), ["closed: 1006: 2"]);
    assert.match(judge(type, { closedWrongly: 3 })[0]!, /^3 closed though/);
    assert.deepEqual(judge(type, {}, 11_000), ["back after 11.0 s"]);
  }
  const closed = { 4001: 2 };
  assert.deepEqual(judge("quorum", { closed }), ["closed: 4001: 2"]);
  assert.deepEqual(judge("classic", { closed }), []);
  assert.equal(judge("quorum", { silenceMs: 11_000 }).length, 1);
});
