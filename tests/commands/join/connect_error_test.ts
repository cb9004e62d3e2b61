import assert from "node:assert/strict";
import type { ConnectError } from "../../../src/commands/join/connect_error.ts";
import {
  Connection,
  type ConnectionOptions,
} from "../../../src/commands/join/connection.ts";
import { StartupError } from "../../../src/common/errors.ts";
import { freePort, TempFolder } from "../../helpers/folder.ts";

const path = "/11111111-2222-4333-8444-555555555555";

/** Gets the error of connecting. It never shows the path. */
async function failure(
  base: string,
  options: ConnectionOptions = {},
): Promise<ConnectError> {
  const connection = new Connection(base + path, options);
  try {
    await connection.opened;
  } catch (error) {
    assert.ok(error instanceof StartupError, String(error));
    assert.doesNotMatch(`${error.message}${error.hint}`, /1111/);
    await connection.ended;
    return error as ConnectError;
  }
  throw new assert.AssertionError({ message: "it connected" });
}

/** Gets the error for a server that answers with `response`. */
async function refusal(
  response: (request: Request) => Response,
): Promise<ConnectError> {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    response,
  );
  const base = `ws://127.0.0.1:${server.addr.port}`;
  const error = await failure(base);
  const start = `Cannot connect to ${base}: got HTTP status `;
  assert.ok(error.message.startsWith(start), error.message);
  return Object.assign(error, { message: error.message.slice(start.length) });
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
  const { message, hint } = await failure("ws://localhost", { socket });
  assert.equal(
    message,
    `Cannot connect to "${socket}": there is no such socket`,
  );
  assert.equal(hint, "is staps running?");
  await Deno.writeTextFile(socket, "");
  const file = await failure("ws://localhost", { socket });
  assert.equal(
    file.message,
    `Cannot connect to "${socket}": nobody answers there`,
  );
});

Deno.test("Connection tells that the scheme is the wrong one", async () => {
  await using plain = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response(),
  );
  const toPlain = await failure(`wss://127.0.0.1:${plain.addr.port}`);
  assert.match(toPlain.message, /: the port doesn't speak TLS$/);
  assert.match(toPlain.hint!, /ws:\/\/ instead of wss:\/\//);
  // What a TLS server says to what isn't TLS: an alert.
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const answering = (async (): Promise<void> => {
    using connection = await listener.accept();
    await connection.read(new Uint8Array(1024));
    await connection.write(new Uint8Array([0x15, 3, 1, 0, 2, 2, 70]));
  })();
  const toTls = await failure(`ws://127.0.0.1:${listener.addr.port}`);
  assert.match(toTls.message, /: that is no web server$/);
  assert.match(toTls.hint!, /wss:\/\/ instead of ws:\/\//);
  await answering;
});

Deno.test("Connection shows a refusal's body on one line, escaped", async () => {
  const { message, hint, permanent, retryAfterMs } = await refusal(() =>
    new Response("at the limit\x1b[2J of clients\r\nsecond line\n", {
      status: 503,
      headers: { "Retry-After": "7" },
    })
  );
  assert.equal(
    message,
    '503, expected 101 ("at the limit\\u001b[2J of clients second line")',
  );
  assert.match(hint!, /limit is reached/);
  assert.equal(permanent, false);
  assert.equal(retryAfterMs, 7000);
});

Deno.test("Connection bounds what it shows of a refusal, and waits for its end only a while", async () => {
  let given = 0;
  const { message } = await refusal(() =>
    new Response(
      new ReadableStream({
        pull(controller): void {
          given++;
          controller.enqueue(new TextEncoder().encode("x".repeat(1024)));
        },
      }),
      { status: 403 },
    )
  );
  assert.equal(message, `403, expected 101 ("${"x".repeat(200)}...")`);
  assert.ok(given < 10_000, `${given} KiB were taken`);
  const slow = await refusal(() =>
    new Response(
      new ReadableStream({
        start: (it) => it.enqueue(new TextEncoder().encode("and then")),
      }),
      { status: 403 },
    )
  );
  assert.equal(slow.message, '403, expected 101 ("and then")');
});

Deno.test("Connection shows no path that a refusal quotes, and only the title of a page", async () => {
  const { message, permanent } = await refusal(({ url }) =>
    new Response(
      `Cannot GET ${new URL(url).pathname}, not ${path.slice(1)}`,
      { status: 404 },
    )
  );
  assert.equal(message, '404, expected 101 ("Cannot GET ..., not ...")');
  assert.equal(permanent, true);
  const page = await refusal(() =>
    new Response("<html><title>No\nWay</title><p>more</p></html>", {
      status: 502,
      headers: { "content-type": "text/html" },
    })
  );
  assert.equal(page.message, '502, expected 101 ("No Way")');
});

Deno.test("Connection follows no redirection, and says so", async () => {
  const { message, hint, permanent } = await refusal(() =>
    new Response(null, {
      status: 301,
      headers: { location: `https://127.0.0.1${path}` },
    })
  );
  assert.equal(message, "301, expected 101");
  assert.match(hint!, /wss:\/\//);
  assert.equal(permanent, true);
});
