import assert from "node:assert/strict";
import { refuseOrigin } from "../../src/relay/origin.ts";
import { request } from "../helpers/http.ts";
import { handshakeBytes, RawClient } from "../../tools/raw_client.ts";
import { startServer } from "../helpers/server.ts";

function isRefused(
  headers: Record<string, string>,
  origins: string[] = [],
): boolean {
  const all = new Headers({ host: "example.org", ...headers });
  return refuseOrigin(all, origins)?.status === 403;
}

Deno.test("refuseOrigin() takes requests of no page, and of pages of the same host and port", () => {
  assert.equal(isRefused({}), false);
  const cases = [
    ["https://example.org", "example.org"],
    ["https://example.org", "EXAMPLE.org:443"],
    ["http://example.org", "example.org:80"],
    ["http://example.org:8080", "example.org:8080"],
    ["http://[::1]:8080", "[::1]:8080"],
    ["https://münchen.example", "xn--mnchen-3ya.example"],
  ] as const;
  for (const [origin, host] of cases) {
    assert.equal(isRefused({ origin, host }), false, `${origin} ${host}`);
  }
});

Deno.test("refuseOrigin() refuses pages of other hosts and ports, and of none", () => {
  const origins = [
    "https://evil.example",
    "https://example.org:8443",
    "https://example.org.evil.example",
    "https://www.example.org",
    "http://example.org:443",
    "null",
    "",
    "example.org",
    "https://example.org, https://evil.example",
    "file://",
  ];
  for (const origin of origins) {
    assert.equal(isRefused({ origin }), true, origin);
  }
  assert.equal(isRefused({ origin: "https://example.org", host: "" }), true);
});

Deno.test("refuseOrigin() takes the origins that are listed, or all of them", () => {
  const cases = [
    ["https://app.example:8443", "https://app.example:8443", false],
    ["https://app.example:8443", "https://app.example", true],
    ["https://app.example:8443", "http://app.example:8443", true],
    ["https://app.example:8443", "https://example.org", false],
    ["*", "https://evil.example", false],
    ["*", "null", false],
  ] as const;
  for (const [listed, origin, expected] of cases) {
    assert.equal(isRefused({ origin }, [listed]), expected, origin);
  }
});

Deno.test("refuseOrigin() refuses what pages of other sites ask for without a name, but for links", () => {
  const cases = [
    ["cross-site", "no-cors", "none", true],
    ["same-site", "no-cors", "none", true],
    ["cross-site", "no-cors", "*", false],
    ["cross-site", "navigate", "none", false],
    ["same-origin", "no-cors", "none", false],
    ["none", "navigate", "none", false],
  ] as const;
  for (const [site, mode, listed, expected] of cases) {
    const headers = { "sec-fetch-site": site, "sec-fetch-mode": mode };
    assert.equal(isRefused(headers, [listed]), expected, `${site} ${mode}`);
  }
});

Deno.test("Server answers WebSockets and HTTP requests of other sites' pages with 403", async () => {
  await using server = await startServer({
    http: { origins: ["https://app.example"] },
  });
  const cases = [
    ["https://evil.example", 403, 403],
    ["https://app.example", 200, 101],
    ["http://localhost", 200, 101],
  ] as const;
  for (const [origin, status, handshakeStatus] of cases) {
    const headers = { Origin: origin };
    const answer = await request(server, { headers });
    assert.equal(answer.status, status);
    const allowed = answer.headers.get("access-control-allow-origin");
    assert.equal(allowed, status === 200 ? origin : null);
    if (status === 403) {
      assert.match(answer.text, /^Pages of other sites .*\n$/);
    }
    using client = await RawClient.connect(server);
    await client.write(handshakeBytes({ path: "/x", headers }));
    assert.equal((await client.readResponse()).status, handshakeStatus);
  }
  assert.equal(server.server.metrics.refusals[403], 2);
});
