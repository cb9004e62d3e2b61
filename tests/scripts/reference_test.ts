import assert from "node:assert/strict";
import { madeFiles } from "../../scripts/reference.ts";
import { ConfigProblemsError, parseConfig } from "../../src/settings/config.ts";
import { renderExample, renderReference } from "../../scripts/settings_text.ts";
import { allSettings, settings } from "../../src/settings/table.ts";

const root = new URL("../../", import.meta.url);

/** Gets the text of the one block in docs/configuration.md that contains `part`. */
async function block(part: string): Promise<string> {
  const page = await Deno.readTextFile(new URL("docs/configuration.md", root));
  const blocks = [...page.matchAll(/^```\w*\n(.*?)^```$/gms)]
    .map(([, text]) => text!)
    .filter((text) => text.includes(part));
  assert.equal(blocks.length, 1);
  return blocks[0]!;
}

Deno.test("staps.conf.example and the reference are those of the table", async () => {
  for (const [path, text] of await madeFiles(root)) {
    assert.equal(
      await Deno.readTextFile(new URL(path, root)),
      text,
      `${path} is out of date: run deno task reference`,
    );
  }
});

Deno.test("renderExample() parses as it is, to the defaults", () => {
  const { config, origins } = parseConfig(renderExample(), "example");
  assert.deepEqual(config, parseConfig("", "x").config);
  assert.equal(origins.size, 0);
});

Deno.test("renderExample() parses with every # before a setting removed, to the defaults", () => {
  const text = renderExample().replace(/^#(\w+ =)/gm, "$1");
  const { config, origins } = parseConfig(text, "example");
  assert.deepEqual(config, parseConfig("", "x").config);
  const set = allSettings.filter((setting) => setting.default !== undefined);
  // An empty list is written as nothing, and so is not set.
  assert.equal(origins.size, set.length - 1);
  for (const { key } of allSettings) {
    assert.match(text, new RegExp(`^${key} =`, "m"));
  }
});

Deno.test("renderExample() sets what it is asked to set", () => {
  const text = renderExample({ set: { "admin.socket": "/run/staps/admin" } });
  const { config, origins } = parseConfig(text, "example");
  assert.equal(config.admin.socket, "/run/staps/admin");
  assert.equal(origins.size, 1);
  assert.throws(() => renderExample({ set: { "admin.x": "1" } }), RangeError);
});

Deno.test("renderExample() fits a terminal", () => {
  for (const line of renderExample().split("\n")) {
    assert.ok(line.length <= 80, line);
  }
});

Deno.test("renderReference() has a row for every setting", () => {
  const rows = renderReference().match(/^\| `/gm);
  assert.equal(rows?.length, allSettings.length);
});

Deno.test("settings are documented in whole sentences", () => {
  for (const { doc } of [...Object.values(settings), ...allSettings]) {
    assert.match(doc, /^[`A-Z].*[.)]$/);
    assert.equal(doc.split("`").length % 2, 1, `A backtick is alone: ${doc}`);
  }
});

Deno.test("docs/configuration.md begins with a file that works", async () => {
  const { config } = parseConfig(await block("[limits]"), "x");
  assert.equal(config.limits.clients, 5000);
});

Deno.test("docs/configuration.md shows errors as they are", async () => {
  const expected = await block("staps: error:");
  try {
    parseConfig("\n[staps]\nmode = 09\nsokcet = /x", "/etc/staps/staps.conf");
    assert.fail("Accepted");
  } catch (error) {
    assert.ok(error instanceof ConfigProblemsError);
    const lines = error.message.split("\n").map((line) => `error: ${line}`);
    assert.deepEqual(
      [...lines, `hint: ${error.hint}`].map((line) => `staps: ${line}\n`)
        .join(""),
      expected,
    );
  }
});
