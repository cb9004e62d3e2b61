import assert from "node:assert/strict";
import {
  channelPath,
  readHandshake,
  readPath,
  type Refusal,
} from "../../src/relay/handshake.ts";
import { fc } from "../helpers/property.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const good = {
  Host: "example.org",
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Key": key,
  "Sec-WebSocket-Version": "13",
};

/** Reads a good handshake with some changes; a header set to null is left out. */
function read(
  headers: Record<string, string | null> = {},
  { method = "GET", url = "http+unix://h/a" } = {},
): ReturnType<typeof readHandshake> {
  const entries = Object.entries({ ...good, ...headers });
  return readHandshake({
    method,
    url,
    headers: new Headers(
      entries.filter((entry): entry is [string, string] => entry[1] !== null),
    ),
  });
}

Deno.test("readHandshake() accepts a handshake in any letter case, and takes the first subprotocol offered", () => {
  const accepted = [
    {},
    { Upgrade: "WebSocket" },
    { Connection: "keep-alive, UPGRADE" },
    { Connection: "upgrade ,foo", Upgrade: "h2c, websocket" },
    { "Sec-WebSocket-Extensions": "permessage-deflate" },
    { "Content-Length": "0" },
  ];
  for (const headers of accepted) {
    assert.deepEqual(read(headers), { path: "/a", protocol: undefined });
  }
  for (const offered of ["a", "a, b", "a,b", " a ,b"]) {
    const result = read({ "Sec-WebSocket-Protocol": offered });
    assert.deepEqual(result, { path: "/a", protocol: "a" });
  }
});

Deno.test("readHandshake() refuses what RFC 6455 doesn't allow, with the right status", () => {
  const cases: [number, Record<string, string | null>][] = [
    [426, { Upgrade: null }],
    [426, { Upgrade: "h2c" }],
    [426, { Upgrade: "websocketx" }],
    [400, { Connection: null }],
    [400, { Connection: "keep-alive" }],
    [426, { "Sec-WebSocket-Version": null }],
    [426, { "Sec-WebSocket-Version": "8" }],
    [426, { "Sec-WebSocket-Version": "13, 8" }],
    [400, { "Sec-WebSocket-Key": null }],
    [400, { "Sec-WebSocket-Key": "" }],
    [400, { "Sec-WebSocket-Key": "c2hvcnQ=" }],
    [400, { "Sec-WebSocket-Key": `${key}, ${key}` }],
    [400, { "Sec-WebSocket-Protocol": "" }],
    [400, { "Sec-WebSocket-Protocol": "a b" }],
    [400, { Host: "example.org/evil" }],
    [400, { "Content-Length": "5" }],
    [400, { "Transfer-Encoding": "chunked" }],
  ];
  // It tells what to upgrade to (RFC 9110 section 15.5.22).
  const upgrade = { "Upgrade": "websocket", "Sec-WebSocket-Version": "13" };
  for (const [expected, headers] of cases) {
    const result = read(headers) as Refusal;
    assert.equal(result.status, expected, JSON.stringify(headers));
    assert.deepEqual(result.headers, expected === 426 ? upgrade : {});
  }
  assert.equal((read({}, { method: "POST" }) as Refusal).status, 405);
});

Deno.test("readHandshake() answers any headers with a handshake or a refusal, which never quotes the path", () => {
  const value = fc.oneof(
    fc.constantFrom(...Object.values(good), ""),
    fc.stringMatching(/^[\x21-\x7e]*$/),
  );
  const headers = fc.dictionary(
    fc.constantFrom(...Object.keys(good), "Sec-WebSocket-Protocol"),
    value,
  );
  fc.assert(fc.property(headers, fc.uuid(), (headers, uuid) => {
    const result = read(headers, { url: `http+unix://h/${uuid}` });
    if ("status" in result) {
      assert.ok([400, 405, 426].includes(result.status));
      assert.ok(!JSON.stringify(result).includes(uuid));
    } else assert.equal(result.path, `/${uuid}`);
  }));
});

Deno.test("channelPath() is the path up to the question mark, on each listener the same", () => {
  const cases: [string, string][] = [
    ["", "/"],
    ["/", "/"],
    ["?a=/b", "/"],
    ["/a", "/a"],
    ["/a/", "/a/"],
    ["/a?b#c", "/a"],
    ["//a//b", "//a//b"],
    ["/A", "/A"],
    ["/%41", "/%41"],
    ["/a/../b", "/b"],
    ["/a/%2e%2E/b", "/b"],
    ["/a b", "/a%20b"],
  ];
  for (const [target, path] of cases) {
    for (
      const origin of ["http+unix://h", "http://127.0.0.1:80", "http+unix://"]
    ) {
      assert.equal(channelPath(origin + target), path, origin + target);
    }
  }
});

Deno.test("readPath() refuses a Host that reaches into the path", () => {
  const url = "http+unix://h/a";
  const read = (host: string): unknown =>
    readPath({ url, headers: new Headers({ host }) });
  assert.equal(read("example.org:80"), "/a");
  for (const host of ["h/x", "h?x", "h#x", "h\\x", "u@h", "a b"]) {
    assert.equal((read(host) as { status: number }).status, 400, host);
  }
});

Deno.test("channelPath() gets some path for any target, and the same one again from it", () => {
  const pieces = "/ / a A %41 %2e%2E .. . %2f é 😀 ; : @ = & + ~ | \\ ' {"
    .split(" ");
  const text = fc.array(fc.constantFrom(...pieces, " ")).map((all) =>
    all.join("")
  );
  fc.assert(fc.property(text, text, (path, query) => {
    const once = channelPath(`http+unix://h/${path}?${query}`);
    assert.ok(once?.startsWith("/"));
    assert.equal(channelPath(`http://other:1${once}`), once);
  }));
});
