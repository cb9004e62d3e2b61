/** nginx.conf.example, run by Debian's nginx as it is but for its port, folders and socket. */
import assert from "node:assert/strict";
import { eventually, pause, within } from "../helpers/eventually.ts";
import { freePort, TempFolder } from "../helpers/folder.ts";
import { inFrontendGroup, type Nginx, startNginx } from "../helpers/nginx.ts";
import { ensurePackages } from "../helpers/packages.ts";
import {
  Process,
  runProgram,
  type Staps,
  startStaps,
} from "../helpers/process.ts";
import {
  handshakeBytes,
  RawClient,
  type Response,
  sampleKey,
} from "../helpers/raw_client.ts";
import { assertNoPath, newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../helpers/ws_client.ts";

let staps: Staps;
let nginx: Nginx;
let clients: Clients;

Deno.test.beforeAll(async () => {
  staps = await startStaps({
    through: inFrontendGroup,
    config: "[log]\nlevel = debug\n",
  });
  nginx = await startNginx({ socket: staps.socket });
  clients = new Clients(nginx.url);
});

Deno.test.afterAll(async () => {
  await clients?.[Symbol.asyncDispose]();
  await nginx?.[Symbol.asyncDispose]();
  await staps?.[Symbol.asyncDispose]();
});

/** Sends a handshake, or another request, and gets the answer. */
async function ask(
  server: Nginx,
  options: Parameters<typeof handshakeBytes>[0],
): Promise<Response> {
  using client = await RawClient.connect({ port: server.port });
  await client.write(handshakeBytes(options));
  return await client.readResponse();
}

const plain = { Upgrade: undefined, Connection: undefined };

Deno.test("nginx's workers have no rights but their group's", async () => {
  for (const pid of await nginx.workers()) {
    let status = "";
    // A worker gives them up as the first thing it does.
    await eventually(async () => {
      status = await Deno.readTextFile(`/proc/${pid}/status`);
      return !/^[UG]id:.*\b0\b/m.test(status);
    }, () => `a worker without root's rights, got ${status}`);
    assert.match(status, /^Groups:\s*\d*\s*$/m);
  }
  const { mode } = await Deno.stat(staps.socket);
  assert.equal(mode! & 0o777, 0o660);
});

for (
  const [name, path] of [
    ["in lower case", newPath()],
    ["in upper case", newPath().toUpperCase()],
    ["in both", newPath().replace(/^..../, (start) => start.toUpperCase())],
  ] as const
) {
  Deno.test(`a UUID of version 4 ${name} passes`, async () => {
    await converse(await clients.join(path), await clients.join(path));
  });
}

Deno.test("paths in two letter cases are two channels", async () => {
  const path = newPath();
  const [lower, upper] = [
    await clients.joinMany(path, 2),
    await clients.joinMany(path.toUpperCase(), 2),
  ];
  await converse(lower[0]!, lower[1]!);
  await converse(upper[0]!, upper[1]!);
  assert.deepEqual(
    [...lower, ...upper].flatMap((client) => client.untaken),
    [],
  );
});

Deno.test("a query doesn't matter, nor the way in which a path is written", async () => {
  const path = newPath();
  const encoded = `/%${path.charCodeAt(1).toString(16)}${path.slice(2)}`;
  const first = await clients.join(path);
  for (const way of [`${path}?a=${path}`, `/x/..${path}`, encoded]) {
    using other = await RawClient.connect({ port: nginx.port });
    await other.write(handshakeBytes({ path: way }));
    await other.upgraded();
    first.send(way);
    assert.equal(
      new TextDecoder().decode((await other.readFrame())?.payload),
      way,
    );
  }
});

const uuid = newPath();
const otherPaths: Record<string, string> = {
  "a file": "/favicon.ico",
  "a slash more": `${uuid}/`,
  "a letter more": `${uuid}a`,
  "a letter less": uuid.slice(0, -1),
  "no hexadecimal digit": uuid.replace(/.$/, "g"),
  "a folder": `/x${uuid}`,
  "a line feed more": `${uuid}%0a`,
  "a zero byte more": `${uuid}%00`,
  "version 1": uuid.replace(/-4(?=[^-]{3}-[^-]{4}-[^-]{12}$)/, "-1"),
  "version 7": uuid.replace(/-4(?=[^-]{3}-[^-]{4}-[^-]{12}$)/, "-7"),
  "another variant": uuid.replace(/-[89ab](?=[^-]{3}-[^-]{12}$)/, "-c"),
  "no hyphens": uuid.replaceAll("-", ""),
  "braces": `/{${uuid.slice(1)}}`,
};
for (const [name, path] of Object.entries(otherPaths)) {
  Deno.test(`a path that isn't quite a UUID of version 4 gets no further than nginx: ${name}`, async () => {
    for (const headers of [plain, {}]) {
      const response = await ask(nginx, { path, headers });
      // A zero byte is no path at all.
      assert.equal(response.status, path.endsWith("%00") ? 400 : 404);
      assert.match(response.headers.get("server")!, /nginx/);
    }
    await eventually(
      async () =>
        /\] 40[04] .* upstream=- /.test(
          (await nginx.accessLog()).trimEnd().split("\n").at(-1)!,
        ),
      "the answer to be in nginx's log, without an upstream",
    );
  });
}

Deno.test("a plain GET gets 426, with what RFC 9110 section 15.5.22 asks for", async () => {
  const response = await ask(nginx, { path: newPath(), headers: plain });
  assert.equal(response.status, 426);
  assert.equal(response.headers.get("upgrade"), "websocket");
  assert.equal(response.headers.get("sec-websocket-version"), "13");
});

Deno.test("a reload of nginx cuts no connection", async () => {
  const path = newPath();
  const [a, b] = await clients.joinMany(path, 2);
  const before = await nginx.workers();
  nginx.signal("SIGHUP");
  const isNew = (pid: number): boolean => !before.includes(pid);
  await eventually(
    async () => (await nginx.workers()).filter(isNew).length >= 2,
    "new workers",
  );
  await converse(a!, b!);
  // Somebody who comes by the new workers meets those who came by the old ones.
  const c = await clients.join(path);
  c.send("hello");
  assert.deepEqual([await a!.next(), await b!.next()], ["hello", "hello"]);
});

Deno.test("an idle client outlives nginx's time limits, which are twice idle_timeout_s", async () => {
  const limitsS = 8;
  await using quick = await startStaps({
    through: inFrontendGroup,
    config: `[limits]\nidle_timeout_s = ${limitsS / 2}\n`,
  });
  await using frontend = await startNginx({
    socket: quick.socket,
    replace: [
      ["proxy_read_timeout 75s;", `proxy_read_timeout ${limitsS}s;`],
      ["proxy_send_timeout 60s;", `proxy_send_timeout ${limitsS}s;`],
      ["        send_timeout 60s;", `        send_timeout ${limitsS}s;`],
    ],
  });
  await using patient = new Clients(frontend.url);
  const [a, b] = await patient.joinMany(newPath(), 2);
  await pause(2.5 * limitsS * 1000);
  await converse(a!, b!);
});

Deno.test("too many connections or handshakes from one address get 429 and a time to come back", async () => {
  await using frontend = await startNginx({
    socket: staps.socket,
    replace: [
      ["limit_conn staps_connections 1000;", "limit_conn staps_connections 2;"],
      ["burst=1000 nodelay;", "burst=5 nodelay;"],
      ["rate=50r/s;", "rate=1r/m;"],
    ],
  });
  await using few = new Clients(frontend.url);
  await few.joinMany(newPath(), 2);
  const busy = await ask(frontend, { path: newPath() });
  assert.deepEqual([busy.status, busy.headers.get("retry-after")], [429, "5"]);
  assert.match(await frontend.accessLog(), / 429 .* limits=REJECTED\//);
  for (let i = 0; i < 6; i++) {
    await ask(frontend, { path: newPath(), headers: plain });
  }
  const often = await ask(frontend, { path: newPath(), headers: plain });
  assert.deepEqual([often.status, often.headers.get("retry-after")], [
    429,
    "5",
  ]);
  assert.match(await frontend.accessLog(), / 429 .* limits=-?\w*\/REJECTED/);
});

Deno.test("the addresses of one IPv6 network count as one, and IPv4 addresses each", async () => {
  await using frontend = await startNginx({
    socket: staps.socket,
    replace: [
      [
        "limit_conn staps_connections 1000;",
        "limit_conn staps_connections 2;\n" +
        "    set_real_ip_from 127.0.0.1;\n" +
        "    real_ip_header X-Forwarded-For;",
      ],
    ],
  });
  using stack = new DisposableStack();
  const join = async (address: string): Promise<number> => {
    const client = stack.use(
      await RawClient.connect({ port: frontend.port }),
    );
    await client.write(handshakeBytes({
      path: newPath(),
      headers: { "X-Forwarded-For": address },
    }));
    return (await client.readResponse()).status;
  };
  for (
    const [address, status] of [
      ["2001:db8::1", 101],
      ["2001:db8::2", 101],
      ["2001:db8::ffff:3", 429],
      // The first half has a line feed in it.
      ["2001:db8:0a0a:0a0a::1", 101],
      ["2001:db8:0a0a:0a0a::2", 101],
      ["2001:db8:0a0a:0a0a::3", 429],
      ["2001:db8:0:1::1", 101],
      ["192.0.2.1", 101],
      ["192.0.2.2", 101],
      ["192.0.2.1", 101],
      ["192.0.2.1", 429],
    ] as const
  ) assert.equal(await join(address), status, address);
});

Deno.test("a handshake that never ends is given up", async () => {
  await using frontend = await startNginx({
    socket: staps.socket,
    replace: [["client_header_timeout 10s;", "client_header_timeout 1s;"]],
  });
  using client = await RawClient.connect({ port: frontend.port });
  const head = handshakeBytes({ path: newPath() });
  await client.write(head.subarray(0, head.length - 2));
  await within(client.readAway(), "the end");
});

Deno.test("requests that are too odd for a host of their own leave no path in a log", async () => {
  const path = newPath();
  const long = "x".repeat(9000);
  for (
    const text of [
      `GET ${path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`,
      `GET ${path} HTTP/1.1\r\nHost: a/b\r\n\r\n`,
      `GET ${path} HTTP/1.1\r\n\r\n`,
      `GET ${path}\r\n\r\n`,
      `GET ${path} HTTP/9.1\r\nHost: a\r\n\r\n`,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nX: ${long}\r\n\r\n`,
      `GET ${path}?${long} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET ${path} HTTP/1.1\r\nHost: another.example\r\nConnection: close\r\n\r\n`,
    ]
  ) {
    using client = await RawClient.connect({ port: nginx.port });
    await client.write(new TextEncoder().encode(text));
    // What nginx leaves unread resets the connection.
    await client.readAway().catch((error) => {
      assert.ok(error instanceof Deno.errors.ConnectionReset, error);
    });
  }
  assertNoPath(await nginx.allLogs(), "nginx's logs");
});

Deno.test("when staps is full, its own 503 and Retry-After get through", async () => {
  await using small = await startStaps({
    through: inFrontendGroup,
    config: "[limits]\nclients = 1\nretry_after_s = 17\n",
  });
  await using frontend = await startNginx({ socket: small.socket });
  await using one = new Clients(frontend.url);
  await one.join(newPath());
  const response = await ask(frontend, { path: newPath() });
  assert.deepEqual([response.status, response.headers.get("retry-after")], [
    503,
    "17",
  ]);
});

Deno.test("no log of nginx names a channel, even when staps can't be reached", async () => {
  await using folder = await TempFolder.make();
  const socket = `${folder.path}/staps.sock`;
  await using frontend = await startNginx({ socket });
  const tryAll = async (status: number): Promise<void> => {
    const path = newPath();
    const referer = `http://localhost${path}`;
    for (
      const headers of [{ Referer: referer }, { ...plain, Referer: referer }]
    ) {
      for (const way of [path, `${path}?${path.slice(1)}`, `/x/..${path}`]) {
        const response = await ask(frontend, { path: way, headers });
        assert.equal(response.status, status);
        assert.equal(response.headers.get("retry-after"), "5");
      }
      assert.equal(
        (await ask(frontend, { path: `${path}/x`, headers })).status,
        404,
      );
    }
  };
  // No socket; nobody behind it; nobody may use it; somebody who hangs up.
  await tryAll(502);
  Deno.listen({ transport: "unix", path: socket }).close();
  await Deno.writeTextFile(socket, "").catch(() => {});
  await tryAll(502);
  await Deno.remove(socket);
  using rude = Deno.listen({ transport: "unix", path: socket });
  await Deno.chmod(socket, 0o600);
  await tryAll(502);
  await Deno.chmod(socket, 0o666);
  const hangUp = (async () => {
    for await (const connection of rude) connection.close();
  })();
  await tryAll(502);
  rude.close();
  await hangUp;

  const logs = await frontend.allLogs();
  assert.ok(
    logs.split("\n").filter((line) => line.includes("upstream=502")).length >=
      24,
    logs,
  );
  assertNoPath(logs, "nginx's logs");
  assertNoPath(await nginx.allLogs(), "nginx's logs");
  assert.match(await nginx.accessLog(), / 101 /);
});

Deno.test("the TLS block works as it stands", async () => {
  await ensurePackages(["openssl"]);
  await using folder = await TempFolder.make();
  const [key, certificate] = [
    `${folder.path}/key.pem`,
    `${folder.path}/certificate.pem`,
  ];
  const { code, stderr } = await runProgram("openssl", [
    ...[
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
    ],
    ...[
      "-keyout",
      key,
      "-out",
      certificate,
      "-days",
      "2",
      "-subj",
      "/CN=staps.example.org",
    ],
    ...[
      "-addext",
      "subjectAltName=DNS:localhost",
      "-addext",
      "basicConstraints=critical,CA:FALSE",
    ],
  ]);
  assert.equal(code, 0, stderr);
  const letsEncrypt = "/etc/letsencrypt/live/staps.example.org";
  const port = freePort();
  await using _frontend = await startNginx({
    socket: staps.socket,
    replace: [
      ["    #listen 443 ssl;", `    listen 127.0.0.1:${port} ssl;`],
      ["    #listen [::]:443 ssl;\n", ""],
      [
        `    #ssl_certificate     ${letsEncrypt}/fullchain.pem;`,
        `    ssl_certificate ${certificate};`,
      ],
      [
        `    #ssl_certificate_key ${letsEncrypt}/privkey.pem;`,
        `    ssl_certificate_key ${key};`,
      ],
      ["    #ssl_protocols       TLSv1.2", "    ssl_protocols TLSv1.2"],
    ],
  });
  using http = Deno.createHttpClient({
    caCerts: [await Deno.readTextFile(certificate)],
  });
  const path = newPath();
  const plainly = await clients.join(path);
  const socket = new WebSocket(`wss://localhost:${port}${path}`, {
    client: http,
  });
  const message = Promise.withResolvers<string>();
  socket.onmessage = ({ data }) => message.resolve(data);
  socket.onerror = (event) =>
    message.reject(new Error((event as ErrorEvent).message));
  socket.onopen = () => plainly.send("over TLS");
  assert.equal(await message.promise, "over TLS");
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await closed;
});

/** Clients that nobody here wrote. Each speaks when it is spoken to, and prints what it gets. */
const node = `
  import WebSocket from "ws";
  const socket = new WebSocket(process.argv[2]);
  socket.on("open", () => console.log("open"));
  socket.on("message", (data, isBinary) => {
    console.log(isBinary ? "bytes " + data.toString("hex") : "text " + data);
    if (String(data) !== "speak") return;
    socket.send("node here");
    socket.send(Buffer.from([1, 2, 255]));
  });
  socket.on("error", (error) => { console.error(error); process.exit(1); });
`;
const python = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as socket:
        print("open", flush=True)
        async for message in socket:
            print("text " + message if isinstance(message, str) else "bytes " + message.hex(), flush=True)
            if message == "speak":
                await socket.send("python here")
                await socket.send(bytes([3, 4, 254]))
asyncio.run(main())
`;

Deno.test("Node's ws, Python's websockets, curl and Deno talk to each other", async () => {
  await ensurePackages(["curl", "python3-websockets"]);
  await using folder = await TempFolder.make();
  const { default: { imports } } = await import("../../deno.json", {
    with: { type: "json" },
  });
  const ws = imports.ws.replace("npm:", "");
  const npm = await runProgram("npm", [
    "install",
    "--no-audit",
    "--no-fund",
    "--prefix",
    folder.path,
    ws,
  ]);
  assert.equal(npm.code, 0, npm.stderr);
  await Deno.writeTextFile(`${folder.path}/client.mjs`, node);
  await Deno.writeTextFile(`${folder.path}/client.py`, python);

  const path = newPath();
  const url = nginx.url + path;
  const deno = await clients.join(path);
  await using byNode = new Process("node", [`${folder.path}/client.mjs`, url]);
  await using byPython = new Process("/usr/bin/python3", [
    `${folder.path}/client.py`,
    url,
  ]);
  await using byCurl = new Process("curl", [
    ...["--http1.1", "--include", "--no-buffer", "--silent", "--show-error"],
    ...["--header", "Connection: Upgrade", "--header", "Upgrade: websocket"],
    ...[
      "--header",
      "Sec-WebSocket-Version: 13",
      "--header",
      `Sec-WebSocket-Key: ${sampleKey}`,
    ],
    url.replace("ws:", "http:"),
  ]);
  await byNode.printed(/^open$/m);
  await byPython.printed(/^open$/m);
  await byCurl.printed(/^HTTP\/1.1 101 [^]*\r\n\r\n/);

  deno.send("speak");
  for (const program of [byNode, byPython]) {
    await program.printed(/^text speak$/m);
  }
  await byNode.printed(/^text python here$/m);
  await byNode.printed(/^bytes 0304fe$/m);
  await byPython.printed(/^text node here$/m);
  await byPython.printed(/^bytes 0102ff$/m);
  for (const text of [/speak/, /node here/, /python here/]) {
    await byCurl.printed(text);
  }
  const got = await deno.take(4);
  assert.deepEqual(
    got.filter((message) => typeof message === "string").sort(),
    ["node here", "python here"],
  );
  assert.deepEqual(
    got.filter((message) => typeof message !== "string").map((bytes) =>
      bytes[2]
    ).sort(),
    [254, 255],
  );
  assert.doesNotMatch(byNode.stdout, /node here/);
  assert.doesNotMatch(byPython.stdout, /python here/);
});

Deno.test("afterwards staps has printed no path, and ends in good order", async () => {
  assert.equal((await staps.stop()).code, 0);
  assertNoPath(staps.output, "staps's output");
  assertNoPath(await nginx.allLogs(), "nginx's logs");
});
