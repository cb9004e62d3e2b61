/** `staps join` against TLS servers that deserve trust, and that don't. */
import assert from "node:assert/strict";
import { join, type JoinOptions } from "../../../src/commands/join/join.ts";
import { trustOf } from "../../../src/commands/join/trust.ts";
import { StartupError, UsageError } from "../../../src/common/errors.ts";
import { Authority, type Certificate } from "../../../tools/certificates.ts";
import { commandContext } from "../../helpers/command_line.ts";
import { serveHttp } from "../http_server.ts";

const path = "/11111111-2222-4333-8444-555555555555";

let authority: Authority;

Deno.test.beforeAll(async () => {
  authority = await Authority.make();
});

Deno.test.afterAll(async () => {
  await authority?.[Symbol.asyncDispose]();
});

/** A server over TLS that lets anybody join, and tells which paths it was asked for. */
function serveTls(
  { cert, key }: Certificate,
): Deno.HttpServer<Deno.NetAddr> & { asked: string[] } {
  const asked: string[] = [];
  const server = serveHttp((request) => {
    asked.push(new URL(request.url).pathname);
    return Deno.upgradeWebSocket(request).response;
  }, { cert, key });
  return Object.assign(server, { asked });
}

/** Joins the server as `host`, and gets the exit status and what was written on standard error. */
async function joinTls(
  server: Deno.HttpServer<Deno.NetAddr>,
  { host = "localhost", ...options }: JoinOptions & { host?: string } = {},
): Promise<{ status: number; errors: string }> {
  const context = commandContext();
  const url = `wss://${host}:${server.addr.port}${path}`;
  const status = await join.run({ ...options, url }, context);
  return { status, errors: context.errors };
}

/** Gets the error of joining a server with `certificate`, which mustn't get to know the path. */
async function refusal(
  certificate: Certificate,
  options: JoinOptions & { host?: string } = { ca: authority.file },
): Promise<StartupError> {
  await using server = serveTls(certificate);
  try {
    await joinTls(server, options);
  } catch (error) {
    assert.ok(error instanceof StartupError, String(error));
    assert.deepEqual(server.asked, []);
    assert.doesNotMatch(`${error.message}${error.hint}`, /1111/);
    const place = `wss://${options.host ?? "localhost"}:${server.addr.port}`;
    const start = `Cannot connect to ${place}: its certificate `;
    assert.ok(error.message.startsWith(start), error.message);
    return error;
  }
  throw new assert.AssertionError({ message: "it was trusted" });
}

Deno.test("join.run() trusts what --ca has: an authority, for names and addresses, or a self-signed certificate", async () => {
  await using server = serveTls(await authority.certify());
  for (const host of ["localhost", "127.0.0.1"]) {
    const outcome = await joinTls(server, { ca: authority.file, host });
    assert.deepEqual(outcome, { status: 0, errors: "" });
  }
  assert.deepEqual(server.asked, [path, path]);
  const certificate = await authority.selfSigned();
  await using own = serveTls(certificate);
  const { status } = await joinTls(own, { ca: certificate.certFile });
  assert.equal(status, 0);
});

Deno.test("join.run() tells why it doesn't trust a certificate, and whom it is for", async () => {
  const names = "DNS:example.org,DNS:www.example.org,IP:192.0.2.1";
  const ca = authority.file;
  const selfSigned = await authority.selfSigned();
  const cases: [Certificate, JoinOptions & { host?: string }, ...RegExp[]][] = [
    [selfSigned, {}, /self-signed$/, /--ca FILE/],
    [selfSigned, { ca }, /self-signed$/, /--ca FILE/],
    [
      await authority.certify(),
      {},
      /signed by an unknown authority, "Test authority"$/,
      /^--ca FILE trusts/,
    ],
    [
      await authority.certify({ names }),
      { ca },
      /for "example\.org, www\.example\.org, 192\.0\.2\.1", not for "localhost"$/,
    ],
    [
      await authority.certify({ names: "DNS:localhost" }),
      { ca, host: "127.0.0.1" },
      /for "localhost", not for "127\.0\.0\.1"$/,
    ],
    [
      await authority.certify({ until: "20210101120000Z" }),
      { ca },
      /expired at 2021-01-01 12:00 UTC, and this machine's clock says 20\d\d-\d\d-\d\d \d\d:\d\d UTC$/,
    ],
    [
      await authority.certify({ from: "20480101000000Z" }),
      { ca },
      /isn't valid before 2048-01-01 00:00 UTC, and this machine's clock says /,
      /clock/,
    ],
  ];
  for (const [certificate, options, expected, expectedHint] of cases) {
    const { message, hint } = await refusal(certificate, options);
    assert.match(message, expected!);
    assert.match(hint ?? "", expectedHint ?? /^/);
  }
});

Deno.test("join.run() lets no certificate steer the terminal", async () => {
  const names = `DNS:${"a".repeat(60)}\x1b[2J.example.org`;
  const certificate = await authority.certify({
    names: Array(5).fill(names).join(","),
  });
  const { message } = await refusal(certificate);
  assert.doesNotMatch(message, /[^\x20-\x7e]/);
  assert.ok(message.length < 400, message);
});

Deno.test("join.run() trusts anybody with --insecure, and says so", async () => {
  const certificates = [
    await authority.selfSigned(),
    await authority.certify({ until: "20210101120000Z", names: "DNS:x" }),
  ];
  for (const certificate of certificates) {
    await using server = serveTls(certificate);
    const { status, errors } = await joinTls(server, { insecure: true });
    assert.equal(status, 0);
    assert.match(errors, /^staps: --insecure: .* isn't checked/);
  }
});

Deno.test("trustOf() refuses what can't be meant", async () => {
  const ca = authority.file;
  await assert.rejects(trustOf({ ca, insecure: true }), UsageError);
  await assert.rejects(trustOf({ ca: `${ca}.none` }), {
    name: "StartupError",
    message: `Cannot read "${ca}.none" of --ca: there is no such file`,
  });
  const { keyFile } = await authority.selfSigned();
  await assert.rejects(trustOf({ ca: keyFile }), {
    message: `Cannot use "${keyFile}" of --ca: expected a certificate in PEM`,
  });
});
