/**
 * What only nginx.conf.example has, run by Debian's nginx as it is but for its
 * port, folders and socket. What all examples have is in frontends_test.ts.
 */
import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
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
import { Clients } from "../helpers/ws_client.ts";

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

Deno.test("a plain GET gets 426, with what RFC 9110 section 15.5.22 asks for", async () => {
  const response = await ask(nginx, { path: newPath(), headers: plain });
  assert.equal(response.status, 426);
  assert.equal(response.headers.get("upgrade"), "websocket");
  assert.equal(response.headers.get("sec-websocket-version"), "13");
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
