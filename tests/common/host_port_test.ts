import assert from "node:assert/strict";
import { formatHostPort } from "../../src/common/host_port.ts";

Deno.test("formatHostPort() puts IPv6 addresses in brackets", () => {
  assert.equal(formatHostPort({ hostname: "h", port: 1 }), "h:1");
  assert.equal(formatHostPort({ hostname: "::1", port: 5672 }), "[::1]:5672");
  assert.equal(formatHostPort({ hostname: "::1" }), "[::1]");
});
