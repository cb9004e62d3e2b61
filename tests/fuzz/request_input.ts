/** Requests of HTTP as a client may send them, right, wrong, or nearly so. */
import { sampleKey } from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { mutateBytes } from "./mutations.ts";

/** What {@linkcode randomHead} makes. */
export interface HeadOptions {
  /** What most of them ask for; without it, any target. */
  readonly paths?: readonly string[];
  /** How likely it has the headers of a handshake, 0 to 1. */
  readonly handshakeChance?: number;
}

const methods = [
  ..."GET POST PUT HEAD OPTIONS DELETE PATCH FOO M-SEARCH get Get CONNECT TRACE TRACK G(T PRI * G\0T"
    .split(" "),
  "",
] as const;

const targets = [
  ..."/ / / /a /a/b?c=d /0191b0a5-6f5c-4d3e-8a11-6d5c1e2f3a4b /%2e%2e/x /a/../b /./x /a//b //h/x /a%zz /%00 /a|b /a^b{}\"<>` /a\\b /? /?? /a;b=c:@!$&'()*+, /~ /a:80 /http://x http://h http://h/ http://x:80/y http://x:81/y?z HTTP://X/y https://x/y http://[::1]/x http://x?y http://u@h/ http://u:p@h/ http://h:99999/ http:// http:/x ftp://h/ ws://h/x * h:80 a a/b ?a /metrics %0d%0a %c0%af"
    .split(" "),
  "/#f",
  "/a#",
  "/\xe9",
  "/\xc3\xa9",
  "/\x7f",
  "/\x01",
  "/a b",
  "",
] as const;

const versions = [
  ..."HTTP/1.1 HTTP/1.1 HTTP/1.0 HTTP/1.0 HTTP/2.0 HTTP/1.2 HTTP/0.9 HTTP/1 HTTP/11 HTTP/01.1 http/1.1 HTTP/1.1x HTTPS/1.1"
    .split(" "),
  "",
] as const;

const hosts = [
  ..."h h h h localhost example.org:80 h:8080 [::1] [::1]:80 H.Example h: h:0 h:65535 h:65536 h:x a_b a~b %41 a%2fb 1.2.3.4 0x7f.1 1.2.3 xn--a a,b a;b $& [::1 ::1 [x] h/x h?x h#x h@x u@h h\\x"
    .split(" "),
  "",
  "h x",
  "\xe9",
] as const;

/** The headers of a handshake, the right value first. */
export const handshakeHeaders = {
  "Host": ["localhost", "", "a b", "a/b", "[::1]:80", "a@x"],
  "Upgrade": ["websocket", "WebSocket", "h2c, websocket", "h2c", ""],
  "Connection": [
    ...["Upgrade", "keep-alive, Upgrade", "close", "upgrade,close", "up", ""],
  ],
  "Sec-WebSocket-Version": ["13", "8", "13, 8", "013", "99999999999", ""],
  "Sec-WebSocket-Key": [
    ...[sampleKey, ` ${sampleKey} `, sampleKey.slice(1), "AAAA", ""],
    sampleKey.repeat(400),
  ],
} as const;

/** Headers that may stand beside those of a handshake, and how a request goes on. No body follows them here. */
export const otherHeaders = {
  "Sec-WebSocket-Protocol": [
    ...["a", "a, b", "", ",", "a b", "\x80", "a\tb", "a".repeat(5000)],
  ],
  "Sec-WebSocket-Extensions": ["permessage-deflate", ";;;", 'x; y="z"'],
  "Content-Length": [
    ...["0", "00", "5", "+0", "-1", "0x0", "0, 0", "", "1e1", " 0 ", "x"],
    ...["99999999999999999999", "18446744073709551616"],
  ],
  "Transfer-Encoding": [
    ..."chunked chunked Chunked gzip gzip,chunked chunked,chunked identity xchunked"
      .split(" "),
    "",
  ],
  "Expect": ["100-continue", "100-Continue", "x", ""],
} as const;

const names =
  "Accept Accept-Encoding X-A x-a X-B Cookie Referer Origin User-Agent Connection Upgrade Sec-WebSocket-Key Sec-WebSocket-Version Sec-WebSocket-Protocol X-Forwarded-For Range TE Trailer Via Date __proto__ constructor !#$%&'*+.^_`|~9"
    .split(" ");
const oddNames = ["", " X", "X ", "X\t", "X(", "\xe9", "X\0", "X\x7f", "\t"];

const values = [
  ...'a b,c gzip keep-alive Upgrade websocket 13 close dGhlIHNhbXBsZSBub25jZQ== "q" :: a:b bytes=0-0'
    .split(" "),
  ...["", "a b", "a\tb", " \t", "\x80\xff", "\xe9", "\xef\xbb\xbf"],
] as const;
const oddValues = ["a\rb", "a\nb", "a\0b", "\x7f", "\x01", "a\r", "\r\n b"];

const blanks = [" ", " ", " ", " ", "", "  ", "\t", " \t "] as const;

/** Gets the bytes of a request's head. Each character of it is a byte. */
export function randomHead(
  random: Random,
  { paths, handshakeChance = 0 }: HeadOptions = {},
): Uint8Array<ArrayBuffer> {
  let text = random.chance(0.03) ? random.pick(["\r\n", "\r\n\r\n", "\n"]) : "";
  const gap = random.chance(0.98) ? " " : random.pick(["  ", "\t", "", "\r"]);
  text += [
    random.chance(0.85) ? "GET" : random.pick(methods),
    targetOf(random, paths),
    random.chance(0.9) ? "HTTP/1.1" : random.pick(versions),
  ].join(gap);
  text += lineEnd(random);
  const lines = random.chance(handshakeChance)
    ? handshakeLines(random)
    : hostLines(random);
  while (random.chance(0.6)) lines.push(headerOf(random));
  if (random.chance(0.1)) {
    do lines.push(otherLine(random)); while (random.chance(0.3));
  }
  if (random.chance(0.01)) pushMany(random, lines);
  // Not always the host first.
  if (lines.length > 1 && random.chance(0.3)) lines.reverse();
  for (const line of lines) text += line + lineEnd(random);
  if (!random.chance(0.01)) text += lineEnd(random);
  if (random.chance(0.02)) text += random.pick(["x", "GET / HTTP/1.1\r\n"]);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return random.chance(0.2) ? mutateBytes(random, bytes, { most: 2 }) : bytes;
}

function targetOf(random: Random, paths?: readonly string[]): string {
  let target = paths !== undefined && random.chance(0.7)
    ? random.pick(paths)
    : random.pick(targets);
  if (random.chance(0.1)) target += random.pick(targets);
  if (random.chance(0.01)) {
    target += "a".repeat(
      random.pick([100, 8_000, 8_191, 8_192, 9_000, 90_000]),
    );
  }
  return random.chance(0.1)
    ? target + String.fromCharCode(random.integer(0x20, 0x7e))
    : target;
}

function hostLines(random: Random): string[] {
  if (random.chance(0.04)) return [];
  const host = random.chance(0.7) ? "h" : random.pick(hosts);
  const line = `${spelled(random, "Host")}:${random.pick(blanks)}${host}`;
  return random.chance(0.02) ? [line, `Host: ${random.pick(hosts)}`] : [line];
}

function handshakeLines(random: Random): string[] {
  const lines: string[] = [];
  for (const [name, [right, ...others]] of Object.entries(handshakeHeaders)) {
    if (random.chance(0.04)) continue;
    const value = random.chance(0.9) ? right : random.pick(others);
    lines.push(`${spelled(random, name)}: ${value}`);
    if (random.chance(0.02)) lines.push(`${name}: ${random.pick(others)}`);
  }
  return lines;
}

function headerOf(random: Random): string {
  const name = random.chance(0.98)
    ? spelled(random, random.pick(names))
    : random.pick(oddNames);
  const value = random.chance(0.98)
    ? random.pick(values)
    : random.pick(oddValues);
  const colon = random.chance(0.99) ? ":" : random.pick(["", "::", " :"]);
  return `${name}${colon}${random.pick(blanks)}${value}${
    random.chance(0.1) ? random.pick(blanks) : ""
  }`;
}

function otherLine(random: Random): string {
  // Those that say where the request ends are the telling ones.
  const name = random.chance(0.7)
    ? random.pick(["Content-Length", "Transfer-Encoding"] as const)
    : random.pick(
      ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Expect"] as const,
    );
  return `${spelled(random, name)}: ${random.pick(otherHeaders[name])}`;
}

/** As many or as long headers as there may be, or a few more. */
function pushMany(random: Random, lines: string[]): void {
  if (random.chance(0.5)) {
    const count = random.pick([95, 98, 99, 100, 101, 1_000]);
    for (let i = 0; i < count; i++) lines.push(`X-${i}: a`);
  } else {
    const size = random.pick([8_000, 16_000, 16_400, 500_000]);
    lines.push(`X-L: ${"y".repeat(size)}`);
  }
}

function spelled(random: Random, name: string): string {
  if (random.chance(0.8)) return name;
  return random.chance(0.5) ? name.toLowerCase() : name.toUpperCase();
}

function lineEnd(random: Random): string {
  return random.chance(0.995) ? "\r\n" : random.pick(["\n", "\r", "\r\r\n"]);
}
