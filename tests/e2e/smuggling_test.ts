/**
 * Requests in the bodies of others, behind them and between their lines: to
 * staps's socket, and through nginx. Whatever becomes of the outer one, nobody
 * ever gets what the inner one says.
 */
import assert from "node:assert/strict";
import { inFrontendGroup, type Nginx, startNginx } from "../helpers/nginx.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import { RawClient, type Target } from "../../tools/raw_client.ts";
import { Random } from "../helpers/random.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

let staps: Staps;
let nginx: Nginx;
let clients: Clients;
let witness: Client;
const stack = new AsyncDisposableStack();

/** No UUID: nginx lets nobody in here, so what comes has been smuggled. */
const hidden = "/hidden";

Deno.test.beforeAll(async () => {
  staps = stack.use(await startStaps({ through: inFrontendGroup }));
  nginx = stack.use(await startNginx({ socket: staps.socket }));
  clients = stack.use(new Clients(staps.socket));
  witness = await clients.join(hidden);
});
Deno.test.afterAll(() => stack.disposeAsync());

/** The request that nobody may answer. */
const inner = `POST ${hidden} HTTP/1.1\r\nHost: localhost\r\n` +
  "Content-Length: 8\r\n\r\nsmuggled";

const chunked = "Transfer-Encoding: chunked";
const empty = "Content-Length: 0";
const lastChunk = "0\r\n\r\n";

/** What is around it, by what that is: the outer request's headers, and what of its body stands before the inner one. */
const around: Readonly<Record<string, [headers: string, before: string]>> = {
  "a length and chunks": [
    `Content-Length: ${inner.length + 5}\r\n${chunked}`,
    lastChunk,
  ],
  "chunks and a length of 0": [`${chunked}\r\n${empty}`, lastChunk],
  "two lengths": [`${empty}\r\nContent-Length: 5`, ""],
  "two lengths in one": ["Content-Length: 0, 5", ""],
  "a length with a sign": ["Content-Length: +0", ""],
  "a length in hexadecimal": ["Content-Length: 0x0", ""],
  "a space before the colon": [`Transfer-Encoding : chunked\r\n${empty}`, ""],
  "a folded header": ["X: a\r\n Content-Length: 99", ""],
  "another coding": ["Transfer-Encoding: xchunked", lastChunk],
  "two codings": [`${chunked}\r\nTransfer-Encoding: identity`, lastChunk],
  "codings in a list": ["Transfer-Encoding: identity, chunked", lastChunk],
  "a vertical tab": ["Transfer-Encoding:\x0bchunked", lastChunk],
  "a zero byte": [`${chunked}\0`, lastChunk],
  "a bare line feed in a header": [`X: a\n${chunked}`, lastChunk],
  "a bare line feed behind a chunk's size": [chunked, `1\na\r\n${lastChunk}`],
  "a chunk's extension with a line feed": [chunked, "0;a\nb\r\n\r\n"],
  "a chunk's size that overflows": [chunked, "10000000000000000\r\n"],
  "a chunk's size with a sign": [chunked, "-1\r\n\r\n"],
  "a chunk longer than its size": [chunked, `1\r\nab\r\n${lastChunk}`],
  "trailers": [chunked, "0\r\nContent-Length: 9\r\n\r\n"],
  "a request behind it": [empty, ""],
  "many requests behind it": ["Content-Length: 1", `a${inner.repeat(19)}`],
  "an Expect that isn't waited for": [
    "Content-Length: 4\r\nExpect: 100-continue",
    "body",
  ],
  "an upgrade": [`${empty}\r\nConnection: Upgrade\r\nUpgrade: websocket`, ""],
};

/** Gets a request of {@linkcode around}. */
function outer(
  method: string,
  [headers, before]: readonly [string, string],
): string {
  return `${method} ${newPath()} HTTP/1.1\r\nHost: localhost\r\n${headers}` +
    `\r\n\r\n${before}${inner}`;
}

/** Sends `text` both ways. staps answers the outer request at most. */
async function sendBoth(text: string): Promise<void> {
  const answers = await answersTo({ socket: staps.socket }, text);
  assert.ok(answers <= 1, `${answers} answers to ${JSON.stringify(text)}`);
  await answersTo({ port: nginx.port }, text);
}

/** Sends `text`, reads the answers to the end, and gets how many there were. */
async function answersTo(target: Target, text: string): Promise<number> {
  using client = await RawClient.connect(target);
  try {
    await client.write(
      Uint8Array.from(text, (character) => character.charCodeAt(0)),
    );
    await client.closeWrite();
  } catch (error) {
    if (
      !(error instanceof Deno.errors.BrokenPipe ||
        error instanceof Deno.errors.NotConnected ||
        error instanceof Deno.errors.ConnectionReset)
    ) throw error;
  }
  const all = await client.readText(1 << 20);
  return all.match(/HTTP\/1\.1 [2-5]\d\d /g)?.length ?? 0;
}

/** Checks that the witness got nothing: what is published then comes first. */
async function assertNothing(): Promise<void> {
  const other = await clients.join(hidden);
  const token = crypto.randomUUID();
  other.send(token);
  assert.equal(await witness.next(), token);
  other.close();
  await other.closed;
}

for (const [name, parts] of Object.entries(around)) {
  Deno.test(`no request is smuggled past staps by ${name}`, async () => {
    for (const method of ["POST", "GET"]) await sendBoth(outer(method, parts));
    await assertNothing();
  });
}

Deno.test("no request is smuggled in bodies that are changed at random", async () => {
  const random = new Random(14);
  for (let i = 0; i < 300; i++) {
    let text = outer("POST", random.pick(Object.values(around)));
    // Never within the inner request: it would be another one.
    const end = text.indexOf(inner);
    for (let changes = 0; changes < 3; changes++) {
      const at = random.integer(0, end);
      const what = random.pick(["", "\r", "\n", "\0", " ", "0", "f", ";"]);
      text = text.slice(0, at) + what + text.slice(at + random.integer(0, 1));
    }
    await sendBoth(text);
  }
  await assertNothing();
});
