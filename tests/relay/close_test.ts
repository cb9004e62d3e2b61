import assert from "node:assert/strict";
import { closes, restart } from "../../src/relay/close.ts";

Deno.test("closes fit into a close frame and are what servers may send", () => {
  for (const { code, reason } of Object.values(closes)) {
    assert.ok(new TextEncoder().encode(reason).length <= 123);
    const mayBeSent = [1001, 1002, 1007, 1008, 1009, 1011].includes(code);
    assert.ok(mayBeSent || code >= 4000 && code < 5000, `${code}`);
  }
});

Deno.test("restart() tells when to come back", () => {
  assert.deepEqual(restart(1234.5), {
    code: 1001,
    reason: "service restart, retry=1235",
  });
});

Deno.test("docs/protocol.md lists every close that staps sends, and no other", async () => {
  const page = await Deno.readTextFile(
    new URL("../../docs/protocol.md", import.meta.url),
  );
  const rows = page.matchAll(/^\| (\d{4}) +\| `([^`]+)` +\| `(\w+)` +\|/gm);
  const documented = Array.from(
    rows,
    ([, code, reason, name]) => [name, { code: Number(code), reason }],
  );
  assert.deepEqual(Object.fromEntries(documented), closes);
});
