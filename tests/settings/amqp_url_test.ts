import assert from "node:assert/strict";
import type { BrokerUrl } from "../../src/amqp/connect.ts";
import { parseAmqpUrl } from "../../src/settings/amqp_url.ts";
import { fc } from "../helpers/property.ts";

const plain: BrokerUrl = {
  tls: false,
  user: "guest",
  password: "guest",
  hostname: "localhost",
  port: 5672,
  vhost: "/",
};

Deno.test("parseAmqpUrl() takes URLs apart", () => {
  const cases: Record<string, Partial<BrokerUrl>> = {
    "amqp://staps:@localhost/": { user: "staps", password: "" },
    "amqp://localhost": {},
    "AMQP://localhost": {},
    "amqp://a:b@h:1234/v": {
      user: "a",
      password: "b",
      hostname: "h",
      port: 1234,
      vhost: "v",
    },
    "amqp://a@localhost": { user: "a", password: "" },
    "amqps://localhost": { tls: true, port: 5671 },
    "amqp://localhost/%2f": { vhost: "/" },
    "amqp://localhost/%2Fa%40b": { vhost: "/a@b" },
    "amqp://[2001:db8::1]:1/": { hostname: "2001:db8::1", port: 1 },
    "amqp://[::1]": { hostname: "::1" },
    "amqp://10.0.0.1/": { hostname: "10.0.0.1" },
    "amqp://a:p#q;r:s@t@localhost/": { user: "a", password: "p#q;r:s@t" },
    "amqp://a%3ab:%2f%3F%25@localhost/": { user: "a:b", password: "/?%" },
    "amqp://a:%C3%A4@localhost/": { user: "a", password: "\u00e4" },
  };
  for (const [text, parts] of Object.entries(cases)) {
    assert.deepEqual(parseAmqpUrl(text), { ...plain, ...parts }, text);
  }
});

Deno.test("parseAmqpUrl() tells what is wrong", () => {
  const cases: Record<string, RegExp> = {
    "http://localhost": /amqps:/,
    "localhost:5672": /amqps:/,
    "amqp:/localhost": /amqps:/,
    "amqp://": /host/,
    "amqp:///v": /host/,
    "amqp://a:b@": /host/,
    "amqp://a:b@h:0": /port/,
    "amqp://a:b@h:65536": /port/,
    "amqp://a:b@h:x": /port/,
    "amqp://a:b@h:": /port/,
    "amqp://:b@h": /user:password/,
    "amqp://a:b/c@h": /%2f/,
    "amqp://h/v@w": /%40/,
    "amqp://a:b@h/v/w": /%2f/,
    "amqp://a:b@h/v#w": /%23/,
    "amqp://a:b@h/?heartbeat=5": /host:port/,
    "amqp://a:100%@h": /%25/,
    "amqp://a:%ff@h": /%25/,
    "amqp://a:b@h/%": /%25/,
    "amqp://a:b c@h": /%20/,
    "amqp://[::1": /brackets/,
    "amqp://[::g]": /brackets/,
    "amqp://[]": /brackets/,
    "amqp://::1/": /brackets|port/,
    "amqp://-x-/": /host/,
    [`amqp://${"x.".repeat(200)}x/`]: /host/,
  };
  for (const [text, expected] of Object.entries(cases)) {
    const problem = parseAmqpUrl(text);
    assert.ok("expected" in problem, `Accepted ${text}`);
    assert.match(problem.expected, expected, text);
  }
});

Deno.test("parseAmqpUrl() undoes encodeURIComponent()", () => {
  // A password of lone surrogates can't be encoded at all.
  const text = fc.string({ unit: "grapheme" });
  const user = text.filter((text) => text !== "");
  fc.assert(fc.property(user, text, text, (user, password, vhost) => {
    const url = [user, password, vhost].map(encodeURIComponent);
    assert.deepEqual(parseAmqpUrl(`amqp://${url[0]}:${url[1]}@h/${url[2]}`), {
      ...plain,
      user,
      password,
      hostname: "h",
      vhost: vhost || "/",
    });
  }));
});
