/** HTTP requests, right and wrong, against the listeners and the admin socket of a real staps. */
import assert from "node:assert/strict";
import { concat, sampleKey } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { mutateBytes, mutateText, oddText, textOf } from "./mutations.ts";
import { canary, FuzzedNode } from "./node.ts";
import { type Session, shorterBytes, type Target } from "./target.ts";
import { type Manner, mannerOf, send } from "./wire.ts";

/** The bytes of one connection. */
interface Input extends Manner {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** How many connections are open at once; the admin socket answers 16. */
const atOnce = 16;

const methods = [
  ..."GET GET GET GET GET GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT PRI get FOO * G\0T"
    .split(" "),
  "",
  "GET ",
] as const;

const versions = [
  ..."HTTP/1.1 HTTP/1.1 HTTP/1.1 HTTP/1.1 HTTP/1.0 HTTP/0.9 HTTP/2.0 HTTP/1.2 HTTP/11 http/1.1 HTTP/1.1x"
    .split(" "),
  "",
] as const;

const adminPaths = ["/metrics", "/healthz", "/readyz", "/status"] as const;

const pathPieces = [
  ..."/ // . .. /../ %2e%2e %00 %0a %0d%0a %2f %5c %zz % %c0%af %ff ? # & = ; : @ * + ~ \\ http:// ://"
    .split(" "),
  " ",
  "\t",
  "é",
  "metrics",
] as const;

function targetOf(random: Random, paths: readonly string[]): string {
  const path = random.pick(paths);
  if (random.chance(0.4)) return path;
  switch (random.integer(0, 7)) {
    case 0:
      return `http://localhost${path}`;
    case 1:
      return `${path}?${canary}=${oddText(random)}#${canary}`;
    case 2:
      return `${path}/${"x".repeat(random.integer(1, 100_000))}`;
    case 3:
      return `/../.${path}/./..${path}`;
    case 4:
      return random.pick([
        "*",
        "",
        "//",
        "localhost:80",
        `\\${path}`,
        "?",
        "#",
      ]);
    case 5:
      return `${path}${textOf(random, pathPieces, { most: 8 })}`;
    default:
      return mutateText(random, path, { words: pathPieces });
  }
}

/** Headers of a handshake, and what may stand in their place. */
const handshakeHeaders: readonly (readonly [string, readonly string[]])[] = [
  ["Host", ["localhost", "", "a b", "a/b", `[::1]:80`, `${canary}@x`]],
  ["Upgrade", ["websocket", "WebSocket", "h2c, websocket", "h2c", ""]],
  ["Connection", [
    "Upgrade",
    "keep-alive, Upgrade",
    "close",
    "upgrade,close",
    "",
  ]],
  ["Sec-WebSocket-Version", ["13", "8", "13, 8", "013", "", "99999999999"]],
  ["Sec-WebSocket-Key", [sampleKey, "", "AAAA", sampleKey.repeat(400)]],
];

const otherHeaders: readonly (readonly [string, readonly string[]])[] = [
  ["Sec-WebSocket-Protocol", ["a, b", "", ",", "a".repeat(5_000), "é", "a b"]],
  ["Sec-WebSocket-Extensions", ["permessage-deflate", ";;;", 'x; y="z"']],
  ["Content-Length", ["0", "5", "-1", "99999999999999999999", "5, 5", "x"]],
  ["Transfer-Encoding", ["chunked", "gzip, chunked", "identity", "xchunked"]],
  ["Expect", ["100-continue", "x"]],
  ["X-Forwarded-For", [canary, "\x80\xff"]],
  ["Referer", [`http://x/${canary}`]],
  ["Accept-Encoding", ["gzip", "br;q=9"]],
  ["Range", ["bytes=0-0"]],
  [" Folded", ["x\r\n  y"]],
  ["Bad Name", ["x"]],
  ["", ["x"]],
];

function headersOf(random: Random): string[] {
  const lines: string[] = [];
  for (const [name, values] of handshakeHeaders) {
    if (random.chance(0.08)) continue;
    const value = random.chance(0.85) ? values[0]! : random.pick(values);
    lines.push(`${random.chance(0.1) ? mixed(name) : name}: ${value}`);
    if (random.chance(0.04)) lines.push(`${name}: ${random.pick(values)}`);
  }
  while (random.chance(0.3)) {
    const [name, values] = random.pick(otherHeaders);
    lines.push(`${name}: ${random.pick(values)}`);
  }
  if (random.chance(0.05)) {
    const count = random.pick([50, 99, 100, 101, 1_000]);
    for (let i = 0; i < count; i++) lines.push(`X-${i}: ${canary}`);
  }
  if (random.chance(0.03)) {
    lines.push(`X-Long: ${"y".repeat(random.pick([8_000, 70_000, 500_000]))}`);
  }
  if (random.chance(0.1)) lines.push(oddText(random));
  return lines;
}

function mixed(name: string): string {
  return Array.from(
    name,
    (letter, i) => i % 2 === 0 ? letter.toUpperCase() : letter.toLowerCase(),
  ).join("");
}

const bodies = [
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "ffffffffffffffff\r\n",
  "0\r\nX: y\r\n\r\n",
] as const;

function requestOf(random: Random, paths: readonly string[]): string {
  const line = [
    random.pick(methods),
    targetOf(random, paths),
    random.pick(versions),
  ].join(random.chance(0.97) ? " " : random.pick(["  ", "\t", ""]));
  const end = random.chance(0.95) ? "\r\n" : random.pick(["\n", "\r"]);
  const lines = [line, ...headersOf(random), ""].join(end);
  return `${lines}${end}${random.chance(0.3) ? random.pick(bodies) : ""}`;
}

function make(
  random: Random,
  { paths, listeners }: {
    paths: readonly string[];
    listeners: readonly Manner["listener"][];
  },
): Input {
  const requests = Array.from(
    { length: random.chance(0.8) ? 1 : random.integer(2, 5) },
    () => latin1(requestOf(random, paths)),
  );
  const whole = concat(requests);
  const bytes = random.chance(0.3)
    ? mutateBytes(random, whole)
    : random.chance(0.03)
    ? random.bytes(random.integer(1, 500))
    : whole;
  return {
    ...mannerOf(random, {
      length: bytes.length,
      listeners,
      endings: ["reset", "close", "close", "half", "half"],
    }),
    bytes,
  };
}

/** Gets text as bytes, with characters above U+00FF in UTF-8, as clients send either. */
function latin1(text: string): Uint8Array<ArrayBuffer> {
  if (/[^\0-\xff]/.test(text)) return new TextEncoder().encode(text);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Checks that what came back is HTTP responses, whole or cut off, that give nothing away. */
function checkAnswer(
  answer: Uint8Array,
  { statuses }: { statuses: readonly number[] },
): void {
  const text = new TextDecoder("latin1").decode(answer);
  assert.ok(!text.toLowerCase().includes(canary), "a path is in the answer");
  let rest = text;
  while (rest !== "") {
    const line = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(rest);
    assert.ok(line, `No response: ${JSON.stringify(rest.slice(0, 200))}`);
    const status = Number(line[1]);
    assert.ok(statuses.includes(status), `Got the status ${status}`);
    const end = rest.indexOf("\r\n\r\n");
    // What follows a 101 is no HTTP; and what isn't complete isn't read further.
    if (end < 0 || status === 101) return;
    const head = rest.slice(0, end);
    rest = rest.slice(end + 4);
    if (status === 100) continue;
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    // One to a HEAD has no body.
    if (/^HTTP\/1\.[01] \d{3} /.test(rest)) continue;
    if (length === undefined) return;
    rest = rest.slice(Number(length));
  }
}

class RequestSession implements Session<Input> {
  readonly counts = { answers: 0, "messages between others": 0 };
  readonly #node: FuzzedNode;
  readonly #statuses: readonly number[];

  constructor(node: FuzzedNode, statuses: readonly number[]) {
    this.#node = node;
    this.#statuses = statuses;
  }

  async try(inputs: readonly Input[]): Promise<void> {
    for (let from = 0; from < inputs.length; from += atOnce) {
      await Promise.all(
        inputs.slice(from, from + atOnce).map(async (input) => {
          const answer = await send(this.#node, input.bytes, input);
          if (answer.length === 0) return;
          checkAnswer(answer, { statuses: this.#statuses });
          this.counts.answers++;
        }),
      );
    }
    const published = await this.#node.look();
    assert.deepEqual(published, [[], []]);
    this.counts["messages between others"] = this.#node.talked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]();
  }
}

function requestTarget(
  options: Pick<Target<Input>, "name" | "about" | "quickCount"> & {
    paths: readonly string[];
    listeners: readonly Manner["listener"][];
    statuses: readonly number[];
  },
): Target<Input> {
  const { paths, listeners, statuses, ...target } = options;
  return {
    ...target,
    share: 3,
    batch: 160,
    make: (random) => make(random, { paths, listeners }),
    show: ({ bytes, ...manner }) =>
      JSON.stringify({ ...manner, bytes: bytes.toHex() }),
    simpler: function* (input): Generator<Input> {
      if (input.cuts.length > 0) yield { ...input, cuts: [] };
      for (const bytes of shorterBytes(input.bytes)) yield { ...input, bytes };
    },
    open: async () => new RequestSession(await FuzzedNode.start(), statuses),
  };
}

/** Requests and handshakes. */
export const requests = requestTarget({
  name: "requests",
  about:
    "HTTP requests to staps, by unix socket or TCP: methods, URLs, versions, headers, bodies, several at once",
  quickCount: 480,
  paths: [`/${canary}/own`, `/${canary}`, `/${canary}/%F0%9F%98%80`],
  listeners: ["unix", "tcp"],
  statuses: [
    101,
    100,
    200,
    400,
    403,
    404,
    405,
    408,
    411,
    413,
    414,
    417,
    426,
    431,
    501,
    505,
  ],
});

/** Requests to the admin socket. */
export const adminRequests = requestTarget({
  name: "admin",
  about: "the same to the admin socket",
  quickCount: 320,
  paths: [...adminPaths, ...adminPaths, `/${canary}`],
  listeners: ["admin"],
  statuses: [200, 404, 405, 503, 100, 400, 414, 431],
});
