/**
 * Every page leads somewhere, and every block on it is run or read by a test.
 *
 * Blocks in these languages are read here: `ini` (a configuration of staps) and
 * `mermaid`. Every other one names the test that covers it, see
 * `helpers/docs.ts`.
 */
import assert from "node:assert/strict";
import { figures } from "../src/admin/figures.ts";
import { allSettings, findSetting } from "../src/settings/table.ts";
import { loadText } from "./helpers/config.ts";
import {
  type Block,
  type Page,
  parsePage,
  readPages,
  resolveLink,
} from "./helpers/docs.ts";
import { exists } from "../tools/folder.ts";
import { repository } from "../tools/process.ts";

const pages = await readPages();

for (const page of pages) {
  if (page.blocks.length === 0) continue;
  Deno.test(`${page.path} has no block that no test covers`, async () => {
    for (const block of page.blocks) {
      const what = `line ${block.line} (${block.language})`;
      if (block.testFile !== undefined) await checkMark(page, block);
      else if (block.language === "ini") {
        assert.doesNotThrow(() => loadText(block.code), what);
      } else {
        assert.equal(
          block.language,
          "mermaid",
          `${what}: expected a mark such as <!-- test: tests/x_test.ts#name -->`,
        );
        assert.match(
          block.code,
          /^(flowchart|sequenceDiagram|stateDiagram-v2)\b/,
          what,
        );
      }
    }
  });
}

/** Checks that the test which a block names takes the block from the page. */
async function checkMark(
  page: Page,
  { testFile, name, line }: Block,
): Promise<void> {
  const what = `line ${line}: ${testFile}`;
  assert.match(testFile!, /_test\.ts$/, what);
  const source = await Deno.readTextFile(`${repository}/${testFile}`);
  assert.ok(source.includes(page.path), `${what} doesn't read ${page.path}`);
  if (name === undefined) return;
  assert.ok(source.includes(`"${name}"`), `${what} has no "${name}"`);
}

Deno.test("links between pages lead to files and headings that exist", async () => {
  const anchorsOf = new Map(pages.map(({ path, anchors }) => [path, anchors]));
  for (const page of pages) {
    for (const { target, line } of page.links) {
      const where = `${page.path} line ${line}: ${target}`;
      const resolved = resolveLink(page.path, target);
      if (resolved === undefined) {
        assert.match(target, /^https:/, where);
        continue;
      }
      const { path, anchor } = resolved;
      assert.ok(await exists(`${repository}/${path}`), where);
      if (anchor === undefined) continue;
      assert.ok(anchorsOf.get(path)?.has(anchor), where);
    }
  }
});

Deno.test("docs/README.md leads to every page of the documentation", () => {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  const reached = new Set(["docs/README.md"]);
  for (const path of reached) {
    for (const { target } of byPath.get(path)?.links ?? []) {
      const next = resolveLink(path, target)?.path;
      if (next !== undefined && byPath.has(next)) reached.add(next);
    }
  }
  const missing = [...byPath.keys()].filter((path) => !reached.has(path));
  assert.deepEqual(missing, []);
});

Deno.test("pages name settings and metrics that there are", () => {
  const known = new Set([
    ...allSettings.map(({ key }) => key),
    ...figures.map(({ name }) => name),
  ]);
  const problems = [];
  for (const { path, text } of pages) {
    for (const [, section, key] of text.matchAll(/`\[(\w+)\] (\w+)/g)) {
      if (findSetting(section!, key!) === undefined) {
        problems.push(`${path}: [${section}] ${key}`);
      }
    }
    for (
      const [, key] of text.matchAll(/`([a-z]+_[a-z_]*(?:_s|_ms|bytes))`/g)
    ) {
      if (!known.has(key!)) problems.push(`${path}: ${key}`);
    }
  }
  assert.deepEqual(problems, []);
});

/** Words that say nothing, or that we have another one for. */
const avoided =
  /\b(simply|easily|seamless(ly)?|blazing|powerful|subscribers?|chat rooms?|load balancers?)\b/g;

Deno.test("pages use our words, and none that only sound good", () => {
  for (const { path, text } of pages) {
    assert.deepEqual(text.toLowerCase().match(avoided), null, path);
  }
});

Deno.test("parsePage() finds blocks with their marks, links and headings", () => {
  const { blocks, links, anchors } = parsePage(
    "x.md",
    `# What \`staps\` is, in short
See [a](b.md#c), \`[no](link)\` and
[d]: ../e
<!-- test: tests/x_test.ts#one -->

\`\`\`sh
[no](link)
\`\`\`
<!-- test: tests/x_test.ts -->
no longer right before
1. item
   \`\`\`\`ts
   \`\`\`
     b
   \`\`\`\`
`,
  );
  const [testFile, name] = ["tests/x_test.ts", "one"];
  assert.deepEqual(blocks, [
    { language: "sh", code: "[no](link)\n", line: 6, testFile, name },
    {
      ...{ language: "ts", code: "```\n  b\n", line: 12 },
      ...{ testFile: undefined, name: undefined },
    },
  ]);
  assert.deepEqual(links.map(({ target }) => target), ["b.md#c", "../e"]);
  assert.deepEqual([...anchors], ["what-staps-is-in-short"]);
});

Deno.test("parsePage() refuses blocks that can't carry a mark", () => {
  assert.throws(() => parsePage("x.md", "text\n\n    ls\n"), /x\.md line 3/);
  assert.throws(() => parsePage("x.md", "```sh\nls\n"), /has no end/);
  parsePage("x.md", "- item\n\n    of the item\n");
});

Deno.test("parsePage() takes a mark for one block only", () => {
  const mark = "<!-- test: tests/x_test.ts#one -->";
  const { blocks } = parsePage("x.md", `${mark}\n${"```sh\n```\n".repeat(2)}`);
  assert.deepEqual(blocks.map(({ name }) => name), ["one", undefined]);
});
