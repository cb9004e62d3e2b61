import assert from "node:assert/strict";
import { allSettings, settings } from "../../src/settings/table.ts";

Deno.test("settings are documented in whole sentences", () => {
  for (const { doc } of [...Object.values(settings), ...allSettings]) {
    assert.match(doc, /^[`A-Z].*[.)]$/);
    assert.equal(doc.split("`").length % 2, 1, `A backtick is alone: ${doc}`);
  }
});
