/**
 * Handshakes, right and wrong, and what is no handshake at all, byte by byte
 * against the real program (RFC 6455 section 4.2, RFC 9110). Every request is
 * sent twice, in one write and byte by byte. One of each kind is here:
 * `handshake_test.ts` and `tests/listener/request_head_test.ts` have all of them.
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
} from "../../tools/raw_client.ts";
import { lacking, listenerConfig } from "../helpers/listener.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { testUnless } from "../helpers/skip.ts";
import { converse } from "../../tools/ws_client.ts";

const shared = shareStaps({
  config: `${listenerConfig}[log]\nlevel = debug\n`,
});

function connect(): Promise<RawClient> {
  return RawClient.connect({ socket: shared.staps.socket });
}

/** How a request may come: in one write, and byte by byte. */
const ways = ["write", "writeSlowly"] as const;

/** Sends `bytes` and nothing more, and gets the answer, which gives away nothing of how the server is made; `undefined` if the connection ended instead. */
async function ask(
  bytes: Uint8Array,
  { way, toHead = false }: { way: typeof ways[number]; toHead?: boolean },
): Promise<Response | undefined> {
  using client = await connect();
  try {
    await client[way](bytes);
    // Where the server waits for more, it learns that nothing comes.
    await client.closeWrite();
  } catch (error) {
    // Enough was enough for the server; it may still have answered.
    const { BrokenPipe, NotConnected } = Deno.errors;
    const hasEnded = error instanceof BrokenPipe ||
      error instanceof NotConnected;
    if (!hasEnded) throw error;
  }
  try {
    const response = await client.readResponse({ toHead });
    const { head, body, status } = response;
    assert.notEqual(status, 500, head);
    assert.doesNotMatch(head + body, /\.ts|\.js|Error:|\n\s+at |deno/i);
    return response;
  } catch (error) {
    assert.match((error as Error).message, /got the end after/);
    return undefined;
  }
}

/** A handshake whose headers are these, beside those that it needs. */
function having(headers: HandshakeOptions["headers"]): HandshakeOptions {
  return { headers: headers! };
}

const plain = { Upgrade: undefined, Connection: undefined };
const upgrade = { "upgrade": "websocket", "sec-websocket-version": "13" };
const allow = { "allow": "GET, POST" };

type Answer = readonly [
  name: string,
  options: HandshakeOptions,
  status: number,
  headers?: Record<string, string>,
];

const answers: Answer[] = [
  ["a plain GET", having(plain), 426, upgrade],
  ["a plain HEAD", { method: "HEAD", headers: plain }, 405, allow],
  ["version 8", having({ "Sec-WebSocket-Version": "8" }), 426, upgrade],
  ["no Connection", having({ Connection: undefined }), 400],
  ["two keys", having({ "Sec-WebSocket-Key": [sampleKey, sampleKey] }), 400],
  ["a bad subprotocol", having({ "Sec-WebSocket-Protocol": "a b" }), 400],
  ["a body with a length", having({ "Content-Length": "5" }), 400],
  ["a body in chunks", having({ "Transfer-Encoding": "chunked" }), 400],
  ["a handshake by FOO", { method: "FOO" }, 405, allow],
  ["a handshake by POST", { method: "POST" }, 411],
  ["another Origin", having({ Origin: "https://example.org" }), 403],
];

/** What the own listener answers by itself; the runtime's has its own ways. */
const listenerAnswers: Answer[] = [
  // Nothing can be upgraded there (RFC 9110 section 7.8).
  ["a handshake in HTTP/1.0", { version: "HTTP/1.0" }, 426, upgrade],
  ["a body of 64 KiB and 1 byte", having({ "Content-Length": "65537" }), 413],
  ["a header of 2 MB", having({ "X-Long": "a".repeat(2_000_000) }), 431],
];

for (const each of [...answers, ...listenerAnswers]) {
  const [name, options, status, headers = {}] = each;
  const isOfListener = listenerAnswers.includes(each);
  testUnless(isOfListener ? lacking("heads") : undefined, {
    name: `${name} is answered with ${status}`,
    fn: async () => {
      const toHead = options.method === "HEAD";
      const bytes = handshakeBytes({ path: newPath(), ...options });
      for (const way of ways) {
        const response = (await ask(bytes, { way, toHead }))!;
        assert.equal(response.status, status, response.head);
        for (const [header, value] of Object.entries(headers)) {
          assert.equal(response.headers.get(header), value, header);
        }
      }
    },
  });
}

const accepted: Readonly<Record<string, HandshakeOptions["headers"]>> = {
  "names and tokens in capitals": {
    ...plain,
    CONNECTION: "UPGRADE",
    UPGRADE: "WEBSOCKET",
  },
  "two Connection headers, and spaces around the tokens": {
    Connection: ["keep-alive", "  ,\tUpgrade ,"],
    Upgrade: "  websocket\t",
  },
  "the Origin of its own host": { Origin: "http://localhost" },
  "compression offered, which isn't taken up": {
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
  },
  "an IPv6 Host with a port": { Host: "[::1]:8080" },
};

for (const [name, headers] of Object.entries(accepted)) {
  Deno.test(`a handshake is accepted with ${name}`, async () => {
    const path = newPath();
    const witness = await shared.clients.join(path);
    for (const way of ways) {
      using client = await connect();
      await client[way](handshakeBytes({ path, headers: headers! }));
      const response = await client.upgraded();
      const get = (header: string) => response.headers.get(header);
      assert.equal(get("upgrade")?.toLowerCase(), "websocket");
      assert.equal(get("connection")?.toLowerCase(), "upgrade");
      assert.equal(get("sec-websocket-protocol"), null);
      assert.equal(get("sec-websocket-extensions"), null);
      await client.send(opcodes.text, "hello");
      assert.equal(await witness.next(), "hello");
    }
  });
}

Deno.test("a client that insists on a subprotocol can connect, whatever the others of its channel use", async () => {
  const path = newPath();
  const a = await shared.clients.join(path, { protocols: ["one", "two"] });
  const b = await shared.clients.join(path, { protocols: ["three"] });
  const c = await shared.clients.join(path);
  const protocols = [a, b, c].map((client) => client.protocol);
  assert.deepEqual(protocols, ["one", "three", ""]);
  a.send("hello");
  assert.deepEqual([await b.next(), await c.next()], ["hello", "hello"]);
});

// Path is identity: by hand, as a client library would tidy the path up

const pathPairs = [
  ["?a=1", "?b=2", true],
  ["/x/../y", "/y", true],
  ["/a", "/A", false],
  ["", "/", false],
  ["/%41", "/A", false],
  ["//a", "/a", false],
] as const;
for (const [one, other, isSame] of pathPairs) {
  Deno.test(`PATH${one} and PATH${other} are ${isSame ? "one channel" : "two channels"}`, async () => {
    const path = newPath();
    const target = { socket: shared.staps.socket };
    using a = await RawClient.join(target, path + one);
    using b = await RawClient.join(target, path + other);
    await a.send(opcodes.text, "for those in my channel");
    await a.send(opcodes.ping, "1");
    assert.equal((await a.readFrame())?.opcode, opcodes.pong);
    await b.send(opcodes.ping, "2");
    const { opcode } = (await b.readFrame())!;
    assert.equal(opcode, isSame ? opcodes.text : opcodes.pong);
  });
}

// What no HTTP is, or hardly any

/** Gets a request of a single line. */
function line(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\r\n\r\n`);
}

const weird: Record<string, Uint8Array> = {
  "HTTP/1.0 for the front page": line("GET / HTTP/1.0"),
  "a POST in HTTP/1.0": line("POST /x HTTP/1.0"),
  "the HTTP/2 preface": concat([
    line("PRI * HTTP/2.0\r\n\r\nSM"),
    Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0),
    // A GOAWAY, so that the server ends it: we don't speak HTTP/2.
    Uint8Array.of(0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
  ]),
  "frames instead of a handshake": frameBytes(opcodes.text, "hello"),
  "a TLS hello": Uint8Array.of(22, 3, 1, 0, 5, 1, 0, 0, 1, 3, 13, 10, 13, 10),
  "zeros": new Uint8Array(1000),
  "empty lines": new TextEncoder().encode("\r\n".repeat(1000)),
};

Deno.test("what is no HTTP makes no server error, and nobody else notices", async (t) => {
  for (const [name, bytes] of Object.entries(weird)) {
    await t.step(name, async () => {
      for (const way of ways) await ask(bytes, { way });
    });
  }
});

testUnless(lacking("oneRequest"), {
  name:
    "a refusal ends its connection, whatever else the client has sent on it",
  fn: async () => {
    const path = newPath();
    const witness = await shared.clients.join(path);
    using client = await connect();
    await client.write(
      concat([
        handshakeBytes({ path, headers: plain }),
        handshakeBytes({ path }),
        frameBytes(opcodes.text, "smuggled"),
      ]),
    );
    const { status, headers } = await client.readResponse();
    assert.equal(status, 426);
    assert.equal(headers.get("connection"), "close");
    assert.deepEqual(await client.readToEnd(), []);
    await converse(witness, await shared.clients.join(path));
  },
});

Deno.test("clients that connect and say nothing, or half of something, are in nobody's way", async () => {
  const silent = await Promise.all(Array.from({ length: 50 }, connect));
  for (const [i, client] of silent.entries()) {
    await client.write(handshakeBytes({ path: newPath() }).subarray(0, i * 3));
  }
  for (const clients of [[], silent]) {
    for (const client of clients) client.close();
    const [a, b] = await shared.clients.joinMany(newPath(), 2);
    await converse(a!, b!);
  }
});

shared.testFarewell();
