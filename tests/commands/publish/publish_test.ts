import assert from "node:assert/strict";
import {
  httpUrl,
  publish,
  type PublishOptions,
  publishStatus,
  statusOf,
} from "../../../src/commands/publish/publish.ts";
import { StartupError } from "../../../src/common/errors.ts";
import { commandContext, refusal } from "../../helpers/command_line.ts";
import { Authority } from "../../../tools/certificates.ts";
import { startServer } from "../../helpers/server.ts";
import { serveHttp } from "../http_server.ts";

/** Runs it, and gets exit status and output. */
async function run(
  options: PublishOptions,
  { input = "", STAPS_URL }: { input?: BlobPart; STAPS_URL?: string } = {},
): Promise<{ status: number; printed: string; errors: string }> {
  const context = commandContext({
    stdin: { readable: new Blob([input]).stream(), isTerminal: () => false },
    environment: { STAPS_URL },
  });
  const status = await publish.run(options, context);
  return { status, printed: context.printed, errors: context.errors };
}

Deno.test("publish.run() publishes a text, the input or bytes, and prints the answer", async () => {
  await using server = await startServer();
  const { socket } = server;
  const member = await server.connect("/x");
  const url = "/x";
  const got = { status: 0, printed: '{"members":1}\n', errors: "" };
  assert.deepEqual(await run({ url, socket, message: "hello\n" }), got);
  const input = "two\nlines\n";
  assert.deepEqual(await run({ url, socket }, { input }), got);
  assert.deepEqual(await run({ url, socket, binary: true }, { input }), got);
  for (const STAPS_URL of ["ws://example.org/x?q#f", "/x"]) {
    assert.deepEqual(await run({ socket }, { STAPS_URL }), got);
  }
  const bytes = new TextEncoder().encode(input);
  const expected = ["hello\n", "two\nlines", bytes, "", ""];
  assert.deepEqual(await member.take(5), expected);
});

Deno.test("publish.run() ends with 7 if nobody is there, and waits for somebody", async () => {
  await using server = await startServer();
  const options = { url: "/x", socket: server.socket, message: "a" };
  assert.deepEqual(await run(options), {
    status: 7,
    printed: '{"members":0}\n',
    errors: "",
  });
  const waiting = run({ ...options, wait: 30 });
  const member = await server.connect("/x");
  assert.equal(await member.next(), "a");
  assert.equal((await waiting).status, 0);
});

Deno.test("publish.run() ends with 4 for what is refused and 3 for what may be later, with the reason", async () => {
  await using server = await startServer({
    limits: { messageBytes: 3 },
    http: { requestsPerSecond: 2 },
  });
  const options = { url: "/x", socket: server.socket, message: "" };
  const refused = await run({ ...options, message: "long" });
  assert.equal(refused.status, 4);
  assert.match(refused.errors, /^staps: HTTP status 413: .* 3 bytes\n$/);
  await run(options);
  const later = await run(options);
  assert.equal(later.status, 3);
  assert.match(later.errors, /503: .*requests_per_second/);
});

Deno.test("publish.run() tells that nobody answers, without the path", async () => {
  for (const socket of [undefined, "/none"]) {
    const url = socket ? "/secret" : "ws://127.0.0.1:1/secret";
    const options = { url, message: "x", ...socket && { socket } };
    const error = await run(options).catch((error) => error);
    assert.ok(error instanceof StartupError, String(error));
    assert.match(error.message, /^Cannot publish at/);
    assert.doesNotMatch(error.message, /secret/);
  }
});

Deno.test("publish.run() takes only UTF-8 as text", async () => {
  const input = new Uint8Array([0xff]);
  const publishing = run({ url: "ws://127.0.0.1:1/x" }, { input });
  await assert.rejects(publishing, { exitCode: 65, message: /UTF-8/ });
});

Deno.test("statusOf() knows a frontend's answers from those of staps", () => {
  const of = (status: number, isReport = false): number =>
    statusOf({ status, isReport, line: "" });
  assert.equal(of(200, true), publishStatus.delivered);
  assert.equal(of(404, true), publishStatus.nobody);
  for (const status of [408, 429, 500, 502, 503, 504]) {
    assert.equal(of(status), publishStatus.later, `${status}`);
  }
  for (const status of [200, 301, 400, 403, 404, 411, 413, 426, 501]) {
    assert.equal(of(status), publishStatus.refused, `${status}`);
  }
});

Deno.test("httpUrl() takes every scheme of a channel's URL, and refuses the rest without quoting it", () => {
  const urls = {
    "wss://example.org/x": "https://example.org/x",
    "WS://example.org/x#f": "http://example.org/x",
    "https://example.org/x": "https://example.org/x",
  };
  for (const [url, expected] of Object.entries(urls)) {
    assert.equal(httpUrl({ url }, undefined), expected);
  }
  assert.equal(httpUrl({ url: "/x", socket: "s" }, ""), "http://localhost/x");
  for (const url of ["", "/secret", "ftp://example.org/secret", "secret"]) {
    assert.throws(() => httpUrl({ url }, undefined), {
      name: "UsageError",
      message: /^(?!.*secret)/,
    });
  }
});

Deno.test("--wait takes whole seconds, up to 60", () => {
  for (const wait of ["61", "x", "-1", "1.5"]) {
    assert.match(refusal("publish", "/x", "-w", wait).message, /--wait|-w/);
  }
});

Deno.test("publish.run() trusts the authorities in --ca, and lets no server steer the terminal", async () => {
  await using authority = await Authority.make();
  await using server = serveHttp(
    () => new Response("red: \x1b[31m\n", { status: 410 }),
    await authority.certify(),
  );
  const url = `wss://localhost:${server.addr.port}/x`;
  await assert.rejects(run({ url, message: "a" }), StartupError);
  const ca = authority.file;
  assert.deepEqual(await run({ url, ca, message: "a" }), {
    status: 4,
    printed: "",
    errors: "staps: HTTP status 410: red: \\u001b[31m\n",
  });
  await server.shutdown();
});
