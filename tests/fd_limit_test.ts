import assert from "node:assert/strict";
import { clientsFor, filesFor } from "../src/fd_limit.ts";

Deno.test("clientsFor() leaves room for more than clients", () => {
  assert.equal(clientsFor(Infinity), Infinity);
  assert.equal(clientsFor(65_536), 64_512);
  assert.equal(clientsFor(1024), 768);
});

Deno.test("filesFor() is enough for as many clients", () => {
  for (const clients of [1, 2, 3, 100, 768, 3071, 3072, 3073, 10_000, 1e6]) {
    assert.ok(clientsFor(filesFor(clients)) >= clients, `${clients} clients`);
    assert.ok(filesFor(clients) <= clients + 1024);
  }
});
