import assert from "node:assert/strict";
import { refuseOrigin } from "../../src/relay/origin.ts";
import { request } from "../helpers/http.ts";
import { handshakeBytes, RawClient } from "../../tools/raw_client.ts";
import { startServer } from "../helpers/server.ts";

function isRefused(
  origin: string | undefined,
  { host = "example.org", origins = [] as string[] } = {},
): boolean {
  const headers = new Headers({ host });
  if (origin !== undefined) headers.set("origin", origin);
  return refuseOrigin(headers, origins)?.status === 403;
}

Deno.test("refuseOrigin() takes requests of no page, and of pages of the same host and port", () => {
  const cases = [
    [undefined, "example.org"],
    ["https://example.org", "example.org"],
    ["https://example.org", "EXAMPLE.org:443"],
    ["http://example.org", "example.org:80"],
    ["http://example.org:8080", "example.org:8080"],
    ["http://[::1]:8080", "[::1]:8080"],
    ["https://münchen.example", "xn--mnchen-3ya.example"],
  ] as const;
  for (const [origin, host] of cases) {
    assert.equal(isRefused(origin, { host }), false, `${origin} ${host}`);
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
  for (const origin of origins) assert.equal(isRefused(origin), true, origin);
  assert.equal(isRefused("https://example.org", { host: "" }), true);
});

Deno.test("refuseOrigin() takes the origins that are listed, or all of them", () => {
  const origins = ["https://app.example:8443"];
  assert.equal(isRefused("https://app.example:8443", { origins }), false);
  assert.equal(isRefused("https://app.example", { origins }), true);
  assert.equal(isRefused("http://app.example:8443", { origins }), true);
  assert.equal(isRefused("https://example.org", { origins }), false);
  for (const origin of ["https://evil.example", "null"]) {
    assert.equal(isRefused(origin, { origins: ["*"] }), false);
  }
});

Deno.test("refuseOrigin() refuses what pages of other sites ask for without a name, but for links", () => {
  const isRefusedFor = (site: string, mode: string, origins = ["none"]) =>
    refuseOrigin(
      new Headers({
        host: "example.org",
        "sec-fetch-site": site,
        "sec-fetch-mode": mode,
      }),
      origins,
    )?.status === 403;
  assert.equal(isRefusedFor("cross-site", "no-cors"), true);
  assert.equal(isRefusedFor("same-site", "no-cors"), true);
  assert.equal(isRefusedFor("cross-site", "no-cors", ["*"]), false);
  assert.equal(isRefusedFor("cross-site", "navigate"), false);
  assert.equal(isRefusedFor("same-origin", "no-cors"), false);
  assert.equal(isRefusedFor("none", "navigate"), false);
});

Deno.test("Server answers WebSockets and HTTP requests of other sites' pages with 403", async () => {
  await using server = await startServer({
    http: { origins: ["https://app.example"] },
  });
  const get = (Origin: string): ReturnType<typeof request> =>
    request(server, { headers: { Origin } });
  const evil = await get("https://evil.example");
  assert.equal(evil.status, 403);
  assert.match(evil.text, /^Pages of other sites .*\n$/);
  assert.equal(evil.headers.get("access-control-allow-origin"), null);
  const app = await get("https://app.example");
  assert.equal(app.status, 200);
  assert.equal(
    app.headers.get("access-control-allow-origin"),
    "https://app.example",
  );
  const cases = [
    ["https://evil.example", 403],
    ["https://app.example", 101],
    ["http://localhost", 101],
  ] as const;
  for (const [origin, status] of cases) {
    using client = await RawClient.connect(server);
    await client.write(
      handshakeBytes({ path: "/x", headers: { Origin: origin } }),
    );
    assert.equal((await client.readResponse()).status, status);
  }
  assert.equal(server.server.metrics.refusals[403], 2);
});
