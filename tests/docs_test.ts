/**
 * Every page leads somewhere, and every block on it is run or read by a test.
 *
 * Blocks in these languages are read here: `ini` (a configuration of staps),
 * `nginx` (by nginx itself), `json` and `mermaid`. Every other one names the
 * test that covers it, see `helpers/docs.ts`.
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
import { TempFolder } from "../tools/folder.ts";
import { ensurePackages } from "../tools/packages.ts";
import { repository, runProgram } from "../tools/process.ts";

const pages = await readPages();

/** What is wrong with a block, as text; undefined for nothing. */
type Check = (block: Block) => string | undefined | Promise<string | undefined>;

const checks: Readonly<Record<string, Check>> = {
  ini: ({ code }) => complaint(() => loadText(code)),
  json: ({ code }) => complaint(() => JSON.parse(code)),
  mermaid: ({ code }) =>
    /^(flowchart|sequenceDiagram|stateDiagram-v2)\b/.test(code)
      ? undefined
      : "expected a kind of diagram in the first line",
  nginx: checkNginx,
};

for (const page of pages) {
  if (page.blocks.length === 0) continue;
  Deno.test(`${page.path} has no block that no test covers`, async () => {
    const problems = [];
    for (const block of page.blocks) {
      const problem = block.testFile === undefined
        ? await checks[block.language]?.(block)
        : await checkMark(page, block);
      const covered = block.testFile !== undefined || block.language in checks;
      if (problem !== undefined || !covered) {
        problems.push(
          `line ${block.line} (${block.language}): ${
            problem ??
              "expected a mark such as <!-- test: tests/x_test.ts#name -->"
          }`,
        );
      }
    }
    assert.deepEqual(problems, []);
  });
}

/** Looks whether the test that a block names takes the block from the page. */
async function checkMark(
  page: Page,
  { testFile, name }: Block,
): Promise<string | undefined> {
  let source;
  try {
    source = await Deno.readTextFile(`${repository}/${testFile}`);
  } catch {
    return `there is no ${testFile}`;
  }
  if (!/_test\.ts$/.test(testFile!)) return `${testFile} is no test`;
  if (!source.includes(page.path)) {
    return `${testFile} doesn't read ${page.path}`;
  }
  if (name !== undefined && !source.includes(`"${name}"`)) {
    return `${testFile} has no "${name}"`;
  }
  return undefined;
}

function complaint(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Lets nginx read the block, put into the context that its first directive
 * belongs to, with the files that it names replaced by ones that exist.
 */
async function checkNginx({ code }: Block): Promise<string | undefined> {
  await ensurePackages(["nginx"]);
  await using folder = await TempFolder.make();
  const certificate = `${folder.path}/cert.pem`;
  await runProgram("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ...["-nodes", "-subj", "/CN=localhost", "-keyout", certificate],
    ...["-out", `${folder.path}/certificate`],
  ]);
  await Deno.writeTextFile(
    certificate,
    await Deno.readTextFile(`${folder.path}/certificate`),
    { append: true },
  );
  let text = code.replaceAll(
    /^(\s*ssl_certificate(?:_key)?\s+)\S+;/gm,
    `$1${certificate};`,
  );
  const first = text.match(/^\s*([a-z_]+)/m)?.[1] ?? "";
  const serverContext =
    /^(location|listen|server_name|limit_conn|limit_req|proxy_\w+|access_log|error_log|ssl_\w+)$/;
  if (serverContext.test(first)) {
    text = `upstream staps { server unix:/run/staps/staps.sock; }
      map $http_upgrade $connection_upgrade { default upgrade; "" close; }
      limit_conn_zone $binary_remote_addr zone=staps_address:1m;
      server { ${text} }`;
  } else if (first === "server" && !/^\s*server\s*\{/m.test(text)) {
    text = `upstream block { ${text} }`;
  }
  const file = `${folder.path}/nginx.conf`;
  await Deno.writeTextFile(
    file,
    `pid ${folder.path}/pid; error_log stderr; events {} http { access_log off; ${text} }`,
  );
  const { code: status, stderr } = await runProgram("/usr/sbin/nginx", [
    ...["-t", "-q", "-p", folder.path, "-c", file],
  ]);
  return status === 0 ? undefined : stderr;
}

Deno.test("links between pages lead to files and headings that exist", async () => {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  const problems = [];
  for (const page of pages) {
    for (const { target, line } of page.links) {
      const resolved = resolveLink(page.path, target);
      if (resolved === undefined) {
        if (!target.startsWith("https://")) {
          problems.push(`${page.path} line ${line}: ${target} isn't https`);
        }
        continue;
      }
      const { path, anchor } = resolved;
      const exists = await Deno.stat(`${repository}/${path}`)
        .then(() => true, () => false);
      const anchors = byPath.get(path)?.anchors;
      if (!exists || anchor !== undefined && !anchors?.has(anchor)) {
        problems.push(`${page.path} line ${line}: ${target} leads nowhere`);
      }
    }
  }
  assert.deepEqual(problems, []);
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
const avoided = [
  /\bsimply\b/,
  /\beasily\b/,
  /\bseamless/,
  /\bblazing/,
  /\bpowerful\b/,
  /\bsubscribers?\b/,
  /\bchat rooms?\b/,
  /\bload balancers?\b/,
];

Deno.test("pages use our words, and none that only sound good", () => {
  const problems = pages.flatMap(({ path, text }) =>
    avoided.flatMap((word) => text.toLowerCase().match(word) ?? [])
      .map((word) => `${path}: ${word}`)
  );
  assert.deepEqual(problems, []);
});

Deno.test("parsePage() finds blocks with their marks, links and headings", () => {
  const { blocks, links, anchors } = parsePage(
    "x.md",
    [
      "# What `staps` is, in short",
      "See [a](b.md#c), `[no](link)` and",
      "[d]: ../e",
      "<!-- test: tests/x_test.ts#one -->",
      "",
      "```sh",
      "[no](link)",
      "```",
      "<!-- test: tests/x_test.ts -->",
      "no longer right before",
      "1. item",
      "   ````ts",
      "   ```",
      "     b",
      "   ````",
    ].join("\n"),
  );
  assert.deepEqual(blocks, [
    {
      language: "sh",
      code: "[no](link)\n",
      line: 6,
      testFile: "tests/x_test.ts",
      name: "one",
    },
    {
      language: "ts",
      code: "```\n  b\n",
      line: 12,
      testFile: undefined,
      name: undefined,
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
