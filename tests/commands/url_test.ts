import assert from "node:assert/strict";
import { freshUrl, url } from "../../src/commands/url.ts";
import { UsageError } from "../../src/common/errors.ts";
import { commandContext } from "../helpers/command_line.ts";

const uuid4 =
  "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

Deno.test("freshUrl() puts a UUID4 after the base", () => {
  for (
    const [base, expected] of [
      ["ws://localhost/", "ws://localhost/"],
      ["wss://example.org", "wss://example.org/"],
      ["example.org", "wss://example.org/"],
      ["example.org:8443/chat", "wss://example.org:8443/chat/"],
      ["https://example.org/a//", "wss://example.org/a/"],
      ["http://[::1]:80", "ws://[::1]/"],
      ["WS://EXAMPLE.org", "ws://example.org/"],
    ] as const
  ) {
    const url = freshUrl(base);
    assert.equal(url.slice(0, -36), expected);
    assert.match(url.slice(-36), new RegExp(`^${uuid4}$`));
  }
});

Deno.test("freshUrl() never gives the same twice", () => {
  const urls = Array.from({ length: 1000 }, () => freshUrl("example.org"));
  assert.equal(new Set(urls).size, urls.length);
});

Deno.test("freshUrl() refuses what no path can follow", () => {
  for (
    const base of [
      "",
      "ftp://example.org",
      "ws://",
      "ws://h/?a=b",
      "ws://h/#a",
      "ws://user@h/",
      "a b",
    ]
  ) {
    assert.throws(() => freshUrl(base), UsageError, base);
  }
});

Deno.test("url.run() prints the URL on a line", async () => {
  const context = commandContext();
  assert.equal(await url.run({ base: "example.org" }, context), 0);
  assert.match(context.printed, new RegExp(`^wss://example.org/${uuid4}\n$`));
});
