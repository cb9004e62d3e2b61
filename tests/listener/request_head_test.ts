import assert from "node:assert/strict";
import {
  type HeadRefusal,
  maxHeadBytes,
  maxHeaders,
  maxTargetBytes,
  type RequestHead,
  RequestHeadParser,
  type WholeHead,
} from "../../src/listener/request_head.ts";
import { concat } from "../helpers/raw_client.ts";

/** Gets the bytes of `text`: each character is one. A line feed stands for a whole line end, `␊` for a bare one. */
function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    text.replaceAll("\n", "\r\n").replaceAll("␊", "\n"),
    (character) => character.charCodeAt(0),
  );
}

/** Parses `pieces`, and gets what comes of the first piece that gives something. */
function parse(
  pieces: Iterable<Uint8Array>,
): WholeHead | HeadRefusal | undefined {
  const parser = new RequestHeadParser();
  const all = [...pieces];
  for (const [i, piece] of all.entries()) {
    const result = parser.push(piece);
    if (result === undefined) continue;
    if ("status" in result) return result;
    return { ...result, rest: concat([result.rest, ...all.slice(i + 1)]) };
  }
  return undefined;
}

/** Parses `input` whole, in two pieces at every position, and byte by byte: always the same comes of it. */
function parseInAllWays(
  input: Uint8Array,
): WholeHead | HeadRefusal | undefined {
  const expected = parse([input]);
  for (let at = 0; at <= input.length; at++) {
    assert.deepEqual(
      plain(parse([input.subarray(0, at), input.subarray(at)])),
      plain(expected),
      `split at ${at}`,
    );
  }
  const single = Array.from(input, (byte) => Uint8Array.of(byte));
  assert.deepEqual(plain(parse(single)), plain(expected), "byte by byte");
  return expected;
}

function plain(result: WholeHead | HeadRefusal | undefined): unknown {
  return result !== undefined && "head" in result
    ? { head: result.head, rest: [...result.rest] }
    : result;
}

function accepted(text: string): RequestHead {
  const result = parseInAllWays(bytes(text));
  assert.ok(result !== undefined && "head" in result, JSON.stringify(result));
  return result.head;
}

Deno.test("RequestHeadParser gets method, target, version, headers in their order, and what follows", () => {
  const result = parseInAllWays(
    bytes(
      "PATCH /a?b HTTP/1.1\nX-One:  1 \t\nHost: h\nx-one: \xe9\nEmpty:\n\nrest\n",
    ),
  );
  assert.ok(result !== undefined && "head" in result);
  assert.deepEqual(result.head, {
    method: "PATCH",
    target: "/a?b",
    url: "http://h/a?b",
    minorVersion: 1,
    headers: [["x-one", "1"], ["host", "h"], ["x-one", "\xe9"], ["empty", ""]],
    bodyLength: 0,
    expectsContinue: false,
  });
  assert.equal(new TextDecoder().decode(result.rest), "rest\r\n");
});

Deno.test("RequestHeadParser waits for more while the head isn't whole", () => {
  assert.equal(parseInAllWays(bytes("GET / HTTP/1.1\nHost: h\n")), undefined);
  assert.equal(parseInAllWays(bytes("")), undefined);
  assert.equal(parseInAllWays(bytes("\n")), undefined);
});

const host = "Host: h\n\n";

/** What a target becomes. */
const urls: readonly [target: string, url: string][] = [
  ["/", "http://h/"],
  ["//x/../y", "http://h//y"],
  ["/a/../b%2f?c|", "http://h/b%2f?c|"],
  ["http://other:80/x", "http://other/x"],
  ["HTTPS://Other", "https://other/"],
  ["/http://x", "http://h/http://x"],
];
for (const [target, url] of urls) {
  Deno.test(`RequestHeadParser gets the URL of the target ${target}`, () => {
    assert.equal(accepted(`GET ${target} HTTP/1.1\n${host}`).url, url);
  });
}

Deno.test("RequestHeadParser has a host for those who name none", () => {
  assert.equal(accepted("GET /x HTTP/1.0\n\n").url, "http://localhost/x");
  assert.equal(
    accepted("GET /x HTTP/1.1\nHost:\n\n").url,
    "http://localhost/x",
  );
  assert.equal(accepted("GET /x HTTP/1.0\nHost: a:1\n\n").url, "http://a:1/x");
});

Deno.test("RequestHeadParser gets the body's length, and whether a 100 is expected", () => {
  const post = "POST / HTTP/1.1\n";
  assert.equal(accepted(`${post}Content-Length: 017\n${host}`).bodyLength, 17);
  assert.equal(
    accepted(`${post}Transfer-Encoding: Chunked\n${host}`).bodyLength,
    "chunked",
  );
  const expect = "Content-Length: 1\nExpect: 100-Continue\n";
  assert.equal(accepted(`${post}${expect}${host}`).expectsContinue, true);
  assert.equal(
    accepted(`POST / HTTP/1.0\n${expect}${host}`).expectsContinue,
    false,
  );
  assert.equal(
    accepted(`${post}Expect: 100-continue\n${host}`).expectsContinue,
    false,
  );
});

/** What is refused, with the status; `tests/fuzz/heads.ts` compares them with the runtime's parser. */
const refusals: Readonly<Record<string, [status: number, text: string]>> = {
  "a folded header": [400, `GET / HTTP/1.1\nX: a\n b\n${host}`],
  "a first header with white space": [400, `GET / HTTP/1.1\n X: a\n${host}`],
  "a bare line feed": [400, "GET / HTTP/1.1␊Host: h␊␊"],
  "a bare line feed behind a header": [400, "GET / HTTP/1.1\nHost: h␊\n"],
  "a bare carriage return in a value": [
    400,
    `GET / HTTP/1.1\nX: a\rb\n${host}`,
  ],
  "a carriage return before the line end": [400, "GET / HTTP/1.1\r\n" + host],
  "NUL in a value": [400, `GET / HTTP/1.1\nX: a\0\n${host}`],
  "DEL in a value": [400, `GET / HTTP/1.1\nX: a\x7f\n${host}`],
  "white space before the colon": [400, `GET / HTTP/1.1\nX : a\n${host}`],
  "a header without a colon": [400, `GET / HTTP/1.1\nX\n${host}`],
  "a header without a name": [400, `GET / HTTP/1.1\n: a\n${host}`],
  "a header's name that is no token": [400, `GET / HTTP/1.1\nX(: a\n${host}`],
  "no Host": [400, "GET / HTTP/1.1\n\n"],
  "two Hosts": [400, `GET / HTTP/1.1\nHost: h\n${host}`],
  "two Hosts in HTTP/1.0": [400, `GET / HTTP/1.0\nHost: h\n${host}`],
  "a Host with a path": [400, "GET / HTTP/1.1\nHost: h/x\n\n"],
  "a Host with a user": [400, "GET / HTTP/1.1\nHost: u@h\n\n"],
  "a Host with a space": [400, "GET / HTTP/1.1\nHost: h x\n\n"],
  "a Host whose port is none": [400, "GET / HTTP/1.1\nHost: h:99999\n\n"],
  "a Host that isn't ASCII": [400, "GET / HTTP/1.1\nHost: \xe9\n\n"],
  "two equal lengths": [
    400,
    `GET / HTTP/1.1\nContent-Length: 0\nContent-Length: 0\n${host}`,
  ],
  "a list as length": [400, `GET / HTTP/1.1\nContent-Length: 0, 0\n${host}`],
  "a length with a sign": [400, `GET / HTTP/1.1\nContent-Length: +0\n${host}`],
  "an empty length": [400, `GET / HTTP/1.1\nContent-Length:\n${host}`],
  "a hexadecimal length": [400, `GET / HTTP/1.1\nContent-Length: 0x0\n${host}`],
  "a huge length": [
    400,
    `GET / HTTP/1.1\nContent-Length: 99999999999999999999\n${host}`,
  ],
  "a length and chunks": [
    400,
    `GET / HTTP/1.1\nContent-Length: 0\nTransfer-Encoding: chunked\n${host}0\n\n`,
  ],
  "chunks in HTTP/1.0": [
    400,
    `GET / HTTP/1.0\nTransfer-Encoding: chunked\n${host}0\n\n`,
  ],
  "another coding": [
    501,
    `GET / HTTP/1.1\nTransfer-Encoding: gzip\n${host}`,
  ],
  "another coding before chunked": [
    501,
    `GET / HTTP/1.1\nTransfer-Encoding: gzip, chunked\n${host}0\n\n`,
  ],
  "chunked twice": [
    501,
    `GET / HTTP/1.1\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n${host}0\n\n`,
  ],
  "another expectation": [417, `GET / HTTP/1.1\nExpect: x\n${host}`],
  "HTTP/2.0": [505, `GET / HTTP/2.0\n${host}`],
  "HTTP/1.2": [505, `GET / HTTP/1.2\n${host}`],
  "HTTP/0.9": [400, "GET /\n"],
  "HTTP/1": [400, `GET / HTTP/1\n${host}`],
  "http/1.1": [400, `GET / http/1.1\n${host}`],
  "something behind the version": [400, `GET / HTTP/1.1 \n${host}`],
  "two spaces": [400, `GET  / HTTP/1.1\n${host}`],
  "a space at the start": [400, ` GET / HTTP/1.1\n${host}`],
  "a space in the target": [400, `GET /a b HTTP/1.1\n${host}`],
  "a tab between method and target": [400, `GET\t/ HTTP/1.1\n${host}`],
  "a method that is no token": [400, `G(T / HTTP/1.1\n${host}`],
  "no target": [400, `GET  HTTP/1.1\n${host}`],
  "a target that isn't ASCII": [400, `GET /\xc3\xa9 HTTP/1.1\n${host}`],
  "a fragment": [400, `GET /a#b HTTP/1.1\n${host}`],
  "control characters in the target": [400, `GET /\x01 HTTP/1.1\n${host}`],
  "the target *": [400, `OPTIONS * HTTP/1.1\n${host}`],
  "an authority as target": [400, `GET h:80 HTTP/1.1\n${host}`],
  "a relative target": [400, `GET a HTTP/1.1\n${host}`],
  "another scheme": [400, `GET ftp://h/ HTTP/1.1\n${host}`],
  "a target with a user": [400, `GET http://u:p@h/ HTTP/1.1\n${host}`],
  "a target without a host": [400, `GET http:// HTTP/1.1\n${host}`],
  "a target with an empty host": [400, `GET http:///h/ HTTP/1.1\n${host}`],
  "a target with a backslash behind the host": [
    400,
    `GET http://h\\@x/ HTTP/1.1\n${host}`,
  ],
  "CONNECT": [501, `CONNECT h:80 HTTP/1.1\n${host}`],
  "TRACE": [501, `TRACE / HTTP/1.1\n${host}`],
  "a method in small letters": [501, `get / HTTP/1.1\n${host}`],
  "two empty lines first": [400, `\n\nGET / HTTP/1.1\n${host}`],
};
for (const [name, [status, text]] of Object.entries(refusals)) {
  Deno.test(`RequestHeadParser refuses ${name} with ${status}`, () => {
    const result = parseInAllWays(bytes(text));
    assert.ok(result !== undefined && "status" in result);
    assert.equal(result.status, status);
    assert.match(result.message, /^[\x20-\x7e]+$/);
  });
}

const good: Readonly<Record<string, string>> = {
  "a plain request": `GET / HTTP/1.1\n${host}`,
  "an empty line first": `\nGET / HTTP/1.1\n${host}`,
  "HTTP/1.0": "GET / HTTP/1.0\n\n",
  "an unknown method": `FOO / HTTP/1.1\n${host}`,
  "an absolute target": `GET http://x/ HTTP/1.1\n${host}`,
  "an address of IPv6": "GET / HTTP/1.1\nHost: [::1]:80\n\n",
  "odd characters in the target": `GET /|^{}"<>[]\\ HTTP/1.1\n${host}`,
  "bytes beyond ASCII in a value": `GET / HTTP/1.1\nX: \x80\xff\n${host}`,
  "a name of odd characters": "GET / HTTP/1.1\n!#$%&'*+.^_`|~9: a\n" + host,
};
for (const [name, text] of Object.entries(good)) {
  Deno.test(`RequestHeadParser accepts ${name}`, () => {
    accepted(text);
  });
}

Deno.test("RequestHeadParser accepts a target, headers and a head as long as they may be, and nothing longer", () => {
  const target = (length: number): string =>
    `GET /${"a".repeat(length - 1)} HTTP/1.1\n${host}`;
  assert.ok("head" in parse([bytes(target(maxTargetBytes))])!);
  assert.deepEqual(status(target(maxTargetBytes + 1)), 414);
  // It needn't end first.
  assert.equal(status("GET /" + "a".repeat(maxTargetBytes + 64)), 414);

  const headers = (count: number): string =>
    `GET / HTTP/1.1\n${"a: b\n".repeat(count - 1)}${host}`;
  assert.ok("head" in parse([bytes(headers(maxHeaders))])!);
  assert.equal(status(headers(maxHeaders + 1)), 431);

  const head = (length: number): string => {
    const start = "GET / HTTP/1.1\nX: ";
    const lineEnds = 4;
    return start +
      "a".repeat(length - start.length - host.length - lineEnds - 1) +
      `\n${host}`;
  };
  assert.equal(bytes(head(maxHeadBytes)).length, maxHeadBytes);
  assert.ok("head" in parse([bytes(head(maxHeadBytes))])!);
  assert.equal(status(head(maxHeadBytes + 1)), 431);
  assert.equal(
    status(`GET / HTTP/1.1\nCookie: ${"a".repeat(20_000)}`),
    431,
  );
});

function status(text: string): number {
  const result = parse([bytes(text)]);
  assert.ok(result !== undefined && "status" in result);
  for (const size of [1, 7, 1000]) {
    const input = bytes(text);
    const pieces = [];
    for (let at = 0; at < input.length; at += size) {
      pieces.push(input.subarray(at, at + size));
    }
    assert.deepEqual(parse(pieces), result);
  }
  return result.status;
}
