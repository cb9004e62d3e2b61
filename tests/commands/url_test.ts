import assert from "node:assert/strict";
import { freshUrl, url } from "../../src/commands/url.ts";
import { UsageError } from "../../src/common/errors.ts";
import { commandContext } from "../helpers/command_line.ts";

const uuid4 =
  /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

Deno.test("freshUrl() puts a UUID4 after the base", () => {
  const bases = {
    "ws://localhost/": "ws://localhost/",
    "wss://example.org": "wss://example.org/",
    "example.org": "wss://example.org/",
    "example.org:8443/chat": "wss://example.org:8443/chat/",
    "https://example.org/a//": "wss://example.org/a/",
    "http://[::1]:80": "ws://[::1]/",
    "WS://EXAMPLE.org": "ws://example.org/",
  };
  for (const [base, expected] of Object.entries(bases)) {
    assert.equal(freshUrl(base).replace(uuid4, ""), expected);
  }
});

Deno.test("freshUrl() refuses what no path can follow", () => {
  const bases = ["", "ftp://h", "ws://", "ws://h/?a=b", "ws://h/#a"];
  for (const base of [...bases, "ws://u@h/", "a b"]) {
    assert.throws(() => freshUrl(base), UsageError, base);
  }
});

Deno.test("url.run() prints a new URL on a line each time", async () => {
  const printed = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const context = commandContext();
    assert.equal(await url.run({ base: "example.org" }, context), 0);
    const [line, ...others] = context.printed.split("\n");
    assert.equal(line!.replace(uuid4, ""), "wss://example.org/");
    assert.deepEqual(others, [""]);
    printed.add(line!);
  }
  assert.equal(printed.size, 100);
});
