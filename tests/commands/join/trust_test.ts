/** `staps join` against TLS servers that deserve trust, and that don't. */
import assert from "node:assert/strict";
import { join, type JoinOptions } from "../../../src/commands/join/join.ts";
import { trustOf } from "../../../src/commands/join/trust.ts";
import { StartupError, UsageError } from "../../../src/common/errors.ts";
import { Authority, type Certificate } from "../../helpers/certificates.ts";
import { commandContext } from "../../helpers/command_line.ts";

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
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", cert, key, onListen: () => {} },
    (request) => {
      asked.push(new URL(request.url).pathname);
      return Deno.upgradeWebSocket(request).response;
    },
  );
  return Object.assign(server, { asked });
}

/** Joins the server as `host`, and gets the exit status and what was written on standard error. */
async function joinTls(
  server: Deno.HttpServer<Deno.NetAddr>,
  { host = "localhost", ...options }: JoinOptions & { host?: string } = {},
): Promise<{ status: number; stderr: string }> {
  let stderr = "";
  const context = commandContext({
    stderr: {
      write(bytes): Promise<number> {
        stderr += new TextDecoder().decode(bytes);
        return Promise.resolve(bytes.length);
      },
      isTerminal: () => false,
    },
  });
  const url = `wss://${host}:${server.addr.port}${path}`;
  return { status: await join.run({ ...options, url }, context), stderr };
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
    assert.ok(error.message.startsWith(`Cannot connect to ${place}: its `));
    return error;
  }
  throw new assert.AssertionError({ message: "it was trusted" });
}

Deno.test("join.run() trusts the authority in --ca, for names and addresses", async () => {
  await using server = serveTls(await authority.certify());
  for (const host of ["localhost", "127.0.0.1"]) {
    const outcome = await joinTls(server, { ca: authority.file, host });
    assert.deepEqual(outcome, { status: 0, stderr: "" });
  }
  assert.deepEqual(server.asked, [path, path]);
});

Deno.test("join.run() trusts a self-signed certificate that --ca names", async () => {
  const certificate = await authority.selfSigned();
  await using server = serveTls(certificate);
  const { status } = await joinTls(server, { ca: certificate.certFile });
  assert.equal(status, 0);
});

Deno.test("join.run() tells that a certificate is self-signed", async () => {
  const certificate = await authority.selfSigned();
  for (const options of [{}, { ca: authority.file }]) {
    const { message, hint } = await refusal(certificate, options);
    assert.match(message, /: its certificate is self-signed$/);
    assert.match(hint!, /--ca FILE/);
  }
});

Deno.test("join.run() tells which authority isn't known", async () => {
  const { message, hint } = await refusal(await authority.certify(), {});
  assert.match(
    message,
    /: its certificate is signed by an unknown authority, "Test authority"$/,
  );
  assert.match(hint!, /^--ca FILE trusts/);
});

Deno.test("join.run() tells whom a certificate is for", async () => {
  const other = await authority.certify({
    names: "DNS:example.org,DNS:www.example.org,IP:192.0.2.1",
  });
  const { message } = await refusal(other);
  assert.match(
    message,
    /: its certificate is for "example\.org, www\.example\.org, 192\.0\.2\.1", not for "localhost"$/,
  );
  const byName = await authority.certify({ names: "DNS:localhost" });
  const byAddress = await refusal(byName, {
    ca: authority.file,
    host: "127.0.0.1",
  });
  assert.match(byAddress.message, /for "localhost", not for "127\.0\.0\.1"$/);
});

Deno.test("join.run() tells that a certificate expired, or isn't valid yet", async () => {
  const expired = await authority.certify({ until: "20210101120000Z" });
  assert.match(
    (await refusal(expired)).message,
    /: its certificate expired at 2021-01-01 12:00 UTC, and this machine's clock says 20\d\d-\d\d-\d\d \d\d:\d\d UTC$/,
  );
  const future = await authority.certify({ from: "20480101000000Z" });
  const { message, hint } = await refusal(future);
  assert.match(
    message,
    /: its certificate isn't valid before 2048-01-01 00:00 UTC, and this machine's clock says /,
  );
  assert.match(hint!, /clock/);
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
  for (
    const certificate of [
      await authority.selfSigned(),
      await authority.certify({ until: "20210101120000Z", names: "DNS:x" }),
    ]
  ) {
    await using server = serveTls(certificate);
    const { status, stderr } = await joinTls(server, { insecure: true });
    assert.equal(status, 0);
    assert.match(stderr, /^staps: --insecure: .* isn't checked/);
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
