/** The same tests on every frontend that we ship an example for, with Debian's real servers. */
import assert from "node:assert/strict";
import { channelHash } from "../../src/relay/channel_hash.ts";
import { eventually, pause, within } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import {
  type Frontend,
  type FrontendName,
  frontendNames,
  type Replacement,
  startFrontend,
} from "../helpers/frontends.ts";
import { readPage } from "../helpers/docs.ts";
import { inFrontendGroup } from "../helpers/nginx.ts";
import { ensurePackages } from "../helpers/packages.ts";
import { Process, runProgram, stapsCommand } from "../helpers/process.ts";
import { handshakeBytes, opcodes, RawClient } from "../helpers/raw_client.ts";
import { Clients, converse } from "../helpers/ws_client.ts";

/** Half of the frontends' time-outs, as in the shipped files. */
const idleTimeoutS = 3;

/** The shipped time-outs, shortened: twice {@linkcode idleTimeoutS}. */
const shortTimeouts: Readonly<Record<FrontendName, readonly Replacement[]>> = {
  nginx: [
    ["proxy_read_timeout 75s;", "proxy_read_timeout 6s;"],
    ["proxy_send_timeout 60s;", "proxy_send_timeout 6s;"],
    [" send_timeout 60s;", " send_timeout 6s;"],
  ],
  apache: [
    ["    Timeout 75\n", "    Timeout 6\n"],
    ["timeout=75 ", "timeout=6 "],
  ],
  haproxy: [
    ["timeout client       75s", "timeout client       6s"],
    ["timeout server       75s", "timeout server       6s"],
    ["timeout tunnel       75s", "timeout tunnel       6s"],
  ],
  // It has none.
  caddy: [],
};

/** The examples' limits per address, small. Apache and Caddy have none of their own. */
const smallLimits: Partial<Record<FrontendName, readonly Replacement[]>> = {
  nginx: [[
    "limit_conn staps_connections 1000;",
    "limit_conn staps_connections 4;",
  ]],
  haproxy: [["{ sc0_conn_cur gt 1000 }", "{ sc0_conn_cur gt 4 }"]],
};

/** What clients are answered while staps isn't there. */
const statusWithoutStaps: Readonly<Record<FrontendName, number>> = {
  nginx: 502,
  apache: 503,
  haproxy: 503,
  caddy: 502,
};

/** Whether connections outlive a reload, and else the code that they end with. */
const reloadCloses: Readonly<Record<FrontendName, number | undefined>> = {
  nginx: undefined,
  apache: undefined,
  haproxy: undefined,
  caddy: 1001,
};

let folder: TempFolder;
let socket: string;
let staps: Process;
/** This one, and all before it. */
const everyStaps: Process[] = [];
const frontends = new Map<FrontendName, Frontend>();

/** Starts staps on {@linkcode socket}, and waits until it listens. */
async function runStaps(): Promise<Process> {
  const [command, ...args] = [
    ...inFrontendGroup,
    Deno.execPath(),
    ...stapsCommand,
  ];
  const process = new Process(command!, [
    ...args,
    `--config=${folder.path}/conf`,
  ]);
  everyStaps.push(process);
  await process.printed(/listening/);
  return process;
}

Deno.test.beforeAll(async () => {
  folder = await TempFolder.make();
  socket = `${folder.path}/staps.sock`;
  await Deno.writeTextFile(
    `${folder.path}/conf`,
    `[staps]\nsocket = ${socket}\n[limits]\nidle_timeout_s = ${idleTimeoutS}\n[log]\nlevel = debug\n`,
  );
  staps = await runStaps();
  await Promise.all(frontendNames.map(async (name) => {
    const options = { socket, replace: shortTimeouts[name] };
    frontends.set(name, await startFrontend(name, options));
  }));
});

Deno.test.afterAll(async () => {
  for (const frontend of frontends.values()) {
    await frontend[Symbol.asyncDispose]();
  }
  await staps?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

/** Programs that listen at the URL in their last argument, until curl has posted. */
const nodeListener = `
  const source = new EventSource(process.argv.at(-1));
  source.onopen = () => console.log("open");
  source.onmessage = ({ data }) => {
    console.log(data);
    if (data === "curl") process.exit();
  };`;
const pythonListener = `
import requests, sys
with requests.get(sys.argv[-1], headers={"Accept": "text/event-stream"}, stream=True) as stream:
    stream.raise_for_status()
    stream.encoding = "utf-8"
    print("open")
    for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("data: "):
            print(line[6:])
            if line == "data: curl":
                break
`;

/** Programs that post their name there, and print the answer. */
const nodePoster = `
  fetch(process.argv.at(-1), { method: "POST", body: "node" })
    .then((answer) => answer.text()).then(console.log);`;
const pythonPoster = `
import requests, sys
answer = requests.post(sys.argv[-1], data=b"python")
answer.raise_for_status()
print(answer.text)
`;

/** Every path that was used: none may be in any log. */
const secrets: string[] = [];

/** Makes a channel's path that nobody else has. */
function newPath(): string {
  const uuid = crypto.randomUUID();
  secrets.push(uuid);
  return `/${uuid}`;
}

/** Sends a handshake for `path` as it is, and gets the status of the answer. */
async function statusOf(
  { port }: Frontend,
  options: Parameters<typeof handshakeBytes>[0],
): Promise<number> {
  using client = await RawClient.connect({ port });
  await client.write(handshakeBytes(options));
  return (await client.readResponse()).status;
}

for (const name of frontendNames) {
  Deno.test(`${name} lets clients talk, with and without TLS`, async () => {
    const { url, tlsUrl, certificate } = frontends.get(name)!;
    await using plain = new Clients(url);
    await using tls = new Clients(tlsUrl, { caCerts: [certificate] });
    const path = newPath();
    const [a, b] = await Promise.all([plain.join(path), tls.join(path)]);
    await converse(a, b);
    const big = new Uint8Array(1 << 20);
    for (let i = 0; i < big.length; i++) big[i] = i * 7 >> 3;
    for (const [from, to] of [[a, b], [b, a]] as const) {
      from.send("");
      from.send(new Uint8Array());
      from.send(big);
      assert.deepEqual(await to.take(2), ["", new Uint8Array()]);
      const got = await to.next();
      // Not assert.deepEqual(), whose message would be the whole megabyte.
      assert.ok(got instanceof Uint8Array && got.length === big.length);
      assert.ok(got.every((byte, i) => byte === big[i]));
    }
    assert.deepEqual([...a.untaken, ...b.untaken], []);
  });

  Deno.test(`${name} lets in UUIDs of version 4 only, and staps gets no other path`, async () => {
    const frontend = frontends.get(name)!;
    const path = newPath();
    const upper = path.toUpperCase();
    // The log is written in the background, and in order: between these two stands what comes now.
    const [first, last] = [newPath(), newPath()];
    assert.equal(await statusOf(frontend, { path: first }), 101);
    assert.equal(await statusOf(frontend, { path }), 101);
    assert.equal(await statusOf(frontend, { path: upper }), 101);
    assert.equal(await statusOf(frontend, { path: `${path}?query` }), 101);
    const others = [
      "/x",
      path + "/",
      path + "a",
      path + "%0a",
      path + "%2f..",
      path + "%3fa",
      path + ";a",
      path + "/x",
      "/x" + path,
      path.slice(0, -1),
      path.replace(/^(.{15})4/, "$11"),
      path.replace(/^(.{20})./, "$1c"),
      path.replace("-", "_"),
    ];
    for (const other of others) {
      const status = await statusOf(frontend, { path: other });
      // nginx resolves it to "/", the front page.
      const isFrontPage = other.endsWith("%2f..") && status === 200;
      assert.ok(status === 404 || isFrontPage, `${status} for ${other}`);
    }
    // Spelled differently they are refused or become the path that is meant.
    const spellings = [
      "/%" + path.charCodeAt(1).toString(16) + path.slice(2),
      "/x/.." + path,
      "/." + path,
      "/" + path,
      "/..%2f" + path.slice(1),
      `http://localhost${path}`,
    ];
    for (const spelling of spellings) {
      const status = await statusOf(frontend, { path: spelling });
      assert.ok([101, 400, 404].includes(status), `${status} for ${spelling}`);
    }
    assert.equal(await statusOf(frontend, { path: last }), 101);
    const joined = (): string[] =>
      Array.from(
        staps.stderr.matchAll(/client connected.* channel=(\w+)/g),
        ([, hash]) => hash!,
      );
    await eventually(
      () => joined().includes(channelHash(last)),
      "the last join",
    );
    assert.deepEqual(
      new Set(joined().slice(joined().indexOf(channelHash(first)))),
      new Set([first, path, upper, last].map(channelHash)),
    );
  });

  Deno.test(`${name} shows the front page at /, which is no channel`, async () => {
    const { port } = frontends.get(name)!;
    const base = `http://127.0.0.1:${port}/`;
    const page = await (await fetch(base)).text();
    assert.match(page, /^staps: /);
    const scheme = name === "apache" ? "https?" : "http";
    assert.match(
      page,
      new RegExp(
        `    curl .* ${scheme}://127\\.0\\.0\\.1:${port}/[0-9a-f-]{36}`,
      ),
    );
    const head = await fetch(base, { method: "HEAD" });
    assert.equal(head.status, 200);
    const post = await fetch(base, { method: "POST", body: "x" });
    assert.ok([403, 405].includes(post.status), `${post.status}`);
    await post.body?.cancel();
    assert.equal(await statusOf(frontends.get(name)!, { path: "/" }), 200);
  });

  Deno.test(`${name} passes on messages by POST, whatever they are`, async () => {
    const { port, url } = frontends.get(name)!;
    await using clients = new Clients(url);
    const path = newPath();
    const post = (body: BodyInit, init: RequestInit = {}): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        body,
        ...init,
      });
    const nobody = await post("lost");
    assert.equal(nobody.status, 404);
    assert.deepEqual(await nobody.json(), { members: 0 });
    const member = await clients.join(path);
    const big = new Uint8Array(1 << 20).fill(98);
    const binary = { headers: { "Content-Type": "application/octet-stream" } };
    const bodies: [BodyInit, RequestInit][] = [
      ["text", {}],
      ["", {}],
      [new Uint8Array([0, 255]), binary],
      [big, binary],
      [ReadableStream.from([big.subarray(0, 9), big.subarray(9)]), binary],
    ];
    for (const [body, init] of bodies) {
      const answer = await post(body, init);
      assert.equal(answer.status, 200);
      assert.deepEqual(await answer.json(), { members: 1 });
    }
    assert.deepEqual(await member.take(3), [
      "text",
      "",
      new Uint8Array([0, 255]),
    ]);
    for (const message of await member.take(2)) {
      assert.equal(message.length, big.length);
    }
    const large = await post(new Uint8Array((1 << 20) + 1), binary)
      .then(({ status }) => status, () => 413);
    assert.equal(large, 413);
    const curl = await runProgram("curl", [
      ...["-sS", "-H", "Expect: 100-continue", "--data-binary", "expected"],
      `http://127.0.0.1:${port}${path}`,
    ]);
    assert.equal(curl.stdout, '{"members":1}\n', curl.stderr);
    assert.equal(await member.next(), "expected");
  });

  Deno.test(`${name} serves Node.js's EventSource, Python's requests and curl`, async () => {
    await ensurePackages(["curl", "python3-requests"]);
    const { port } = frontends.get(name)!;
    const url = `http://127.0.0.1:${port}${newPath()}`;
    // Both stay until they have got a message of everybody who posts.
    await using node = new Process("node", [
      ...["--experimental-eventsource", "--no-warnings", "-e", nodeListener],
      url,
    ]);
    await using python = new Process("/usr/bin/python3", [
      ...["-u", "-c", pythonListener, url],
    ]);
    await node.printed(/^open$/m);
    await python.printed(/^open$/m);
    const posters = [
      ["node", "-e", nodePoster, url],
      ["/usr/bin/python3", "-c", pythonPoster, url],
      ["curl", "-sS", "--data-binary", "curl", url],
    ] as const;
    for (const [program, ...args] of posters) {
      const { code, stdout, stderr } = await runProgram(program, args);
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), { members: 2 });
    }
    for (const listener of [node, python]) {
      assert.equal((await listener.status).code, 0, listener.output);
      assert.equal(listener.stdout, "open\nnode\npython\ncurl\n");
    }
  });

  Deno.test(`${name} lets pages of its own site through, and no others`, async () => {
    const { port } = frontends.get(name)!;
    for (
      const [origin, status] of [
        [`http://127.0.0.1:${port}`, 101],
        [`http://127.0.0.1:${port + 1}`, 403],
        ["https://evil.example", 403],
      ] as const
    ) {
      const headers = { Host: `127.0.0.1:${port}`, Origin: origin };
      const options = { path: newPath(), headers };
      assert.equal(await statusOf(frontends.get(name)!, options), status);
    }
  });

  Deno.test(`${name} passes on what staps answers to a plain GET, 426`, async () => {
    const headers = { Upgrade: undefined, Connection: "close" };
    const options = { path: newPath(), headers };
    assert.equal(await statusOf(frontends.get(name)!, options), 426);
  });
}

Deno.test("every frontend leaves a silent connection alone, as staps pings its client", async (t) => {
  const test = async (name: FrontendName): Promise<void> => {
    const { port, url } = frontends.get(name)!;
    const path = newPath();
    using silent = await RawClient.join({ port }, path);
    // Pings come each half of idle_timeout_s: five take longer than the frontend's time-out.
    for (let pings = 0; pings < 5; pings++) {
      const frame = await silent.readFrame();
      assert.equal(frame?.opcode, opcodes.ping);
      await silent.send(opcodes.pong, frame.payload);
    }
    await using clients = new Clients(url);
    const other = await clients.join(path);
    await silent.send(opcodes.text, "still here");
    assert.equal(await other.next(), "still here");
  };
  await Promise.all(
    frontendNames.map((name) =>
      t.step({
        name,
        fn: () => test(name),
        sanitizeOps: false,
        sanitizeResources: false,
        sanitizeExit: false,
      })
    ),
  );
});

Deno.test("every frontend passes an event stream on at once, and for longer than its time-outs", async (t) => {
  const test = async (name: FrontendName): Promise<void> => {
    const { port, url } = frontends.get(name)!;
    const path = newPath();
    const source = new EventSource(`http://127.0.0.1:${port}${path}`);
    try {
      const messages: string[] = [];
      source.onmessage = ({ data }) => messages.push(data);
      const errors: Event[] = [];
      source.onerror = (event) => errors.push(event);
      await within(
        new Promise((resolve) => source.onopen = resolve),
        "the stream",
      );
      await using clients = new Clients(url);
      const member = await clients.join(path);
      for (const message of ["at once", "after a while"]) {
        member.send(message);
        await eventually(() => messages.includes(message), message);
        if (message === "at once") await pause(5 * idleTimeoutS * 1000);
      }
      assert.deepEqual(errors, []);
    } finally {
      source.close();
    }
  };
  await Promise.all(
    frontendNames.map((name) =>
      t.step({
        name,
        fn: () => test(name),
        sanitizeOps: false,
        sanitizeResources: false,
        sanitizeExit: false,
      })
    ),
  );
});

for (const name of frontendNames) {
  const code = reloadCloses[name];
  const what = code === undefined
    ? "keeps connections"
    : `ends connections with ${code}`;
  Deno.test(`${name} ${what} when it is reloaded`, async () => {
    const frontend = frontends.get(name)!;
    await using clients = new Clients(frontend.url);
    const path = newPath();
    const [a, b] = await clients.joinMany(path, 2);
    await frontend.reload();
    if (code === undefined) {
      // What was reloaded serves newcomers as soon as it can.
      for (let round = 0; round < 5; round++) {
        await converse(a!, b!);
        const newPair = await clients.joinMany(newPath(), 2);
        await converse(newPair[0]!, newPair[1]!);
        await pause(100);
      }
    } else {
      assert.equal((await a!.closed).code, code);
      assert.equal((await b!.closed).code, code);
      await converse(await clients.join(path), await clients.join(path));
    }
  });
}

for (const [name, replace] of Object.entries(smallLimits)) {
  Deno.test(`${name} limits connections per address, and says when to come back`, async () => {
    await using frontend = await startFrontend(name as FrontendName, {
      socket,
      replace,
    });
    const path = newPath();
    // Fewer than four if the connections that probed the server still count.
    const joined: RawClient[] = [];
    try {
      while (true) {
        const client = await RawClient.connect({ port: frontend.port });
        joined.push(client);
        await client.write(handshakeBytes({ path }));
        const { status, headers } = await client.readResponse();
        if (status === 101 && joined.length <= 4) continue;
        assert.equal(status, 429);
        assert.equal(headers.get("retry-after"), "5");
        break;
      }
    } finally {
      for (const client of joined) client.close();
    }
    await eventually(
      async () => await statusOf(frontend, { path }) === 101,
      "a place for another client",
    );
  });
}

/** What makes the examples spread channels over two sockets: their own commented lines. */
const twoSockets: Partial<
  Record<FrontendName, (one: string, two: string) => Replacement[]>
> = {
  nginx: (one, two) => [
    ["#upstream staps {\n", "upstream staps {\n"],
    ["#    hash $uri consistent;\n", "    hash $uri consistent;\n"],
    ["#    server unix:/run/staps-1/staps.sock", `    server unix:${one}`],
    ["#    server unix:/run/staps-2/staps.sock", `    server unix:${two}`],
    ["\n#}\n", "\n}\n"],
    // The block that it takes the place of.
    [
      `upstream staps {\n    server unix:${one} max_fails=0;\n}\n`,
      "",
    ],
  ],
  haproxy: (one, two) => [
    ["    #balance uri path-only\n", "    balance uri path-only\n"],
    ["    #hash-type consistent\n", "    hash-type consistent\n"],
    [
      "    #server staps1 unix@/run/staps-1/staps.sock",
      `    server staps1 unix@${one}`,
    ],
    [
      "    #server staps2 unix@/run/staps-2/staps.sock",
      `    server staps2 unix@${two}`,
    ],
    [`    server staps unix@${one}\n`, ""],
  ],
  caddy: (one, two) => [
    ["#         lb_policy uri_hash\n", ""],
    [
      `reverse_proxy unix/${one} {\n`,
      `reverse_proxy unix/${one} unix/${two} {\n\t\t\tlb_policy uri_hash\n`,
    ],
  ],
};

for (const [name, replace] of Object.entries(twoSockets)) {
  Deno.test(`${name} keeps each channel on one of several staps, and on no other when that is away`, async () => {
    await using folder = await TempFolder.make();
    const sockets = [1, 2].map((number) => `${folder.path}/${number}.sock`);
    await using stack = new AsyncDisposableStack();
    const nodes = await Promise.all(sockets.map(async (socket) => {
      const [command, ...args] = [
        ...inFrontendGroup,
        Deno.execPath(),
        ...stapsCommand,
      ];
      const node = stack.use(
        new Process(command!, [
          ...args,
          `--socket=${socket}`,
          `--config=/dev/null`,
        ]),
      );
      await node.printed(/listening/);
      return node;
    }));
    const frontend = stack.use(
      await startFrontend(name as FrontendName, {
        socket: sockets[0]!,
        replace: replace(sockets[0]!, sockets[1]!),
      }),
    );
    const clients = stack.use(new Clients(frontend.url));
    const paths = Array.from({ length: 20 }, newPath);
    for (const path of paths) {
      const [a, b] = await Promise.all([
        clients.join(path),
        clients.join(`${path}?query=ignored`),
      ]);
      await converse(a, b);
    }
    const connects = (node: Process): number =>
      node.stderr.split("client connected").length - 1;
    await eventually(
      () => connects(nodes[0]!) + connects(nodes[1]!) === 2 * paths.length,
      "every client's line in a log",
    );
    const onSecond = paths.filter((path) =>
      nodes[1]!.stderr.includes(channelHash(path))
    );
    assert.ok(
      onSecond.length > 0 && onSecond.length < paths.length,
      `${onSecond.length}`,
    );
    await nodes[1]!.stop("SIGKILL");
    for (const path of paths) {
      const expected = onSecond.includes(path)
        ? statusWithoutStaps[name as FrontendName]
        : 101;
      assert.equal(await statusOf(frontend, { path }), expected);
    }
  });
}

Deno.test("apache has one client for each of its threads, and the next one waits", async () => {
  await using frontend = await startFrontend("apache", {
    socket,
    main:
      "ServerLimit 1\nStartServers 1\nThreadsPerChild 4\nMaxRequestWorkers 4\n",
  });
  const path = newPath();
  await using clients = new Clients(frontend.url);
  const four = await clients.joinMany(path, 4);
  const fifth = clients.join(path);
  const first = await Promise.race([fifth, pause(500)]);
  assert.equal(first, undefined);
  four[0]!.close();
  await converse(four[1]!, await fifth);
});

for (const name of frontendNames) {
  const status = statusWithoutStaps[name];
  Deno.test(`${name} answers ${status} while staps isn't there, and lets clients in when it is back`, async () => {
    const frontend = frontends.get(name)!;
    await staps.stop("SIGKILL");
    assert.equal(await statusOf(frontend, { path: newPath() }), status);
    staps = await runStaps();
    await using clients = new Clients(frontend.url);
    const path = newPath();
    await converse(await clients.join(path), await clients.join(path));
  });

  Deno.test(`${name} logs what it is asked for, but no path`, async () => {
    const frontend = frontends.get(name)!;
    const path = newPath();
    const headers = [
      {},
      { Referer: `https://localhost${path}` },
      { Bad: "x\0y" },
      { "Bad name": "x" },
      { Host: undefined },
      { Long: "x".repeat(70_000) },
      { "Content-Length": "x" },
      { "Transfer-Encoding": "x" },
      { "Sec-WebSocket-Key": "x" },
      { Expect: "x" },
    ];
    const requests = [
      { path },
      { path, method: "POST" },
      { path, method: "G\x01T" },
      { path, version: "HTTP/9.9" },
      { path, version: "" },
      { path: path + " x" },
      { path: path + "%00" },
      { path: path + "%zz" },
      { path: path + "%2f.." },
      { path: "/..%2f" + path },
      { path: path + "\xff" },
      { path: path + "a".repeat(10_000) },
    ];
    const send = async (
      options: Parameters<typeof handshakeBytes>[0],
    ): Promise<void> => {
      try {
        await statusOf(frontend, options);
      } catch {
        // Some are answered by the end of the connection.
      }
    };
    await staps.stop("SIGKILL");
    for (const each of requests) await send(each);
    staps = await runStaps();
    for (const each of headers) {
      for (const request of requests) await send({ ...request, headers: each });
    }
    const logs = await eventually(async () => {
      const text = await frontend.logs();
      return /\b400\b/.test(text) && text.includes(`${status}`) ? text : "";
    }, "the access log");
    const folded = logs.toLowerCase();
    assert.deepEqual(secrets.filter((secret) => folded.includes(secret)), []);
    // A path that is cut in two would be found so.
    assert.doesNotMatch(folded, /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}/);
  });
}

Deno.test("staps printed no path either, whatever frontends passed on", async () => {
  await staps.stop();
  const folded = everyStaps.map(({ output }) => output).join().toLowerCase();
  assert.ok(folded.includes("client connected"));
  assert.deepEqual(secrets.filter((secret) => folded.includes(secret)), []);
});

Deno.test("docs/frontends.md says what these tests show", async () => {
  const { text } = await readPage("docs/frontends.md");
  for (const name of frontendNames) {
    const [row] = text.match(new RegExp(`^\\| ${name}\\b.*$`, "im")) ?? [];
    assert.ok(row, `a row for ${name}`);
    const cells = row.split("|").map((cell) => cell.trim());
    assert.equal(
      cells.includes("keeps them"),
      reloadCloses[name] === undefined,
    );
    assert.equal(
      cells.includes("ends them, 1001"),
      reloadCloses[name] === 1001,
    );
    assert.ok(
      cells.includes(String(statusWithoutStaps[name])),
      "status without staps",
    );
    assert.equal(cells.includes("yes, 429"), name in smallLimits);
  }
});
