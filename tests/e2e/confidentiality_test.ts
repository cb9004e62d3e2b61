/**
 * What must stay secret, looked for in everything that staps shows to anybody:
 * no channel's path, no payload, and no password of the broker.
 *
 * The other frontends' logs are in frontends_test.ts.
 */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { ConfigError } from "../../src/common/errors.ts";
import { ask } from "../helpers/admin.ts";
import { type Broker, startBroker } from "../helpers/broker.ts";
import { loadText } from "../helpers/config.ts";
import { eventually } from "../helpers/eventually.ts";
import { freePort, TempFolder } from "../helpers/folder.ts";
import { inFrontendGroup, type Nginx, startNginx } from "../helpers/nginx.ts";
import {
  denoDir,
  runProgram,
  spawnStaps,
  type Staps,
  stapsCommand,
  startStaps,
} from "../helpers/process.ts";
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
} from "../helpers/raw_client.ts";
import { Secrets } from "../helpers/secrets.ts";

/** Letters that nobody can have by accident. */
function token(): string {
  return crypto.getRandomValues(new Uint8Array(15)).toHex();
}

/** Gets a password with everything in it that has a meaning in a URL or an INI file. */
function newPassword(secrets: Secrets): string {
  const tail = secrets.add("the password's end", token());
  return secrets.add("the password", `k/9?%#;&@:+ ~=[${tail}`);
}

/** Gets the URL of a broker for the user `somebody`. */
function urlOf(
  port: number,
  { password, scheme = "amqp", vhost = "" }: {
    password: string;
    scheme?: string;
    vhost?: string;
  },
): string {
  const userInfo = `somebody:${encodeURIComponent(password)}`;
  return `${scheme}://${userInfo}@127.0.0.1:${port}/${vhost}`;
}

/** A TCP proxy that keeps what goes to the broker. */
class Tap implements AsyncDisposable {
  /** Everything that was sent to the broker, after the log-in of each connection. */
  sent = "";
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;

  constructor(targetPort: number) {
    this.#serving = this.#serve(targetPort);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) {
      try {
        connection.close();
      } catch {
        // It is closed.
      }
    }
    await this.#serving;
  }

  async #serve(port: number): Promise<void> {
    const passing: Promise<void>[] = [];
    for await (const client of this.#listener) {
      this.#connections.add(client);
      let broker: Deno.Conn;
      try {
        broker = await Deno.connect({ hostname: "127.0.0.1", port });
      } catch {
        client.close();
        continue;
      }
      this.#connections.add(broker);
      let log = "";
      passing.push(
        pass(client, broker, (bytes) => {
          log += latin1.decode(bytes);
          // AMQP 0-9-1 section 4.2.5: "PLAIN" is in the one frame that has the password.
          const ok = log.indexOf("PLAIN");
          if (ok < 0) return;
          const end = log.indexOf("\xce", ok);
          if (end < 0) return;
          this.sent += log.slice(end);
          log = "PLAIN\xce";
        }),
        pass(broker, client),
      );
    }
    await Promise.all(passing);
  }
}

const latin1 = new TextDecoder("latin1");

async function pass(
  from: Deno.Conn,
  to: Deno.Conn,
  see: (bytes: Uint8Array) => void = () => {},
): Promise<void> {
  const buffer = new Uint8Array(65536);
  try {
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      see(buffer.subarray(0, count));
      for (let sent = 0; sent < count;) {
        sent += await to.write(buffer.subarray(sent, count));
      }
    }
  } catch {
    // One side has ended.
  }
  for (const side of [from, to]) {
    try {
      side.close();
    } catch {
      // It is closed.
    }
  }
}

/** A node whose every output is looked at. */
interface Node {
  readonly format: string;
  readonly staps: Staps;
  readonly admin: string;
  readonly config: string;
  /** The folder that it works in. */
  readonly dir: string;
}

async function startNode(
  format: string,
  { amqp, folder }: { amqp: string; folder: string },
): Promise<Node> {
  const dir = `${folder}/${format}`;
  await Deno.mkdir(dir);
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
shutdown_spread_ms = 10
[bridge]
join_timeout_s = 1
`;
  const staps = await startStaps({ config, through: inFrontendGroup });
  return { format, staps, admin, config, dir };
}

/** Clients whose paths are secrets; what they are answered and told is kept. */
class Visitors implements Disposable {
  /** Every answer to a handshake, and every close. */
  heard = "";
  readonly codes = new Set<number>();
  readonly #secrets: Secrets;
  readonly #clients: RawClient[] = [];

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

  /** Gets headers that programs use for secrets, and that quote the path. */
  headers(path: string): Record<string, string> {
    const secret = this.#secrets.add("a header", token());
    return {
      Authorization: `Bearer ${secret}`,
      Cookie: `session=${secret}`,
      Referer: `http://localhost${path}`,
      "User-Agent": secret,
      "Sec-WebSocket-Protocol": `p${secret}`,
    };
  }

  async join(target: Target, path: string): Promise<RawClient> {
    const client = await RawClient.connect(target);
    this.#clients.push(client);
    const headers = this.headers(path);
    delete headers["Sec-WebSocket-Protocol"];
    await client.write(handshakeBytes({ path, headers }));
    await client.upgraded();
    return client;
  }

  /** Sends a handshake that may be as wrong as you like, and gets the status of the answer. */
  async try(
    target: Target,
    options: HandshakeOptions & { path: string },
  ): Promise<number | undefined> {
    using client = await RawClient.connect(target);
    const headers = { ...this.headers(options.path), ...options.headers };
    try {
      await client.write(handshakeBytes({ ...options, headers }));
      const { head, body, status } = await client.readResponse();
      this.heard += `${head}\n${body}\n`;
      // The chosen one of the client's protocols is all that may come back.
      this.heard = this.heard.replace(/sec-websocket-protocol: .*/i, "");
      return status;
    } catch {
      return undefined;
    }
  }

  /** Reads until the connection ends, and gets the close code, if there is one. */
  async closeOf(client: RawClient): Promise<number | undefined> {
    let code;
    for (;;) {
      const frame = await client.readFrame();
      if (frame === undefined) return code;
      if (frame.opcode !== opcodes.close) continue;
      const close = readClose(frame.payload);
      code = close.code;
      this.codes.add(code);
      this.heard += `${close.reason}\n`;
      await client.send(opcodes.close, closePayload(code)).catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
  }
}

/** Runs a command of staps for `node`, and gets all that it prints. */
async function command(
  node: Pick<Node, "staps" | "dir">,
  ...args: string[]
): Promise<string> {
  const { stdout, stderr } = await runProgram(Deno.execPath(), [
    ...stapsCommand,
    args[0]!,
    `--config=${node.staps.folder}/staps.conf`,
    ...args.slice(1),
  ], { env: { HOME: node.dir, DENO_DIR: denoDir() } });
  return stdout + stderr;
}

/** Gets what anybody may ask of a running node, or see of its process. */
async function everythingAbout(node: Node, path: string): Promise<string> {
  const parts = [node.staps.output];
  for (
    const url of ["/metrics", "/status", "/readyz", "/healthz", `/no${path}`]
  ) {
    const { text, headers } = await ask(node.admin, url);
    parts.push(JSON.stringify([...headers]), text);
  }
  for (const file of ["cmdline", "environ", "comm", "status"]) {
    parts.push(await Deno.readTextFile(`/proc/${node.staps.pid}/${file}`));
  }
  parts.push(
    await filesIn(node.dir),
    ...await Promise.all([
      command(node, "status"),
      command(node, "check", ...node.format === "json" ? ["--json"] : []),
    ]),
  );
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
  const listings = await Promise.all([
    broker.rabbitmqctl("list_queues", "name", "arguments", "policy"),
    broker.rabbitmqctl("list_bindings"),
    broker.rabbitmqctl("list_exchanges"),
    broker.rabbitmqctl("list_consumers"),
    broker.rabbitmqctl("list_connections", "name", "user", "client_properties"),
    broker.rabbitmqctl("list_channels", "name", "consumer_count"),
  ]);
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
    for (let got = 0; got < clients.length - 1;) {
      const frame = await client.readFrame();
      assert.ok(frame, "a message");
      if (frame.opcode === opcodes.text || frame.opcode === opcodes.binary) {
        got++;
      }
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
  await using tap = new Tap(broker.port);
  await using folder = await TempFolder.make();
  await using stack = new AsyncDisposableStack();
  const amqp = urlOf(tap.port, { password });
  const nodes: Node[] = [];
  for (const format of ["text", "json", "journal"]) {
    const node = await startNode(format, { amqp, folder: folder.path });
    stack.use(node.staps);
    nodes.push(node);
  }
  const [text, json, journal] = nodes as [Node, Node, Node];
  await using nginx: Nginx = await startNginx({ socket: text.staps.socket });
  const targets: Target[] = nodes.map(({ staps }) => ({
    socket: staps.socket,
  }));
  using visitors = new Visitors(secrets);

  // When all goes well, and when clients do what they shouldn't.
  await meet(visitors, targets, visitors.oddPath());
  await meet(visitors, [nginx, ...targets], visitors.uuidPath());
  for (const target of targets) await misbehave(visitors, target);
  for (
    const path of [visitors.uuidPath(), visitors.oddPath(), "/" + token()]
  ) {
    for (const headers of [{}, { "Sec-WebSocket-Key": "x" }]) {
      await visitors.try(nginx, { path, headers });
      await visitors.try(nginx, { path: `${path}/../x%zz`, headers });
      await visitors.try(nginx, { path, method: "POST", headers });
    }
  }
  const stay = visitors.oddPath();
  for (const target of targets) await visitors.join(target, stay);
  secrets.assertNone(await brokerListings(broker), "a listing of the broker");
  for (const node of nodes) {
    secrets.assertNone(
      await everythingAbout(node, visitors.oddPath()),
      `the ${node.format} node`,
    );
  }

  // A gap: somebody deletes a node's queue.
  const lost = visitors.oddPath();
  const victims = [];
  for (const target of targets) {
    victims.push(await visitors.join(target, lost));
  }
  const queues = await broker.rabbitmqctl("list_queues", "name");
  for (const queue of queues.match(/staps\.node\.\S+/g) ?? []) {
    await broker.rabbitmqctl("delete_queue", queue);
  }
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
  secrets.assertNone(
    await everythingAbout(text, visitors.oddPath()),
    "a node without its broker",
  );
  await broker.start();
  for (const { admin, format } of nodes) {
    await eventually(
      async () => (await ask(admin, "/readyz")).status === 200,
      `the ${format} node to be ready again`,
    );
  }
  await meet(visitors, targets, visitors.oddPath());

  // A reload that can't be done, for what stands where the URL should.
  const conf = `${text.staps.folder}/staps.conf`;
  for (const broken of brokenUrls(amqp, password)) {
    await Deno.writeTextFile(conf, text.config.replace(amqp, () => broken));
    const reloads = count(text.staps.stderr, /reload/gi);
    text.staps.signal("SIGHUP");
    await eventually(
      () => count(text.staps.stderr, /reload/gi) > reloads,
      () =>
        `a word about the reload of ${broken}: ${
          text.staps.stderr.slice(-500)
        }`,
    );
  }
  await Deno.writeTextFile(conf, text.config);

  // The ends: in good order, and with a core dump.
  const last = visitors.oddPath();
  const leaving = [];
  for (const target of targets) {
    leaving.push(await visitors.join(target, last));
  }
  text.staps.signal("SIGTERM");
  assert.equal(await visitors.closeOf(leaving[0]!), closes.restart.code);
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

/** Gets settings of `amqp` that are wrong, with the password in each. */
function brokenUrls(amqp: string, password: string): string[] {
  const encoded = encodeURIComponent(password);
  return [
    amqp.replace("amqp:", "http:"),
    amqp.replace("amqp:", "amqpx:"),
    amqp.replace("amqp://", ""),
    amqp.replace("127.0.0.1", "no host"),
    amqp.replace("127.0.0.1", "[::1"),
    amqp.replace("127.0.0.1", ""),
    amqp.replace(/:\d+\//, ":99999/"),
    amqp.replace(encoded, password),
    amqp.replace(encoded, password.replaceAll(" ", "")),
    amqp.replace(encoded, `${encoded}%zz`),
    amqp.replace("@", "/@"),
    amqp.replace(/\/$/, "/a/b"),
    password,
    `"${amqp}`,
  ];
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

Deno.test("neither a start that fails nor staps check tells the broker's password", async (t) => {
  const secrets = new Secrets();
  const password = newPassword(secrets);
  await using broker = await startBroker({ tls: true });
  await broker.addUser("somebody", { password });
  const { port, tls } = broker;
  const good = urlOf(port, { password });
  const inStaps = (amqp: string): string => `[staps]\namqp = ${amqp}\n`;
  const cases: Record<string, string> = {
    "a user without rights": inStaps(good),
    "another password": inStaps(
      urlOf(port, { password: newPassword(secrets) }),
    ),
    "an unknown virtual host": inStaps(
      urlOf(port, { password, vhost: "nowhere" }),
    ),
    "a host that isn't there": inStaps(
      good.replace("127.0.0.1", "nowhere.invalid"),
    ),
    "a port that nobody listens on": inStaps(urlOf(freePort(), { password })),
    "TLS where there is none": inStaps(
      urlOf(port, { password, scheme: "amqps" }),
    ),
    "no TLS where there is": inStaps(urlOf(tls.port, { password })),
    "an unknown authority": inStaps(
      urlOf(tls.port, { password, scheme: "amqps" }),
    ),
    "several hosts": inStaps(good) +
      `[bridge]\nhosts = 127.0.0.1:${freePort()}, 127.0.0.1:${freePort()}\n`,
    "a wrong URL": inStaps(good.replace("amqp:", "http:")),
    "a misspelled key": `[staps]\nampq = ${good}\n`,
  };
  const wrong: Record<string, string> = {
    "a misspelled key": `[staps]\nampq = ${good}\n`,
    "another section": `[bridge]\namqp = ${good}\n`,
    "no section": `amqp = ${good}\n`,
    "a misspelled section": `[stasp]\namqp = ${good}\n`,
    "another sign": `[staps]\namqp : ${good}\n`,
    "no sign": `[staps]\namqp ${good}\n`,
    "a line of its own": `[staps]\namqp =\n${good}\n`,
    "it twice": `${inStaps(good)}amqp = ${good}\n`,
    "it as a section": `[${good}]\n`,
    "it in another setting": `[staps]\nsocket = /x\nmode = ${good}\n`,
    "a certificate for no TLS": `${inStaps(good)}[bridge]\nca = /nowhere\n`,
    ...Object.fromEntries(
      brokenUrls(good, password).map((
        url,
        i,
      ) => [`bad URL ${i}`, inStaps(url)]),
    ),
  };
  for (const [name, config] of Object.entries(cases)) {
    await t.step(name, async () => {
      const whole = `[log]\nlevel = debug\n${config}`;
      await using staps = await spawnStaps({ config: whole });
      const check = command({ staps, dir: staps.folder }, "check");
      // What may heal is tried again; the others end.
      await Promise.race([
        staps.status,
        staps.printed(/can't connect/).catch(() => {}),
      ]);
      await staps.stop();
      assert.notEqual(staps.output, "");
      secrets.assertNone(staps.output, `the start with ${name}`);
      assert.notEqual(await check, "");
      secrets.assertNone(await check, `the check of ${name}`);
    });
  }
  for (const [name, config] of Object.entries(wrong)) {
    await t.step(name, () => {
      // What main.ts prints of it.
      assert.throws(
        () => loadText(config),
        (error: unknown) => {
          assert.ok(error instanceof ConfigError);
          secrets.assertNone(`${error.message}\n${error.hint}`, name);
          return true;
        },
      );
    });
  }
});
