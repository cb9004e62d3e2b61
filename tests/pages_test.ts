/** The pages' small claims: commands exist, tables say what the code says. */
import assert from "node:assert/strict";
import { limitTable } from "../src/relay/limits.ts";
import { allSettings } from "../src/settings/table.ts";
import { block, readPage } from "./helpers/docs.ts";
import { repository, runProgram } from "./helpers/process.ts";

/** The version of Deno that everything here is for. */
const denoVersion = "2.9.6";

const { license, tasks }: {
  license: string;
  tasks: Record<string, unknown>;
} = JSON.parse(
  await Deno.readTextFile(`${repository}/deno.json`),
);

/** Gets the tasks that a block runs, and checks that they can be run so. */
function tasksIn(code: string): string[] {
  return code.trimEnd().split("\n").map((line) => {
    const match = line.match(/^npx --yes deno@([\d.]+) task ([a-z]+)/);
    assert.ok(match, `Expected a task, got ${line}`);
    const [, version, task = ""] = match;
    assert.equal(version, denoVersion);
    assert.ok(Object.hasOwn(tasks, task), `There is no task "${task}"`);
    return task;
  });
}

Deno.test("CONTRIBUTING.md's commands are tasks, and test takes a part of a path", async () => {
  assert.deepEqual(tasksIn(await block("CONTRIBUTING.md", "tasks")), [
    "dev",
    "test",
  ]);
  const quick = await block("CONTRIBUTING.md", "quick");
  assert.deepEqual(tasksIn(quick), ["ok", "test"]);
  const part = quick.match(/task test (\w+)/)![1]!;
  const { code, stdout } = await runProgram(Deno.execPath(), [
    ...["run", "--allow-all", `${repository}/tests/run.ts`, part],
  ], { env: { NO_COLOR: "1" } });
  assert.match(stdout, /\n[1-9]\d* passed, 0 failed\n$/);
  assert.equal(code, 0);
});

Deno.test("the pinned version of Deno is the same on every page", async () => {
  const files = ["README.md", "CONTRIBUTING.md", "docs/architecture.md"];
  for (const file of files) {
    const { text } = await readPage(file);
    const versions = Array.from(
      text.matchAll(/deno@(\d[\d.]*\d)/g),
      ([, v]) => v,
    );
    assert.deepEqual(
      [...new Set(versions)].filter((v) => v !== denoVersion),
      [],
    );
  }
});

Deno.test("docs/protocol.md's table of limits has the settings' names and defaults", async () => {
  const { text } = await readPage("docs/protocol.md");
  const table = text.slice(text.indexOf("\n## Limits\n")).split("\n## ")[1]!;
  const rows = Array.from(
    table.matchAll(/^\| `(\w+)` +\| (\d+) +\|/gm),
    ([, key, value]) => [key!, Number(value)] as const,
  );
  const limits = allSettings.filter(({ section }) => section === "limits");
  for (const [key, value] of rows) {
    assert.equal(
      limits.find((limit) => limit.key === key)?.default,
      value,
      key,
    );
  }
  // Those that refuse, close or brake; the others are times.
  const others = /_s$|_ms$/;
  assert.deepEqual(
    rows.map(([key]) => key).sort(),
    limits.map(({ key }) => key)
      .filter((key) => key in limitTable || !others.test(key)).sort(),
  );
});

Deno.test("docs/protocol.md's table of statuses has those that staps answers with", async () => {
  const { text } = await readPage("docs/protocol.md");
  const documented = new Set(
    Array.from(text.matchAll(/^\| ([1-5]\d\d) +\|/gm), ([, status]) => status),
  );
  const sources = ["handshake", "server"].map((name) =>
    Deno.readTextFileSync(`${repository}/src/relay/${name}.ts`)
  );
  const sent = Array.from(
    sources.join().matchAll(/(?:status: |refusal\(\s*)(\d{3})\b/g),
    ([, status]) => status,
  );
  assert.ok(sent.length > 5);
  assert.deepEqual(sent.filter((status) => !documented.has(status)), []);
});

Deno.test("LICENSE, deno.json and the package's copyright file give the same licence", async () => {
  const words = (text: string): string =>
    // A blank line of a copyright file is a dot (Debian policy 5.6.13).
    text.replaceAll(/^ \.$/gm, "").replaceAll(/\s+/g, " ").trim();
  const read = (name: string): Promise<string> =>
    Deno.readTextFile(`${repository}/${name}`);
  const terms = (await read("LICENSE")).split(/\n\n(?=Redistribution )/)[1]!;
  const copyright = await read("packaging/copyright");
  assert.equal(license, "BSD-3-Clause");
  const [, packaged] = copyright.split("\nLicense: BSD-3-Clause\n Redis");
  assert.equal(words(`Redis${packaged}`), words(terms));
  assert.match(
    copyright,
    /^Files: \*\nCopyright: \d+ The staps authors\nLicense: BSD-3-Clause$/m,
  );
  const { text } = await readPage("README.md");
  assert.match(text, /^\[BSD-3-Clause\]\(LICENSE\)/m);
});
