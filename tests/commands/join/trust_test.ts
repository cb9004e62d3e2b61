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
  certificate: Certificate,
): Deno.HttpServer<Deno.NetAddr> & { asked: string[] } {
  const asked: string[] = [];
  const server = serveHttp((request) => {
    asked.push(new URL(request.url).pathname);
    return Deno.upgradeWebSocket(request).response;
  }, certificate);
  return Object.assign(server, { asked });
}

type Options = JoinOptions & { readonly host?: string };

/** Joins the server as `host`, and gets the exit status and what was written on standard error. */
async function joinTls(
  server: Deno.HttpServer<Deno.NetAddr>,
  { host = "localhost", ...options }: Options,
): Promise<{ status: number; errors: string }> {
  const context = commandContext();
  const url = `wss://${host}:${server.addr.port}${path}`;
  const status = await join.run({ ...options, url }, context);
  return { status, errors: context.errors };
}

/** Gets what is wrong with `certificate`, and the hint, where it isn't trusted: then the server mustn't get to know the path. */
async function distrust(
  certificate: Certificate,
  options: Options = { ca: authority.file },
): Promise<string> {
  await using server = serveTls(certificate);
  const error = await joinTls(server, options).catch((error) => error);
  assert.ok(error instanceof StartupError, String(error));
  assert.deepEqual(server.asked, []);
  const { message, hint } = error;
  assert.doesNotMatch(`${message}${hint}`, /1111/);
  const place = `wss://${options.host ?? "localhost"}:${server.addr.port}`;
  const [start, problem] = message.split(": its certificate ");
  assert.equal(start, `Cannot connect to ${place}`);
  return `${problem}; ${hint}`;
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
  const selfSigned = await authority.selfSigned();
  assert.match(await distrust(selfSigned, {}), /^is self-signed; .*--ca FILE/);
  assert.match(await distrust(selfSigned), /^is self-signed; .*--ca FILE/);
  assert.match(
    await distrust(await authority.certify(), {}),
    /^is signed by an unknown authority, "Test authority"; --ca FILE trusts/,
  );
  const names = "DNS:example.org,DNS:www.example.org,IP:192.0.2.1";
  assert.match(
    await distrust(await authority.certify({ names })),
    /^is for "example\.org, www\.example\.org, 192\.0\.2\.1", not for "localhost"; /,
  );
  const ofName = await authority.certify({ names: "DNS:localhost" });
  assert.match(
    await distrust(ofName, { ca: authority.file, host: "127.0.0.1" }),
    /^is for "localhost", not for "127\.0\.0\.1"; likely the URL has another/,
  );
  assert.match(
    await distrust(await authority.certify({ until: "20210101120000Z" })),
    /^expired at 2021-01-01 12:00 UTC, and this machine's clock says 20\d\d-\d\d-\d\d \d\d:\d\d UTC; /,
  );
  assert.match(
    await distrust(await authority.certify({ from: "20480101000000Z" })),
    /^isn't valid before 2048-01-01 00:00 UTC, and this machine's clock says .*; likely the clock is off/,
  );
});

Deno.test("join.run() lets no certificate steer the terminal", async () => {
  const names = `DNS:${"a".repeat(60)}\x1b[2J.example.org`;
  const certificate = await authority.certify({
    names: Array(5).fill(names).join(","),
  });
  const told = await distrust(certificate);
  assert.doesNotMatch(told, /[^\x20-\x7e]/);
  assert.ok(told.length < 400, told);
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
