/** Peers that take their time. Time passes only when a test calls `tick()`. */
import assert from "node:assert/strict";
import type { Handler } from "../../src/listener/http.ts";
import { HttpConnection } from "../../src/listener/http_connection.ts";
import { ticksPerS } from "../../src/listener/silence.ts";
import { pause } from "../../tools/eventually.ts";
import { crlf } from "../helpers/crlf.ts";
import { TempFolder } from "../../tools/folder.ts";
import { RawClient } from "../../tools/raw_client.ts";

/** As the module has it. */
const stallTimeoutS = 10;
const stallTicks = stallTimeoutS * ticksPerS + 2;
const drainTicks = 2 * ticksPerS + 1;
const handshakeTimeoutS = 5;

/** A connection, and the client at its other end. */
class Pair extends AsyncDisposableStack {
  readonly client: RawClient;
  readonly errors: unknown[] = [];
  isClosed = false;
  readonly #connection: HttpConnection;

  constructor(
    conn: Deno.Conn,
    { client, handler }: { client: RawClient; handler: Handler },
  ) {
    super();
    this.client = client;
    const limits = {
      bodyBytes: () => 1_000_000,
      handshakeTimeoutS: () => handshakeTimeoutS,
    };
    const onError = (error: unknown) => this.errors.push(error);
    const onClosed = () => this.isClosed = true;
    const owner = { limits, onError, onClosed };
    this.#connection = new HttpConnection(conn, { owner, handler });
    const running = this.#connection.run();
    this.defer(() => running);
    this.defer(() => client.close());
    this.defer(() => this.#connection.close());
  }

  /** Counts a tick, and lets go out and come in what is on its way. */
  async tick(): Promise<void> {
    this.#connection.tick();
    await pause(2);
  }
}

async function pair(handler: Handler): Promise<Pair> {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/socket`;
  using listener = Deno.listen({ transport: "unix", path });
  const client = await RawClient.connect({ socket: path });
  return new Pair(await listener.accept(), { client, handler });
}

const post = "POST / HTTP/1.1\nHost: h\n";
const readAll: Handler = async (request) => new Response(await request.text());

/** Sends `head`, then `part` before each of `ticks` ticks or until the connection is closed; gets the number of ticks. */
async function drip(
  both: Pair,
  { head, part, ticks }: { head: string; part: string; ticks: number },
): Promise<number> {
  await both.client.write(crlf(head));
  await pause(20);
  for (let count = 0; count < ticks; count++) {
    try {
      await both.client.write(crlf(part));
    } catch {
      return count;
    }
    await both.tick();
  }
  return ticks;
}

const cases = [
  ["a byte at a time", "Content-Length: 100000\n\n", "a"],
  [
    "in chunks that are hardly more than their sizes",
    "Transfer-Encoding: chunked\n\n",
    `1;${"x".repeat(245)}\na\n`.repeat(8),
  ],
] as const;
for (const [what, head, part] of cases) {
  Deno.test(`HttpConnection ends a body that comes ${what}, with 408`, async () => {
    await using both = await pair(readAll);
    const ticks = await drip(both, {
      head: post + head,
      part,
      ticks: 2 * stallTicks,
    });
    assert.ok(both.isClosed);
    // The answer has some time to be read.
    assert.ok(ticks <= stallTicks + drainTicks + 1, `${ticks} ticks`);
    assert.equal((await both.client.readResponse()).status, 408);
  });
}

Deno.test("HttpConnection gives a body that keeps coming all the time that it takes", async () => {
  await using both = await pair(readAll);
  const ticks = 2 * stallTicks;
  await drip(both, {
    head: `${post}Content-Length: ${1000 * ticks}\n\n`,
    part: "a".repeat(1000),
    ticks,
  });
  assert.equal((await both.client.readResponse()).body.length, 1000 * ticks);
});

Deno.test("HttpConnection ends a head that isn't whole in time, whatever comes", async () => {
  await using both = await pair(readAll);
  const ticks = await drip(both, { head: post, part: "A: b\n", ticks: 100 });
  assert.ok(both.isClosed);
  assert.ok(ticks <= handshakeTimeoutS * ticksPerS + 3, `${ticks} ticks`);
});

for (const readBytes of [0, 100]) {
  Deno.test(`HttpConnection ends a response of which its client reads ${readBytes} bytes a tick`, async () => {
    await using both = await pair(() =>
      new Response(new Uint8Array(10_000_000))
    );
    const { client } = both;
    await client.write(crlf(`GET / HTTP/1.1\nHost: h\n\n`));
    await pause(20);
    let ticks = 0;
    for (; ticks < 2 * stallTicks && !both.isClosed; ticks++) {
      if (readBytes > 0) await client.readText(readBytes);
      await both.tick();
    }
    assert.ok(both.isClosed);
    assert.ok(ticks <= stallTicks + 1, `${ticks} ticks`);
    assert.deepEqual(both.errors, [], "the client's fault");
  });
}

Deno.test("HttpConnection doesn't blame the handler for a body that it passes on and that is malformed", async () => {
  await using both = await pair((request) => new Response(request.body));
  const { client } = both;
  await client.write(
    crlf(`${post}Transfer-Encoding: chunked\n\n1\na\n`),
  );
  await client.readText(20);
  await client.write(crlf("nonsense\n"));
  await client.readText(10_000);
  assert.ok(both.isClosed);
  assert.deepEqual(both.errors, []);
});

Deno.test("HttpConnection writes no 100 into a response that has begun", async () => {
  const { promise: isRead, resolve: read } = Promise.withResolvers<void>();
  await using both = await pair((request) =>
    new Response(
      new ReadableStream({
        async start(controller): Promise<void> {
          controller.enqueue(crlf("before"));
          await isRead;
          controller.enqueue(new Uint8Array(await request.arrayBuffer()));
          controller.close();
        },
      }),
    )
  );
  const { client } = both;
  await client.write(
    crlf(`${post}Content-Length: 1\nExpect: 100-continue\n\n`),
  );
  const head = await client.readText(15);
  assert.equal(head, "HTTP/1.1 200 OK");
  read();
  await pause(20);
  await client.write(crlf("a"));
  const rest = await client.readText(10_000);
  assert.ok(rest.endsWith("\r\n6\r\nbefore\r\n1\r\na\r\n0\r\n\r\n"), rest);
});
