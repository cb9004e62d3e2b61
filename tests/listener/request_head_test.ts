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
import { crlf } from "../helpers/crlf.ts";
import { readInAllWays } from "../helpers/pieces.ts";
import { concat } from "../../tools/raw_client.ts";

type Result = WholeHead | HeadRefusal | undefined;

/** Parses `pieces`, and gets what comes of the first piece that gives something. */
function parse(pieces: readonly Uint8Array[]): Result {
  const parser = new RequestHeadParser();
  for (const [i, piece] of pieces.entries()) {
    const result = parser.push(piece);
    if (result === undefined) continue;
    if ("status" in result) return result;
    return { ...result, rest: concat([result.rest, ...pieces.slice(i + 1)]) };
  }
  return undefined;
}

function accepted(text: string): RequestHead {
  const result = readInAllWays(crlf(text), parse);
  assert.ok(result !== undefined && "head" in result, JSON.stringify(result));
  return result.head;
}

function refusalStatus(text: string): number {
  const result = readInAllWays(crlf(text), parse);
  assert.ok(result !== undefined && "status" in result);
  assert.match(result.message, /^[\x20-\x7e]+$/);
  return result.status;
}

Deno.test("RequestHeadParser gets method, target, version, headers in their order, and what follows", () => {
  const input = crlf(
    "PATCH /a?b HTTP/1.1\nX-One:  1 \t\nHost: h\nx-one: \xe9\nEmpty:\n\nrest\n",
  );
  assert.deepEqual(readInAllWays(input, parse), {
    head: {
      method: "PATCH",
      target: "/a?b",
      url: "http://h/a?b",
      minorVersion: 1,
      headers: [["x-one", "1"], ["host", "h"], ["x-one", "\xe9"], [
        "empty",
        "",
      ]],
      bodyLength: 0,
      expectsContinue: false,
    },
    rest: crlf("rest\n"),
  });
});

Deno.test("RequestHeadParser waits for more while the head isn't whole", () => {
  for (const text of ["GET / HTTP/1.1\nHost: h\n", "", "\n"]) {
    assert.equal(readInAllWays(crlf(text), parse), undefined);
  }
});

const host = "Host: h\n\n";

/** What the start of a head gives as URL. */
const urls = {
  "GET / HTTP/1.1\nHost: h": "http://h/",
  "GET //x/../y HTTP/1.1\nHost: h": "http://h//y",
  "GET /a/../b%2f?c| HTTP/1.1\nHost: h": "http://h/b%2f?c|",
  "GET http://other:80/x HTTP/1.1\nHost: h": "http://other/x",
  "GET HTTPS://Other HTTP/1.1\nHost: h": "https://other/",
  "GET /http://x HTTP/1.1\nHost: h": "http://h/http://x",
  "GET /x HTTP/1.0": "http://localhost/x",
  "GET /x HTTP/1.1\nHost:": "http://localhost/x",
  "GET /x HTTP/1.0\nHost: a:1": "http://a:1/x",
};

Deno.test("RequestHeadParser gets the URL of target and host", () => {
  for (const [text, url] of Object.entries(urls)) {
    assert.equal(accepted(`${text}\n\n`).url, url, text);
  }
});

Deno.test("RequestHeadParser gets the body's length, and whether a 100 is expected", () => {
  const expect = "Content-Length: 1\nExpect: 100-Continue\n";
  const cases = [
    ["1\nContent-Length: 017\n", 17, false],
    ["1\nTransfer-Encoding: Chunked\n", "chunked", false],
    [`1\n${expect}`, 1, true],
    [`0\n${expect}`, 1, false],
    ["1\nExpect: 100-continue\n", 0, false],
  ] as const;
  for (const [lines, bodyLength, expectsContinue] of cases) {
    const head = accepted(`POST / HTTP/1.${lines}${host}`);
    assert.equal(head.bodyLength, bodyLength);
    assert.equal(head.expectsContinue, expectsContinue);
  }
});

/** Gets a head with this header behind a good request line, and before a good `Host`. */
const header = (text: string): string => `GET / HTTP/1.1\n${text}\n${host}`;
/** Gets a head with this request line before a good `Host`. */
const line = (text: string): string => `${text}\n${host}`;

/** What is refused, by status; `tests/fuzz/heads.ts` compares them with the runtime's parser. */
const refusals: Readonly<Record<number, Record<string, string>>> = {
  400: {
    "a folded header": header("X: a\n b"),
    "a first header with white space": header(" X: a"),
    "a bare carriage return in a value": header("X: a\rb"),
    "NUL in a value": header("X: a\0"),
    "DEL in a value": header("X: a\x7f"),
    "white space before the colon": header("X : a"),
    "a header without a colon": header("X"),
    "a header without a name": header(": a"),
    "a header's name that is no token": header("X(: a"),
    "two Hosts": header("Host: h"),
    "two equal lengths": header("Content-Length: 0\nContent-Length: 0"),
    "a list as length": header("Content-Length: 0, 0"),
    "a length with a sign": header("Content-Length: +0"),
    "an empty length": header("Content-Length:"),
    "a hexadecimal length": header("Content-Length: 0x0"),
    "a huge length": header("Content-Length: 99999999999999999999"),
    "a length and chunks": header(
      "Content-Length: 0\nTransfer-Encoding: chunked",
    ),
    "a carriage return before the line end": line("GET / HTTP/1.1\r"),
    "two Hosts in HTTP/1.0": line("GET / HTTP/1.0\nHost: h"),
    "chunks in HTTP/1.0": line("GET / HTTP/1.0\nTransfer-Encoding: chunked"),
    "HTTP/1": line("GET / HTTP/1"),
    "http/1.1": line("GET / http/1.1"),
    "something behind the version": line("GET / HTTP/1.1 "),
    "two spaces": line("GET  / HTTP/1.1"),
    "a space at the start": line(" GET / HTTP/1.1"),
    "a space in the target": line("GET /a b HTTP/1.1"),
    "a tab between method and target": line("GET\t/ HTTP/1.1"),
    "a method that is no token": line("G(T / HTTP/1.1"),
    "no target": line("GET  HTTP/1.1"),
    "a target that isn't ASCII": line("GET /\xc3\xa9 HTTP/1.1"),
    "a fragment": line("GET /a#b HTTP/1.1"),
    "control characters in the target": line("GET /\x01 HTTP/1.1"),
    "the target *": line("OPTIONS * HTTP/1.1"),
    "an authority as target": line("GET h:80 HTTP/1.1"),
    "a relative target": line("GET a HTTP/1.1"),
    "another scheme": line("GET ftp://h/ HTTP/1.1"),
    "a target with a user": line("GET http://u:p@h/ HTTP/1.1"),
    "a target without a host": line("GET http:// HTTP/1.1"),
    "a target with an empty host": line("GET http:///h/ HTTP/1.1"),
    "a backslash behind the target's host": line("GET http://h\\@x/ HTTP/1.1"),
    "two empty lines first": line("\n\nGET / HTTP/1.1"),
    "a bare line feed": "GET / HTTP/1.1␊Host: h␊␊",
    "a bare line feed behind a header": "GET / HTTP/1.1\nHost: h␊\n",
    "no Host": "GET / HTTP/1.1\n\n",
    "a Host with a path": "GET / HTTP/1.1\nHost: h/x\n\n",
    "a Host with a user": "GET / HTTP/1.1\nHost: u@h\n\n",
    "a Host with a space": "GET / HTTP/1.1\nHost: h x\n\n",
    "a Host whose port is none": "GET / HTTP/1.1\nHost: h:99999\n\n",
    "a Host that isn't ASCII": "GET / HTTP/1.1\nHost: \xe9\n\n",
    "HTTP/0.9": "GET /\n",
  },
  417: { "another expectation": header("Expect: x") },
  501: {
    "another coding": header("Transfer-Encoding: gzip"),
    "another coding before chunked": header("Transfer-Encoding: gzip, chunked"),
    "chunked twice": header(
      "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
    ),
    "CONNECT": line("CONNECT h:80 HTTP/1.1"),
    "TRACE": line("TRACE / HTTP/1.1"),
    "a method in small letters": line("get / HTTP/1.1"),
  },
  505: {
    "HTTP/2.0": line("GET / HTTP/2.0"),
    "HTTP/1.2": line("GET / HTTP/1.2"),
  },
};

for (const [status, heads] of Object.entries(refusals)) {
  for (const [name, text] of Object.entries(heads)) {
    Deno.test(`RequestHeadParser refuses ${name} with ${status}`, () => {
      assert.equal(refusalStatus(text), Number(status));
    });
  }
}

const good: Readonly<Record<string, string>> = {
  "an empty line first": `\nGET / HTTP/1.1\n${host}`,
  "an unknown method": `FOO / HTTP/1.1\n${host}`,
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
  accepted(target(maxTargetBytes));
  assert.equal(refusalStatus(target(maxTargetBytes + 1)), 414);
  // It needn't end first.
  assert.equal(refusalStatus("GET /" + "a".repeat(maxTargetBytes + 64)), 414);

  const headers = (count: number): string =>
    `GET / HTTP/1.1\n${"a: b\n".repeat(count - 1)}${host}`;
  accepted(headers(maxHeaders));
  assert.equal(refusalStatus(headers(maxHeaders + 1)), 431);

  const start = "GET / HTTP/1.1\nX: ";
  const end = `\n${host}`;
  const otherBytes = crlf(start + end).length;
  const head = (length: number): string =>
    start + "a".repeat(length - otherBytes) + end;
  accepted(head(maxHeadBytes));
  assert.equal(refusalStatus(head(maxHeadBytes + 1)), 431);
  assert.equal(refusalStatus(start + "a".repeat(20_000)), 431);
});
