import assert from "node:assert/strict";
import { allSettings, settings } from "../../src/settings/table.ts";
import { loadText, valueOf } from "../helpers/config.ts";

Deno.test("settings have defaults that can be written and read", () => {
  for (const setting of allSettings) {
    if (setting.default === undefined) continue;
    const { section, key, type } = setting;
    const text = type.show(setting.default as NonNullable<unknown>);
    const { config } = loadText(`[${section}]\n${key} = ${text}\n`);
    assert.deepEqual(valueOf(config, setting), setting.default, key);
  }
});

Deno.test("settings are documented in whole sentences", () => {
  for (const { doc } of [...Object.values(settings), ...allSettings]) {
    assert.match(doc, /^[`A-Z].*[.)]$/);
    assert.equal(doc.split("`").length % 2, 1, `A backtick is alone: ${doc}`);
  }
});
