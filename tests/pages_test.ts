/** The pages' small claims: commands exist, tables say what the code says. */
import assert from "node:assert/strict";
import denoJson from "../deno.json" with { type: "json" };
import { limitTable } from "../src/relay/limits.ts";
import { allSettings } from "../src/settings/table.ts";
import { docFiles } from "../scripts/deb_docs.ts";
import { block, readPage, readPages } from "./helpers/docs.ts";
import { repository, runProgram } from "../tools/process.ts";

/** The version of Deno that everything here is for. */
const denoVersion = "2.9.6";

/** Gets the tasks that a block runs, and checks that they can be run so. */
function tasksIn(code: string): string[] {
  return code.trimEnd().split("\n").map((line) => {
    const match = line.match(/^npx --yes deno@([\d.]+) task ([a-z]+)/);
    assert.ok(match, `Expected a task, got ${line}`);
    const [, version, task = ""] = match;
    assert.equal(version, denoVersion);
    assert.ok(
      Object.hasOwn(denoJson.tasks, task),
      `There is no task "${task}"`,
    );
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
  for (const file of ["README.md", "CONTRIBUTING.md", "docs/architecture.md"]) {
    const { text } = await readPage(file);
    for (const [, version] of text.matchAll(/deno@(\d[\d.]*\d)/g)) {
      assert.equal(version, denoVersion, file);
    }
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
  assert.equal(denoJson.license, "BSD-3-Clause");
  const [, packaged] = copyright.split("\nLicense: BSD-3-Clause\n Redis");
  assert.equal(words(`Redis${packaged}`), words(terms));
  assert.match(
    copyright,
    /^Files: \*\nCopyright: \d+ The staps authors\nLicense: BSD-3-Clause$/m,
  );
  const { text } = await readPage("README.md");
  assert.match(text, /^\[BSD-3-Clause\]\(LICENSE\)/m);
});

Deno.test("packaging/README.Debian says what docs/deploy.md and docs/scale.md say", async () => {
  const text = await Deno.readTextFile(
    `${repository}/packaging/README.Debian`,
  );
  const commands = Array.from(
    text.matchAll(/(?:^ {4}.*\n)+/gm),
    ([code]) => code.replaceAll(/^ {4}/gm, ""),
  );
  assert.deepEqual(commands, [
    await block("docs/deploy.md", "frontend"),
    await block("docs/deploy.md", "reload"),
    await block("docs/scale.md", "instances"),
  ]);
});

Deno.test("docs/deploy.md's archive has all that the package brings of the repository", async () => {
  const [, ...pack] = (await block("docs/deploy.md", "compile")).split("\n");
  // All but the program, which isn't made here.
  const command = pack.join("\n").replace("dist/staps.tar dist/staps ", "- ");
  const { stdout, stderr, code } = await runProgram("sh", [
    ...["-ec", `${command.trimEnd()} | tar -t`],
  ], { cwd: repository });
  assert.equal(code, 0, stderr);
  const archive = new Set(stdout.split("\n"));
  const docs = (await docFiles()).map(({ name }) =>
    name.replace(/^examples\//, "")
  );
  const deb = await Deno.readTextFile(`${repository}/scripts/deb.ts`);
  const copied = Array.from(
    deb.matchAll(
      /"([\w@/.]+\.service|packaging\/(?:sysusers|tmpfiles)\.conf)"/g,
    ),
    ([, name]) => name!,
  );
  assert.ok(copied.length >= 4 && docs.length > 20);
  const missing = [...copied, ...docs, "LICENSE", "staps.conf.example"]
    .filter((name) => !archive.has(name));
  assert.deepEqual(missing, []);
});

/** What an ordinary user of a machine may not do. */
const rootsCommands =
  /\b(systemctl (?!status)|apt |dpkg |adduser|usermod|useradd|rabbitmqctl|install -D)|[ >] ?\/etc\//;

Deno.test("pages say of what takes root that it does", async () => {
  const pages = await readPages();
  const silent = pages.filter(({ text, blocks }) =>
    blocks.some(({ language, code }) =>
      ["sh", "console"].includes(language) && rootsCommands.test(code)
    ) && !/\broot\b/.test(text)
  );
  assert.deepEqual(silent.map(({ path }) => path), []);
});

Deno.test("CONTRIBUTING.md names tests that exist for all that trips people up", async () => {
  const { text } = await readPage("CONTRIBUTING.md");
  const [, section] = text.split("\n## What trips people up\n");
  const rows = section!.split("\n## ")[0]!
    .matchAll(/`(tests\/\w[^`]*?)(?:: ([^`]*))?`/g);
  let count = 0;
  for (const [, file, name = ""] of rows) {
    const source = await Deno.readTextFile(`${repository}/${file}`);
    assert.ok(source.includes(name), `${file}: ${name}`);
    count++;
  }
  assert.ok(count > 20);
});
