import assert from "node:assert/strict";
import { ConnectError } from "../../../src/commands/join/connect_error.ts";
import {
  Connection,
  type ConnectionOptions,
} from "../../../src/commands/join/connection.ts";
import { freePort, TempFolder } from "../../../tools/folder.ts";
import { serveHttp } from "../http_server.ts";

const path = "/11111111-2222-4333-8444-555555555555";

/** Gets the error of connecting. It never shows the path. */
async function failure(
  base: string,
  options: ConnectionOptions = {},
): Promise<ConnectError> {
  const connection = new Connection(base + path, options);
  const error = await connection.opened.catch((error) => error);
  assert.ok(error instanceof ConnectError, String(error));
  assert.doesNotMatch(`${error.message}${error.hint}`, /1111/);
  await connection.ended;
  return error;
}

/** Gets the error for a server that answers with `response`, and what it says of the HTTP status. */
async function refusal(
  response: (request: Request) => Response,
): Promise<{ error: ConnectError; got: string }> {
  await using server = serveHttp(response);
  const base = `ws://127.0.0.1:${server.addr.port}`;
  const error = await failure(base);
  const [start, got] = error.message.split(": got HTTP status ");
  assert.equal(start, `Cannot connect to ${base}`);
  return { error, got: got! };
}

Deno.test("Connection tells in plain words that nobody is there", async () => {
  const base = `ws://127.0.0.1:${freePort()}`;
  const refused = await failure(base);
  assert.equal(
    refused.message,
    `Cannot connect to ${base}: nobody listens there`,
  );
  assert.equal(refused.hint, "is the server running?");
  const unknown = await failure("wss://nowhere.invalid");
  assert.match(
    unknown.message,
    /^Cannot connect to wss:\/\/nowhere\.invalid: (there is no such host|its address can't be looked up at the moment)$/,
  );
  assert.equal(unknown.permanent, false);
});

Deno.test("Connection tells in plain words what is wrong with a socket", async () => {
  await using folder = await TempFolder.make();
  const socket = `${folder.path}/s`;
  const start = `Cannot connect to "${socket}"`;
  const { message, hint } = await failure("ws://localhost", { socket });
  assert.equal(message, `${start}: there is no such socket`);
  assert.equal(hint, "is staps running?");
  await Deno.writeTextFile(socket, "");
  const file = await failure("ws://localhost", { socket });
  assert.equal(file.message, `${start}: nobody answers there`);
});

Deno.test("Connection tells that the scheme is the wrong one", async () => {
  await using plain = serveHttp(() => new Response());
  const toPlain = await failure(`wss://127.0.0.1:${plain.addr.port}`);
  assert.match(toPlain.message, /: the port doesn't speak TLS$/);
  assert.match(toPlain.hint!, /ws:\/\/ instead of wss:\/\//);
  // What a TLS server says to what isn't TLS: an alert.
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const failing = failure(`ws://127.0.0.1:${listener.addr.port}`);
  using connection = await listener.accept();
  await connection.read(new Uint8Array(1024));
  await connection.write(new Uint8Array([0x15, 3, 1, 0, 2, 2, 70]));
  connection.close();
  const toTls = await failing;
  assert.match(toTls.message, /: that is no web server$/);
  assert.match(toTls.hint!, /wss:\/\/ instead of ws:\/\//);
});

Deno.test("Connection shows a refusal's words on one line, escaped and cut, without the path", async () => {
  const quote = ({ url }: Request): string =>
    `Cannot GET ${new URL(url).pathname}, not ${path.slice(1)}`;
  const html = { headers: { "content-type": "text/html" } };
  const page = "<html><title>No\nWay</title><p>more</p></html>";
  let given = 0;
  const endless = new ReadableStream({
    pull(controller): void {
      given++;
      controller.enqueue(new Uint8Array(1024).fill(0x78));
    },
  });
  const stalled = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array([0x78])),
  });
  const cases: [(request: Request) => Response, words: string][] = [
    [() => new Response("at\x1b[2J\r\nlimit\n"), "at\\u001b[2J limit"],
    [(request) => new Response(quote(request)), "Cannot GET ..., not ..."],
    [() => new Response(page, html), "No Way"],
    [() => new Response(endless), `${"x".repeat(200)}...`],
    [() => new Response(stalled), "x"],
  ];
  for (const [response, words] of cases) {
    const { got } = await refusal(response);
    assert.equal(got, `200, expected 101 ("${words}")`);
  }
  assert.ok(given < 10_000, `${given} KiB were taken`);
});

Deno.test("Connection tells a refusal that may heal from one that won't, and follows no redirection", async () => {
  const headers = { "Retry-After": "7", location: `https://127.0.0.1${path}` };
  const cases = [
    [503, false, 7000, /limit is reached/],
    [404, true, 7000, /^/],
    [301, true, 7000, /wss:\/\//],
  ] as const;
  for (const [status, permanent, retryAfterMs, expected] of cases) {
    const response = new Response(null, { status, headers });
    const { error, got } = await refusal(() => response);
    assert.equal(got, `${status}, expected 101`);
    assert.equal(error.permanent, permanent);
    assert.equal(error.retryAfterMs, retryAfterMs);
    assert.match(error.hint ?? "", expected);
  }
});
