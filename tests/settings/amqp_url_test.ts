import assert from "node:assert/strict";
import type { BrokerUrl } from "../../src/amqp/connect.ts";
import { parseAmqpUrl } from "../../src/settings/amqp_url.ts";
import { fc } from "../helpers/property.ts";

const plain: BrokerUrl = {
  tls: false,
  user: "guest",
  password: "guest",
  hostname: "h",
  port: 5672,
  vhost: "/",
};

const urls: Readonly<Record<string, Partial<BrokerUrl>>> = {
  "amqp://h": {},
  "AMQP://h/": {},
  "amqps://h": { tls: true, port: 5671 },
  "amqp://10.0.0.1:1234/v": { hostname: "10.0.0.1", port: 1234, vhost: "v" },
  "amqp://[2001:db8::1]:1/": { hostname: "2001:db8::1", port: 1 },
  "amqp://[::1]": { hostname: "::1" },
  "amqp://h/%2f": { vhost: "/" },
  "amqp://h/%2Fa%40b": { vhost: "/a@b" },
  "amqp://staps:@h/": { user: "staps", password: "" },
  "amqp://a@h": { user: "a", password: "" },
  "amqp://a:b@h": { user: "a", password: "b" },
  "amqp://a:p#q;r:s@t@h/": { user: "a", password: "p#q;r:s@t" },
  "amqp://a%3ab:%2f%3F%25@h/": { user: "a:b", password: "/?%" },
  "amqp://a:%C3%A4@h/": { user: "a", password: "\u00e4" },
};

Deno.test("parseAmqpUrl() takes URLs apart", () => {
  for (const [text, parts] of Object.entries(urls)) {
    assert.deepEqual(parseAmqpUrl(text), { ...plain, ...parts }, text);
  }
});

const refused: readonly [expected: RegExp, ...texts: string[]][] = [
  [/amqps:/, "http://h", "h:5672", "amqp:/h"],
  [/host/, "amqp://", "amqp:///v", "amqp://a:b@", "amqp://-x-/"],
  [/host/, `amqp://${"x.".repeat(200)}x/`],
  [/port/, "amqp://h:0", "amqp://h:65536", "amqp://h:x", "amqp://h:"],
  [/brackets/, "amqp://[::1", "amqp://[::g]", "amqp://[]"],
  [/brackets|port/, "amqp://::1/"],
  [/user:password/, "amqp://:b@h"],
  [/host:port/, "amqp://h/?heartbeat=5"],
  [/%2f/, "amqp://a:b/c@h", "amqp://h/v/w"],
  [/%20/, "amqp://a:b c@h"],
  [/%23/, "amqp://h/v#w"],
  [/%25/, "amqp://a:100%@h", "amqp://a:%ff@h", "amqp://h/%"],
  [/%40/, "amqp://h/v@w"],
];

Deno.test("parseAmqpUrl() tells what is wrong", () => {
  for (const [expected, ...texts] of refused) {
    for (const text of texts) {
      const problem = parseAmqpUrl(text);
      assert.ok("expected" in problem, `Accepted ${text}`);
      assert.match(problem.expected, expected, text);
    }
  }
});

Deno.test("parseAmqpUrl() undoes encodeURIComponent()", () => {
  // A password of lone surrogates can't be encoded at all.
  const text = fc.string({ unit: "grapheme" });
  const user = text.filter((text) => text !== "");
  fc.assert(fc.property(user, text, text, (user, password, vhost) => {
    const [a, b, c] = [user, password, vhost].map(encodeURIComponent);
    const expected = { ...plain, user, password, vhost: vhost || "/" };
    assert.deepEqual(parseAmqpUrl(`amqp://${a}:${b}@h/${c}`), expected);
  }));
});
