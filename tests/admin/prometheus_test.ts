import assert from "node:assert/strict";
import type { Reading } from "../../src/admin/figures.ts";
import { figureText } from "../../src/admin/prometheus.ts";
import { Histogram } from "../../src/common/histogram.ts";

const figure = { name: "a_b", type: "gauge", help: "What it is" } as const;

/** Gets the samples of a figure, without its heading. */
function samples(reading: Reading, label = "kind"): string[] {
  return figureText({ ...figure, label }, reading).split("\n").slice(2, -1);
}

Deno.test("figureText() has a heading, then the value, and is empty where there is none", () => {
  assert.equal(
    figureText({ ...figure, type: "counter" }, 7),
    "# HELP a_b What it is\n# TYPE a_b counter\na_b 7\n",
  );
  assert.equal(figureText(figure, undefined), "");
  assert.equal(figureText({ ...figure, label: "kind" }, {}), "");
});

Deno.test("figureText() has a sample for each value of the label, and for each bucket with the smaller ones", () => {
  assert.deepEqual(samples({ x: 1, y: 0 }), [
    'a_b{kind="x"} 1',
    'a_b{kind="y"} 0',
  ]);
  const histogram = new Histogram([0.5, 2]);
  for (const value of [0.25, 0.5, 1, 8]) histogram.observe(value);
  assert.deepEqual(samples(histogram), [
    'a_b_bucket{le="0.5"} 2',
    'a_b_bucket{le="2"} 3',
    'a_b_bucket{le="+Inf"} 4',
    "a_b_sum 9.75",
    "a_b_count 4",
  ]);
});

Deno.test("figureText() escapes what would end a line or a label", () => {
  const help = 'a "b" \\ c\nd';
  assert.ok(
    figureText({ ...figure, help }, 1).startsWith(
      '# HELP a_b a "b" \\\\ c\\nd\n# TYPE',
    ),
  );
  assert.deepEqual(samples({ [help]: 1 }), [
    'a_b{kind="a \\"b\\" \\\\ c\\nd"} 1',
  ]);
});

Deno.test("figureText() writes numbers as Prometheus reads them", () => {
  const numbers = [1e21, 1e-7, -0.5, Infinity, -Infinity, NaN];
  assert.equal(
    numbers.flatMap((number) => samples(number)).join(),
    "a_b 1e+21,a_b 1e-7,a_b -0.5,a_b +Inf,a_b -Inf,a_b NaN",
  );
});
