import assert from "node:assert/strict";
import { figures } from "../../src/admin/figures.ts";

Deno.test("figures follow Prometheus's naming conventions", () => {
  // https://prometheus.io/docs/practices/naming/
  for (const { name, type, help } of figures) {
    assert.match(name, /^(staps|process)_[a-z]+(_[a-z]+)*$/);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    assert.doesNotMatch(name, /_(ms|milliseconds|kb|mb|percent)(_|$)/);
    assert.doesNotMatch(help, /\.$/);
  }
});
