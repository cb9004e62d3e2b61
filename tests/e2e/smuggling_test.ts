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

/** No UUID: nginx lets nobody in here, so what comes has been smuggled. */
const hidden = "/hidden";

Deno.test.beforeAll(async () => {
  staps = await startStaps({ through: inFrontendGroup });
  nginx = await startNginx({ socket: staps.socket });
  clients = new Clients(staps.socket);
  witness = await clients.join(hidden);
});

Deno.test.afterAll(async () => {
  await clients?.[Symbol.asyncDispose]();
  await nginx?.[Symbol.asyncDispose]();
  await staps?.[Symbol.asyncDispose]();
});

/** The request that nobody may answer. */
const inner = `POST ${hidden} HTTP/1.1\r\nHost: localhost\r\n` +
  "Content-Length: 8\r\n\r\nsmuggled";

/** What stands between the request line and the end, by what it is. */
const outers: Readonly<Record<string, string>> = {
  "a length and chunks": `Content-Length: ${
    inner.length + 5
  }\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
  "chunks and a length of 0":
    `Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n${inner}`,
  "two lengths": `Content-Length: 0\r\nContent-Length: 5\r\n\r\n${inner}`,
  "two lengths in one": `Content-Length: 0, 5\r\n\r\n${inner}`,
  "a length with a sign": `Content-Length: +0\r\n\r\n${inner}`,
  "a length in hexadecimal": `Content-Length: 0x0\r\n\r\n${inner}`,
  "a space before the colon":
    `Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n${inner}`,
  "a folded header": `X: a\r\n Content-Length: 99\r\n\r\n${inner}`,
  "another coding": `Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`,
  "two codings":
    `Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${inner}`,
  "codings in a list":
    `Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n${inner}`,
  "a vertical tab": `Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n${inner}`,
  "a zero byte": `Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n${inner}`,
  "a bare line feed in a header":
    `X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
  "a bare line feed behind a chunk's size":
    `Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n${inner}`,
  "a chunk's extension with a line feed":
    `Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n${inner}`,
  "a chunk's size that overflows":
    `Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n${inner}`,
  "a chunk's size with a sign":
    `Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${inner}`,
  "a chunk longer than its size":
    `Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n${inner}`,
  "trailers":
    `Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n${inner}`,
  "a request behind it": `Content-Length: 0\r\n\r\n${inner}`,
  "many requests behind it": `Content-Length: 1\r\n\r\na${inner.repeat(20)}`,
  "an Expect that isn't waited for":
    `Content-Length: 4\r\nExpect: 100-continue\r\n\r\nbody${inner}`,
  "an upgrade":
    `Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${inner}`,
};

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

for (const [name, outer] of Object.entries(outers)) {
  Deno.test(`no request is smuggled past staps by ${name}`, async () => {
    for (const method of ["POST", "GET"]) {
      const text =
        `${method} ${newPath()} HTTP/1.1\r\nHost: localhost\r\n${outer}`;
      const answers = await answersTo({ socket: staps.socket }, text);
      assert.ok(answers <= 1, `${answers} answers`);
      await answersTo({ port: nginx.port }, text);
    }
    await assertNothing();
  });
}

Deno.test("no request is smuggled in bodies that are changed at random", async () => {
  const random = new Random(14);
  const texts = Object.values(outers);
  for (let i = 0; i < 300; i++) {
    let text = `POST ${newPath()} HTTP/1.1\r\nHost: localhost\r\n` +
      random.pick(texts);
    // Never within the inner request: it would be another one.
    const end = text.indexOf(inner);
    for (let changes = 0; changes < 3; changes++) {
      const at = random.integer(0, end > 0 ? end : text.length);
      const what = random.pick(["", "\r", "\n", "\0", " ", "0", "f", ";"]);
      text = text.slice(0, at) + what + text.slice(at + random.integer(0, 1));
    }
    const answers = await answersTo({ socket: staps.socket }, text);
    assert.ok(answers <= 1, JSON.stringify(text));
    await answersTo({ port: nginx.port }, text);
  }
  await assertNothing();
});
