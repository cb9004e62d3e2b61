/**
 * Handshakes, right and wrong, and what is no handshake at all, byte by byte
 * against the real program (RFC 6455 section 4.2, RFC 9110). Every request is
 * sent twice, in one write and byte by byte.
 */
import assert from "node:assert/strict";
import {
  concat,
  frameBytes,
  handshakeBytes,
  type HandshakeOptions,
  opcodes,
  RawClient,
  type Response,
  sampleKey,
} from "../helpers/raw_client.ts";
import { lacking, listenerConfig } from "../helpers/listener.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { testUnless } from "../helpers/skip.ts";
import { converse } from "../helpers/ws_client.ts";

const shared = shareStaps({
  config: `${listenerConfig}[log]\nlevel = debug\n`,
});

/** How a request may come: in one write, and byte by byte. */
const ways = ["write", "writeSlowly"] as const;

/** Sends `bytes` and nothing more, and gets the answer, or `undefined` if the connection ended instead. */
async function ask(
  bytes: Uint8Array,
  { way, toHead = false }: { way: typeof ways[number]; toHead?: boolean },
): Promise<Response | undefined> {
  using client = await RawClient.connect({ socket: shared.staps.socket });
  try {
    await client[way](bytes);
    // Where the server waits for more, it learns that nothing comes.
    await client.closeWrite();
  } catch (error) {
    // Enough was enough for the server; it may still have answered.
    if (
      !(error instanceof Deno.errors.BrokenPipe ||
        error instanceof Deno.errors.NotConnected)
    ) throw error;
  }
  try {
    return await client.readResponse({ toHead });
  } catch (error) {
    assert.match((error as Error).message, /got the end after/);
    return undefined;
  }
}

/** Checks that `response` gives away nothing of how the server is made. */
function assertDiscreet(response: Response): void {
  assert.notEqual(response.status, 500, response.head);
  assert.doesNotMatch(
    response.head + response.body,
    /\.ts|\.js|Error:|\n\s+at |deno/i,
  );
}

type Answers = readonly [
  name: string,
  options: HandshakeOptions,
  status: number,
  headers?: Record<string, string>,
];

const upgradeRequired = {
  "upgrade": "websocket",
  "sec-websocket-version": "13",
};
const allow = { "allow": "GET, POST" };

const answers: Answers[] = [
  [
    "a plain GET",
    { headers: { Upgrade: undefined, Connection: undefined } },
    426,
    upgradeRequired,
  ],
  [
    "a plain GET with everything else",
    { headers: { Upgrade: undefined } },
    426,
    upgradeRequired,
  ],
  [
    "an upgrade to something else",
    { headers: { Upgrade: "h2c" } },
    426,
    upgradeRequired,
  ],
  ["an empty Upgrade", { headers: { Upgrade: "" } }, 426, upgradeRequired],
  [
    "no version",
    { headers: { "Sec-WebSocket-Version": undefined } },
    426,
    upgradeRequired,
  ],
  [
    "version 8",
    { headers: { "Sec-WebSocket-Version": "8" } },
    426,
    upgradeRequired,
  ],
  [
    "version 13x",
    { headers: { "Sec-WebSocket-Version": "13x" } },
    426,
    upgradeRequired,
  ],
  [
    "an empty version",
    { headers: { "Sec-WebSocket-Version": "" } },
    426,
    upgradeRequired,
  ],
  ["no key", { headers: { "Sec-WebSocket-Key": undefined } }, 400],
  ["an empty key", { headers: { "Sec-WebSocket-Key": "" } }, 400],
  ["a key of 15 bytes", {
    headers: { "Sec-WebSocket-Key": "QUFBQUFBQUFBQUFBQUFB" },
  }, 400],
  ["a key of 17 bytes", {
    headers: { "Sec-WebSocket-Key": "QUFBQUFBQUFBQUFBQUFBQUE=" },
  }, 400],
  ["a key without its padding", {
    headers: { "Sec-WebSocket-Key": sampleKey.slice(0, -2) },
  }, 400],
  ["a key that isn't base64", {
    headers: { "Sec-WebSocket-Key": "!".repeat(22) + "==" },
  }, 400],
  [
    "two keys",
    { headers: { "Sec-WebSocket-Key": [sampleKey, sampleKey] } },
    400,
  ],
  ["no Connection", { headers: { Connection: undefined } }, 400],
  ["Connection: keep-alive", { headers: { Connection: "keep-alive" } }, 400],
  ["Connection: Upgraded", { headers: { Connection: "Upgraded" } }, 400],
  ...["PUT", "DELETE", "PATCH", "OPTIONS", "FOO"].map((
    method,
  ): Answers => [
    `a handshake by ${method}`,
    { method },
    405,
    allow,
  ]),
  [
    "a POST without a body",
    { method: "POST", headers: { Upgrade: undefined, Connection: undefined } },
    411,
  ],
  ["a handshake by POST", { method: "POST" }, 411],
  [
    "a HEAD",
    { method: "HEAD", headers: { Upgrade: undefined, Connection: undefined } },
    405,
    allow,
  ],
  ["another Origin", { headers: { Origin: "https://example.org" } }, 403],
  ["a body with a length", { headers: { "Content-Length": "5" } }, 400],
  ["a body in chunks", { headers: { "Transfer-Encoding": "chunked" } }, 400],
];

/** What the listener answers by itself (RFC 9110 section 15, RFC 6585); the runtime's has its own ways. */
const listenerAnswers: Answers[] = [
  // Nothing can be upgraded there (RFC 9110 section 7.8).
  [
    "a handshake in HTTP/1.0",
    { version: "HTTP/1.0" },
    426,
    upgradeRequired,
  ],
  ["a body of 64 KiB and 1 byte", {
    headers: { "Content-Length": "65537" },
  }, 413],
  ["a URL of more than 8 KiB", { path: "/".padEnd(8193, "a") }, 414],
  ["an expectation of something else", { headers: { Expect: "magic" } }, 417],
  ["a header of 16 KiB", { headers: { "X-Long": "a".repeat(16384) } }, 431],
  ["a hundred more headers", { headers: flood(100) }, 431],
  // Known to no Request, let alone to a handler.
  ["CONNECT", { method: "CONNECT" }, 501],
  ["TRACE", { method: "TRACE" }, 501],
  ["a transfer coding other than chunked", {
    headers: { "Transfer-Encoding": "gzip" },
  }, 501],
  ["HTTP/2.0", { version: "HTTP/2.0" }, 505],
];

for (
  const [cases, reason] of [
    [answers, undefined],
    [listenerAnswers, lacking("heads")],
  ] as const
) {
  for (const [name, options, status, headers] of cases) {
    testUnless(reason, {
      name: `${name} is answered with ${status}`,
      fn: () => assertAnswer(options, { status, headers }),
    });
  }
}

async function assertAnswer(
  options: HandshakeOptions,
  { status, headers = {} }: {
    status: number;
    headers: Record<string, string> | undefined;
  },
): Promise<void> {
  const toHead = options.method === "HEAD";
  for (const way of ways) {
    const bytes = handshakeBytes({ path: newPath(), ...options });
    const response = await ask(bytes, { way, toHead });
    assert.ok(response);
    assert.equal(response.status, status, response.head);
    for (const [header, value] of Object.entries(headers)) {
      assert.equal(response.headers.get(header), value, header);
    }
    assertDiscreet(response);
  }
}

const accepted: [name: string, options: HandshakeOptions][] = [
  ["headers in lower case", {
    headers: {
      ...absent([
        "Host",
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
      ]),
      "host": "localhost",
      "connection": "upgrade",
      "upgrade": "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": sampleKey,
    },
  }],
  ["headers in capitals", {
    headers: {
      ...absent([
        "Host",
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
      ]),
      "HOST": "LOCALHOST",
      "CONNECTION": "UPGRADE",
      "UPGRADE": "WEBSOCKET",
      "SEC-WEBSOCKET-VERSION": "13",
      "SEC-WEBSOCKET-KEY": sampleKey,
    },
  }],
  ["Connection: keep-alive, Upgrade, as browsers send it", {
    headers: { Connection: "keep-alive, Upgrade" },
  }],
  ["two Connection headers", {
    headers: { Connection: ["keep-alive", "Upgrade"] },
  }],
  ["spaces around the tokens", {
    headers: { Connection: "  ,\tUpgrade ,", Upgrade: "  websocket\t" },
  }],
  ["the Origin of its own host", { headers: { Origin: "http://localhost" } }],
  ["compression offered, which isn't taken up", {
    headers: {
      "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    },
  }],
  ["a Host with a port", { headers: { Host: "example.org:8080" } }],
  ["an IPv6 Host", { headers: { Host: "[::1]:8080" } }],
];

function absent(names: readonly string[]): Record<string, undefined> {
  return Object.fromEntries(names.map((name) => [name, undefined]));
}

for (const [name, options] of accepted) {
  Deno.test(`a handshake is accepted with ${name}`, async () => {
    const path = newPath();
    const witness = await shared.clients.join(path);
    for (const way of ways) {
      using client = await rawConnect();
      await client[way](handshakeBytes({ path, ...options }));
      const { headers } = await client.upgraded();
      assert.equal(headers.get("upgrade")?.toLowerCase(), "websocket");
      assert.equal(headers.get("connection")?.toLowerCase(), "upgrade");
      assert.equal(headers.get("sec-websocket-protocol"), null);
      assert.equal(headers.get("sec-websocket-extensions"), null);
      await client.send(opcodes.text, "hello");
      assert.equal(await witness.next(), "hello");
    }
  });
}

// Subprotocols (RFC 6455 section 4.2.2): clients that offer some insist on one

const offers: [string | string[], string][] = [
  ["a", "a"],
  ["a, b", "a"],
  ["b,a", "b"],
  [["x", "y, z"], "x"],
  ["  spaced  ,b", "spaced"],
];
for (const [offered, chosen] of offers) {
  Deno.test(`of the subprotocols ${JSON.stringify(offered)}, "${chosen}" is accepted`, async () => {
    using client = await RawClient.connect({ socket: shared.staps.socket });
    await client.write(
      handshakeBytes({
        path: newPath(),
        headers: { "Sec-WebSocket-Protocol": offered },
      }),
    );
    assert.equal(
      (await client.upgraded()).headers.get("sec-websocket-protocol"),
      chosen,
    );
  });
}

Deno.test("a client that insists on a subprotocol can connect, whatever the others of its channel use", async () => {
  const path = newPath();
  const a = await shared.clients.join(path, { protocols: ["one", "two"] });
  const b = await shared.clients.join(path, { protocols: ["three"] });
  const c = await shared.clients.join(path);
  assert.deepEqual([a, b, c].map((client) => client.protocol), [
    "one",
    "three",
    "",
  ]);
  a.send("hello");
  assert.deepEqual([await b.next(), await c.next()], ["hello", "hello"]);
});

// Path is identity

const same: [string, string][] = [["?a=1", "?b=2"], ["", "?"], [
  "/x/../y",
  "/y",
]];
for (const [one, other] of same) {
  Deno.test(`PATH${one} and PATH${other} are one channel`, async () => {
    const path = newPath();
    await talk(path + one, path + other);
  });
}

const different: [string, string][] = [
  ["/a", "/A"],
  ["", "/"],
  ["/%41", "/A"],
  ["/a", "/a/b"],
  ["//a", "/a"],
];
for (const [one, other] of different) {
  Deno.test(`PATH${one} and PATH${other} are two channels`, async () => {
    const path = newPath();
    const a = await rawJoin(path + one);
    const b = await rawJoin(path + other);
    using _a = a, _b = b;
    await a.send(opcodes.text, "for those in my channel");
    await a.send(opcodes.ping, "1");
    assert.equal((await a.readFrame())?.opcode, opcodes.pong);
    await b.send(opcodes.ping, "2");
    assert.equal((await b.readFrame())?.opcode, opcodes.pong);
  });
}

async function talk(one: string, other: string): Promise<void> {
  using a = await rawJoin(one);
  using b = await rawJoin(other);
  for (const [from, to] of [[a, b], [b, a]] as const) {
    await from.send(opcodes.text, "hello");
    assert.equal(
      new TextDecoder().decode((await to.readFrame())?.payload),
      "hello",
    );
  }
}

/** Joins by hand: a client library would tidy the path up. */
function rawJoin(path: string): Promise<RawClient> {
  return RawClient.join({ socket: shared.staps.socket }, path);
}

// What no sane client sends: anything but a server error, or a loss for others

const ascii = (text: string): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(text);
const binary = (...values: number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(values);
const line = (text: string): Uint8Array<ArrayBuffer> =>
  ascii(text.replaceAll("\n", "\r\n"));

/** Gets `count` headers. */
function flood(count: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`X-${i}`, "x"]),
  );
}

const weird: Record<string, Uint8Array> = {
  ...Object.fromEntries(
    [
      "",
      " ",
      "a b",
      "[",
      "[::1",
      "%",
      "%zz",
      "a:99999",
      "a:b",
      "a/b",
      "a?b",
      "a@b",
      "..",
      "\xfc",
      "<>",
    ].map((host) => [
      `the Host ${JSON.stringify(host)}`,
      handshakeBytes({ headers: { Host: host } }),
    ]),
  ),
  "no Host": handshakeBytes({ headers: { Host: undefined } }),
  "two Hosts": handshakeBytes({ headers: { Host: ["a", "b"] } }),
  "an absolute URL": handshakeBytes({ path: "http://example.org/x" }),
  "an absolute URL of a strange scheme": handshakeBytes({
    path: "foo://example.org/x",
  }),
  "an authority as path": handshakeBytes({ path: "example.org:80" }),
  "CONNECT": handshakeBytes({ method: "CONNECT", path: "example.org:80" }),
  "an asterisk as path": handshakeBytes({ method: "OPTIONS", path: "*" }),
  "two slashes": handshakeBytes({ path: "//" }),
  "two slashes and a host": handshakeBytes({ path: "//example.org:x/y" }),
  "no path": line("GET  HTTP/1.1\nHost: a\n\n"),
  "a fragment in the path": handshakeBytes({ path: "/a#b" }),
  "bad percent signs in the path": handshakeBytes({ path: "/%/%zz/%00/%ff" }),
  "raw bytes in the path": concat([
    ascii("GET /"),
    binary(0xff, 0xfe),
    line(" HTTP/1.1\nHost: a\n\n"),
  ]),
  "a backslash and quotes in the path": handshakeBytes({ path: '/\\"<>{}|^`' }),
  "a URL of 70 KB": handshakeBytes({ path: "/" + "a".repeat(70_000) }),
  "a URL of 4 KB": handshakeBytes({ path: "/" + "a".repeat(4096) }),
  "a header of 100 KB": handshakeBytes({
    headers: { "X-Long": "a".repeat(100_000) },
  }),
  "a header of 2 MB": handshakeBytes({
    headers: { "X-Long": "a".repeat(2_000_000) },
  }),
  "90 more headers": handshakeBytes({ headers: flood(90) }),
  "2,000 headers": handshakeBytes({ headers: flood(2000) }),
  "a header without a colon": line("GET / HTTP/1.1\nHost: a\nnonsense\n\n"),
  "a header without a name": line("GET / HTTP/1.1\nHost: a\n: x\n\n"),
  "a header with a zero byte": line("GET / HTTP/1.1\nHost: a\nX: \0\n\n"),
  "a folded header": line("GET / HTTP/1.1\nHost: a\nX: 1\n 2\n\n"),
  "a header with raw bytes": concat([
    line("GET / HTTP/1.1\nHost: a\nX: "),
    binary(0xff),
    line("\n\n"),
  ]),
  "a negative length": line("GET / HTTP/1.1\nHost: a\nContent-Length: -1\n\n"),
  "two lengths": line(
    "GET / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2\n\n",
  ),
  "a length and chunks": line(
    "GET / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n0\n\n",
  ),
  "HTTP/1.0": line("GET / HTTP/1.0\n\n"),
  "HTTP/3.0": line("GET / HTTP/3.0\nHost: a\n\n"),
  "HTTP/0.9": line("GET /\n"),
  "the HTTP/2 preface": concat([
    line("PRI * HTTP/2.0\n\nSM\n\n"),
    binary(0, 0, 0, 4, 0, 0, 0, 0, 0),
    // A GOAWAY, so that the server ends it: we don't speak HTTP/2.
    binary(0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
  ]),
  "Expect: 100-continue": handshakeBytes({
    headers: { Expect: "100-continue" },
  }),
  "frames instead of a handshake": frameBytes(opcodes.text, "hello"),
  "a TLS hello": binary(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3, 13, 10, 13, 10),
  "zeros": new Uint8Array(1000),
  "empty lines": line("\n".repeat(1000)),
  "a bad subprotocol": handshakeBytes({
    headers: { "Sec-WebSocket-Protocol": "a b" },
  }),
  "an empty subprotocol": handshakeBytes({
    headers: { "Sec-WebSocket-Protocol": "" },
  }),
  "only commas as subprotocol": handshakeBytes({
    headers: { "Sec-WebSocket-Protocol": ", ," },
  }),
  "a subprotocol with raw bytes": concat([
    handshakeBytes().subarray(0, -2),
    ascii("Sec-WebSocket-Protocol: a"),
    binary(0xe9),
    ascii("\r\n\r\n"),
  ]),
  "a subprotocol with quotes": handshakeBytes({
    headers: { "Sec-WebSocket-Protocol": '"a"' },
  }),
  "a very long subprotocol": handshakeBytes({
    headers: { "Sec-WebSocket-Protocol": "a".repeat(9000) },
  }),
};

for (const [name, bytes] of Object.entries(weird)) {
  Deno.test(`${name}: no server error, and nobody else notices`, async () => {
    for (const way of ways) {
      const response = await ask(bytes, { way });
      if (response !== undefined) assertDiscreet(response);
    }
  });
}

testUnless(lacking("oneRequest"), {
  name:
    "a refusal ends its connection, whatever else the client has sent on it",
  fn: async () => {
    const path = newPath();
    const witness = await shared.clients.join(path);
    using client = await rawConnect();
    const plain = handshakeBytes({
      path,
      headers: { Upgrade: undefined, Connection: undefined },
    });
    await client.write(
      concat([
        plain,
        handshakeBytes({ path }),
        frameBytes(opcodes.text, "smuggled"),
      ]),
    );
    const response = await client.readResponse();
    assert.equal(response.status, 426);
    assert.equal(response.headers.get("connection"), "close");
    assert.deepEqual(await client.readToEnd(), []);
    const other = await shared.clients.join(path);
    await converse(witness, other);
  },
});

Deno.test("clients that connect and say nothing, or half of something, are in nobody's way", async () => {
  const silent = await Promise.all(Array.from({ length: 50 }, rawConnect));
  for (const [i, client] of silent.entries()) {
    await client.write(handshakeBytes({ path: newPath() }).subarray(0, i * 3));
  }
  const path = newPath();
  await converse(
    await shared.clients.join(path),
    await shared.clients.join(path),
  );
  for (const client of silent) client.close();
  await converse(
    await shared.clients.join(path),
    await shared.clients.join(path),
  );
});

function rawConnect(): Promise<RawClient> {
  return RawClient.connect({ socket: shared.staps.socket });
}

shared.testFarewell();
