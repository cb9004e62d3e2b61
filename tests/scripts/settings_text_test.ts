import assert from "node:assert/strict";
import { renderExample, renderReference } from "../../scripts/settings_text.ts";
import { allSettings } from "../../src/settings/table.ts";
import { loadText } from "../helpers/config.ts";

Deno.test("renderExample() parses with every # before a setting removed, to the defaults", () => {
  const text = renderExample().replace(/^#(\w+ =)/gm, "$1");
  const { config, origins } = loadText(text);
  assert.deepEqual(config, loadText("").config);
  const set = allSettings.filter((setting) => setting.default !== undefined);
  // The empty lists, hosts and origins, are written as nothing, and so aren't set.
  assert.equal(origins.size, set.length - 2);
  for (const { key } of allSettings) {
    assert.match(text, new RegExp(`^${key} =`, "m"));
  }
});

Deno.test("renderExample() refuses to set what is no setting", () => {
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
