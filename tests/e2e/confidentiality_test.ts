/**
 * What must stay secret, looked for in everything that staps shows to anybody:
 * no channel's path, no payload, and no password of the broker.
 *
 * The other frontends' logs are in frontends_test.ts; what check and a start
 * that fails say of the broker's password is in check_test.ts.
 */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { ask } from "../helpers/admin.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { eventually } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import { TempFolder } from "../../tools/folder.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import {
  denoDir,
  runProgram,
  type Staps,
  stapsCommand,
  startStaps,
} from "../../tools/process.ts";
import {
  closePayload,
  concat,
  frameBytes,
  handshakeBytes,
  type HandshakeOptions,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../../tools/raw_client.ts";
import { newPassword, Secrets, token } from "../helpers/secrets.ts";

/** Keeps everything that is sent to the broker, after the log-in of each connection. */
class Tap {
  sent = "";

  watch(): (bytes: Uint8Array) => void {
    let log = "";
    return (bytes) => {
      log += latin1.decode(bytes);
      // AMQP 0-9-1 section 4.2.5: "PLAIN" is in the one frame that has the password.
      const ok = log.indexOf("PLAIN");
      const end = log.indexOf("\xce", ok);
      if (ok < 0 || end < 0) return;
      this.sent += log.slice(end);
      log = "PLAIN\xce";
    };
  }
}

const latin1 = new TextDecoder("latin1");

/** A node whose every output is looked at. */
interface Node {
  readonly format: string;
  readonly staps: Staps;
  /** The folder that it works in. */
  readonly dir: string;
  /** Its admin socket, in there. */
  readonly admin: string;
}

async function startNode(
  stack: AsyncDisposableStack,
  { format, amqp }: { format: string; amqp: string },
): Promise<Node> {
  const { path: dir } = stack.use(await TempFolder.make());
  const admin = `${dir}/admin.sock`;
  const config = `
[staps]
amqp = ${amqp}
[daemon]
dir = ${dir}
pid_file = ${dir}/staps.pid
[admin]
socket = ${admin}
[log]
level = debug
format = ${format}
[limits]
message_bytes = 64K
client_buffer_bytes = 256K
channel_clients = 4
messages_per_second = 200
slow_after_s = 1
shutdown_spread_ms = 10
[bridge]
join_timeout_s = 1
`;
  const staps = stack.use(
    await startStaps({ config, through: inFrontendGroup }),
  );
  return { format, staps, dir, admin };
}

/** Clients whose paths are secrets; what they are answered and told is kept. */
class Visitors implements Disposable {
  /** Every answer to a handshake, and every close. */
  heard = "";
  readonly #secrets: Secrets;
  readonly #clients = new DisposableStack();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /** Gets a path that only a frontend's rule for UUIDs lets through. */
  uuidPath(): string {
    return `/${this.#secrets.add("a UUID", crypto.randomUUID())}`;
  }

  /** Gets a path with characters that are written in another way here and there. */
  oddPath(): string {
    return `/${this.#secrets.add("a path", `a%C3%A9/${token()}`)}` +
      `?${this.#secrets.add("a query", token())}`;
  }

  /** Gets a payload of at least 40 characters. */
  payload(length = 40): string {
    return this.#secrets.add("a payload", token()).padEnd(length, ".");
  }

  async join(target: Target, path: string): Promise<RawClient> {
    const client = this.#clients.use(await RawClient.connect(target));
    await client.write(handshakeBytes({ path, headers: this.#headers(path) }));
    await client.upgraded();
    return client;
  }

  /** Sends a handshake that may be as wrong as you like, and gets the status of the answer. */
  async try(
    target: Target,
    options: HandshakeOptions & { path: string },
  ): Promise<number | undefined> {
    using client = await RawClient.connect(target);
    const headers = {
      ...this.#headers(options.path),
      "Sec-WebSocket-Protocol": `p${this.#secrets.add("a protocol", token())}`,
      ...options.headers,
    };
    try {
      await client.write(handshakeBytes({ ...options, headers }));
      const { head, body, status } = await client.readResponse();
      // The chosen one of the client's protocols is all that may come back.
      const kept = head.replace(/sec-websocket-protocol: .*/i, "");
      this.heard += `${kept}\n${body}\n`;
      return status;
    } catch {
      return undefined;
    }
  }

  /** Gets headers that programs use for secrets, and that quote the path. */
  #headers(path: string): Record<string, string> {
    const secret = this.#secrets.add("a header", token());
    return {
      Authorization: `Bearer ${secret}`,
      Cookie: `session=${secret}`,
      Referer: `http://localhost${path}`,
      "User-Agent": secret,
    };
  }

  /** Reads until the connection ends, and gets the close code, if there is one. */
  async closeOf(client: RawClient): Promise<number | undefined> {
    let code;
    for (let frame; (frame = await client.readFrame()) !== undefined;) {
      if (frame.opcode !== opcodes.close) continue;
      const close = readClose(frame.payload);
      code = close.code;
      this.heard += `${close.reason}\n`;
      await client.send(opcodes.close, closePayload(code)).catch(() => {});
    }
    return code;
  }

  [Symbol.dispose](): void {
    this.#clients.dispose();
  }
}

/** Gets what anybody may ask of a running node, or see of its process. */
async function everythingAbout(
  { format, staps, dir, admin }: Node,
  path: string,
): Promise<string> {
  const parts = [staps.output, await filesIn(dir)];
  for (
    const url of ["/metrics", "/status", "/readyz", "/healthz", `/no${path}`]
  ) {
    const { text, headers } = await ask(admin, url);
    parts.push(JSON.stringify([...headers]), text);
  }
  for (const file of ["cmdline", "environ", "comm", "status"]) {
    parts.push(await Deno.readTextFile(`/proc/${staps.pid}/${file}`));
  }
  const json = format === "json" ? ["--json"] : [];
  for (const command of [["status"], ["check", ...json]]) {
    const { stdout, stderr } = await runProgram(Deno.execPath(), [
      ...[...stapsCommand, ...command, `--config=${staps.folder}/staps.conf`],
    ], { env: { HOME: dir, DENO_DIR: denoDir() } });
    parts.push(stdout, stderr);
  }
  return parts.join("\n");
}

/** Gets the names and contents of all files in `folder`. */
async function filesIn(folder: string): Promise<string> {
  const parts: string[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    parts.push(name);
    if (isDirectory) parts.push(await filesIn(path));
    if (isFile) parts.push(latin1.decode(await Deno.readFile(path)));
  }
  return parts.join("\n");
}

/** Gets what an administrator of the broker sees. */
async function brokerListings(broker: Broker): Promise<string> {
  const listings = await Promise.all(
    [
      ["list_queues", "name", "arguments", "policy"],
      ["list_bindings"],
      ["list_exchanges"],
      ["list_consumers"],
      ["list_connections", "name", "user", "client_properties"],
      ["list_channels", "name", "consumer_count"],
    ].map((listing) => broker.rabbitmqctl(...listing)),
  );
  assert.match(listings[0]!, /staps\.node\./);
  return listings.join("\n");
}

/** What clients do that goes well, on all nodes. */
async function meet(
  visitors: Visitors,
  targets: readonly Target[],
  path: string,
): Promise<void> {
  const clients = [];
  for (const target of targets) {
    clients.push(await visitors.join(target, path));
  }
  for (const [i, client] of clients.entries()) {
    const opcode = i % 2 === 0 ? opcodes.text : opcodes.binary;
    await client.send(opcode, visitors.payload());
  }
  for (const client of clients) {
    for (let missing = clients.length - 1; missing > 0;) {
      const frame = await client.readFrame();
      assert.ok(frame, "a message");
      if (frame.opcode <= opcodes.binary) missing--;
    }
    await client.send(opcodes.close, closePayload(3333, visitors.payload()));
    client.close();
  }
}

/** Everything that a node refuses a client, or closes it for, but what needs a broken bridge. */
async function misbehave(visitors: Visitors, target: Target): Promise<void> {
  const path = visitors.oddPath();
  const tries: (HandshakeOptions & { path: string })[] = [
    { path },
    { path, method: "POST" },
    { path, method: "PUT" },
    { path, method: "POST", headers: { "Content-Length": "0" } },
    { path, headers: { Origin: `http://${path.slice(1, 9)}.example.org` } },
    { path, headers: { Origin: `http://example.org${path}` } },
    { path, method: "G\x01T" },
    { path, version: "HTTP/9.9" },
    { path: `${path} x` },
    { path: `${path}%zz` },
    { path: `//${path}` },
    { path: `http://[${path}` },
    { path, headers: { Upgrade: undefined } },
    { path, headers: { "Sec-WebSocket-Version": "8" } },
    { path, headers: { "Sec-WebSocket-Key": "x" } },
    { path, headers: { Host: undefined } },
    { path, headers: { Host: `${path} ` } },
    { path, headers: { "Sec-WebSocket-Protocol": `"${path}"` } },
    { path, headers: { Long: path.repeat(3_000) } },
    { path: path.repeat(3_000) },
  ];
  const statuses = new Set<number | undefined>();
  for (const each of tries) statuses.add(await visitors.try(target, each));
  for (const status of [101, 400, 403, 404, 405, 411, 426]) {
    assert.ok(statuses.has(status), `${status} in ${[...statuses]}`);
  }

  const full = visitors.oddPath();
  for (let i = 0; i < 4; i++) await visitors.join(target, full);
  assert.equal(await visitors.try(target, { path: full }), 503);

  const big = await visitors.join(target, visitors.oddPath());
  await big.send(opcodes.text, visitors.payload(70_000));
  assert.equal(await visitors.closeOf(big), closes.too_big.code);

  const flood = await visitors.join(target, visitors.oddPath());
  // At once: on a busy machine anything else may be within the limit.
  await flood.write(
    concat(Array.from({ length: 1_000 }, () => frameBytes(opcodes.text))),
  );
  assert.equal(await visitors.closeOf(flood), closes.rate.code);

  const slowPath = visitors.oddPath();
  const slow = await visitors.join(target, slowPath);
  const other = await visitors.join(target, slowPath);
  const message = visitors.payload(60_000);
  for (let i = 0; i < 40; i++) await other.send(opcodes.text, message);
  assert.equal(await visitors.closeOf(slow), closes.slow.code);

  for (const garbage of ["", "\xff\xff", visitors.payload(100)]) {
    const client = await visitors.join(target, visitors.oddPath());
    await client.write(new TextEncoder().encode(garbage));
    await client.closeWrite().catch(() => {});
    client.close();
  }
}

Deno.test("a cluster at its most talkative tells no path, payload, header or password, whatever happens", async () => {
  const secrets = new Secrets();
  const password = newPassword(secrets);
  await using broker = await startBroker();
  const all = { configure: ".*", write: ".*", read: ".*" };
  await broker.addUser("somebody", { password, permissions: all });
  const tap = new Tap();
  await using proxy = await FaultyProxy.start(
    broker.port,
    "127.0.0.1",
    () => tap.watch(),
  );
  const encoded = encodeURIComponent(password);
  const amqp = `amqp://somebody:${encoded}@127.0.0.1:${proxy.port}/`;
  await using stack = new AsyncDisposableStack();
  const nodes = await Promise.all(
    ["text", "json", "journal"].map((format) =>
      startNode(stack, { format, amqp })
    ),
  );
  const [text, json, journal] = nodes as [Node, Node, Node];
  await using nginx = await startNginx({ socket: text.staps.socket });
  const targets: Target[] = nodes.map(({ staps }) => ({
    socket: staps.socket,
  }));
  using visitors = new Visitors(secrets);
  const joinAll = (path: string): Promise<RawClient[]> =>
    Promise.all(targets.map((target) => visitors.join(target, path)));

  // When all goes well, and when clients do what they shouldn't.
  await meet(visitors, targets, visitors.oddPath());
  await meet(visitors, [nginx, ...targets], visitors.uuidPath());
  await Promise.all(targets.map((target) => misbehave(visitors, target)));
  for (
    const path of [visitors.uuidPath(), visitors.oddPath(), "/" + token()]
  ) {
    for (const headers of [{}, { "Sec-WebSocket-Key": "x" }]) {
      await visitors.try(nginx, { path, headers });
      await visitors.try(nginx, { path: `${path}/../x%zz`, headers });
      await visitors.try(nginx, { path, method: "POST", headers });
    }
  }
  await joinAll(visitors.oddPath());
  secrets.assertNone(await brokerListings(broker), "a listing of the broker");
  await Promise.all(nodes.map(async (node) => {
    const all = await everythingAbout(node, visitors.oddPath());
    secrets.assertNone(all, `the ${node.format} node`);
  }));

  // A gap: somebody deletes the nodes' queues.
  const victims = await joinAll(visitors.oddPath());
  await broker.deleteQueues();
  for (const victim of victims) {
    assert.equal(await visitors.closeOf(victim), closes.gap.code);
  }

  // An outage, in which clients go on.
  await broker.stop();
  for (const { staps, format } of nodes) {
    await staps.printed(/bridge (disconnected|lost|down|unavailable)|broker/i);
    assert.ok(!staps.ended, format);
  }
  for (const target of targets) {
    await visitors.try(target, { path: visitors.oddPath() });
  }
  const without = await everythingAbout(text, visitors.oddPath());
  secrets.assertNone(without, "a node without its broker");
  await broker.start();
  for (const { admin, format } of nodes) {
    await eventually(
      async () => (await ask(admin, "/readyz")).status === 200,
      `the ${format} node to be ready again`,
    );
  }
  await meet(visitors, targets, visitors.oddPath());

  // Reloads that can't be done, for what stands where the URL should.
  const conf = `${text.staps.folder}/staps.conf`;
  const config = await Deno.readTextFile(conf);
  for (
    const broken of [
      amqp.replace("amqp:", "http:"),
      amqp.replace("127.0.0.1", "no host"),
      amqp.replace(encoded, password),
      password,
    ]
  ) {
    await Deno.writeTextFile(conf, config.replace(amqp, () => broken));
    const before = text.staps.stderr.length;
    text.staps.signal("SIGHUP");
    await eventually(
      () => text.staps.stderr.slice(before).includes("reload"),
      () => `a word about the reload of ${broken}`,
    );
  }
  await Deno.writeTextFile(conf, config);

  // The ends: in good order, and with a core dump.
  const [leaving] = await joinAll(visitors.oddPath());
  text.staps.signal("SIGTERM");
  assert.equal(await visitors.closeOf(leaving!), closes.restart.code);
  await text.staps.stop();
  await json.staps.stop("SIGABRT");
  await journal.staps.stop("SIGQUIT");
  for (const path of [visitors.uuidPath(), visitors.oddPath()]) {
    await visitors.try(nginx, { path });
    await visitors.try(nginx, { path: `${path}?${visitors.payload()}` });
  }

  for (const { staps, dir, format } of nodes) {
    assert.match(staps.output, /message/, "debug lines");
    secrets.assertNone(staps.output, `the ${format} log`);
    secrets.assertNone(await filesIn(dir), `the folder of the ${format} node`);
    // Its own URL was no secret there.
    assert.ok(staps.output.includes("127.0.0.1"), format);
  }
  secrets.assertNone(visitors.heard, "an answer or a close");
  secrets.assertNone(await nginx.allLogs(), "nginx's logs");
  assert.match(await nginx.accessLog(), / 101 /);
  assert.match(await nginx.accessLog(), / 502 /);
  secrets.assertNone(broker.output, "the broker's log");
  // Payloads have to be there, and prove that the tap sees something.
  const inBodies = secrets.find(tap.sent);
  assert.ok(inBodies.some((name) => name.startsWith("a payload (as it is")));
  assert.deepEqual(
    inBodies.filter((name) => !name.startsWith("a payload")),
    [],
  );
});
