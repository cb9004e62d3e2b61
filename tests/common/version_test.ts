import assert from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import { version } from "../../src/common/version.ts";

Deno.test("version is that of deno.json", () => {
  assert.equal(version, config.version);
});
