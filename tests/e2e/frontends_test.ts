/** What every example of a frontend does while staps is there, with Debian's real servers. */
import assert from "node:assert/strict";
import { writeBetween } from "../../tools/page.ts";
import { channelHash } from "../../src/relay/channel_hash.ts";
import { readPage } from "../helpers/docs.ts";
import { eventually, pause, within } from "../../tools/eventually.ts";
import {
  ask,
  channelClients,
  EveryFrontend,
  idleTimeoutS,
  retryAfterS,
} from "../helpers/every_frontend.ts";
import { TempFolder } from "../../tools/folder.ts";
import {
  type MakeRequest,
  requests,
  statusOf,
  writings,
} from "../helpers/frontend_requests.ts";
import { frontends, startFrontend } from "../helpers/frontends.ts";
import { inFrontendGroup } from "../helpers/nginx.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { repository, runProgram } from "../../tools/process.ts";
import {
  handshakeBytes,
  type HandshakeOptions,
  opcodes,
  RawClient,
  type Target,
} from "../../tools/raw_client.ts";
import { RestartableStaps } from "../helpers/restartable_staps.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

const every = new EveryFrontend();

every.test({
  "lets clients talk, with and without TLS": async (
    { url, tlsUrl, certificate },
  ) => {
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
  },

  "shows the front page with a URL": async ({ port }, name) => {
    const page = await (await fetch(`http://127.0.0.1:${port}/`)).text();
    assert.match(page, /^staps: /);
    const scheme = name === "apache" ? "https?" : "http";
    const url = `${scheme}://127\\.0\\.0\\.1:${port}/[0-9a-f-]{36}`;
    assert.match(page, new RegExp(`    curl .* ${url}`));
  },

  "passes on what staps refuses, and when to come back": async ({ port }) => {
    const path = newPath();
    const plain = await fetch(`http://127.0.0.1:${port}${path}`);
    await plain.body?.cancel();
    assert.equal(plain.status, 426);
    // RFC 9110 section 15.5.22.
    assert.equal(plain.headers.get("sec-websocket-version"), "13");
    await using clients = new Clients(every.socket);
    await clients.joinMany(path, channelClients);
    using client = await RawClient.connect({ port });
    await client.write(handshakeBytes({ path }));
    const { status, headers } = await client.readResponse();
    assert.equal(status, 503);
    assert.equal(headers.get("retry-after"), `${retryAfterS}`);
  },

  "passes on messages by POST, whatever they are": async ({ port, url }) => {
    await using clients = new Clients(url);
    const path = newPath();
    const http = `http://127.0.0.1:${port}${path}`;
    const post = (body: BodyInit, type = "text/plain"): Promise<Response> =>
      fetch(http, { method: "POST", body, headers: { "Content-Type": type } });
    const nobody = await post("lost");
    assert.equal(nobody.status, 404);
    assert.deepEqual(await nobody.json(), { members: 0 });
    const member = await clients.join(path);
    const big = new Uint8Array(1 << 20).fill(98);
    const [some, binary] = [Uint8Array.of(0, 255), "application/octet-stream"];
    for (
      const answer of [
        await post("text"),
        await post(""),
        await post(some, binary),
        await post(big, binary),
        await post(
          ReadableStream.from([big.subarray(0, 9), big.subarray(9)]),
          binary,
        ),
      ]
    ) {
      assert.equal(answer.status, 200);
      assert.deepEqual(await answer.json(), { members: 1 });
    }
    assert.deepEqual(await member.take(3), ["text", "", some]);
    for (const message of await member.take(2)) {
      assert.equal(message.length, big.length);
    }
    await ensurePackages(["curl"]);
    const { stdout, stderr } = await runProgram("curl", [
      ...["-sS", "-H", "Expect: 100-continue", "--data-binary", "waited", http],
    ]);
    assert.equal(stdout, '{"members":1}\n', stderr);
    assert.equal(await member.next(), "waited");
  },
});

// What takes its time, at the same time.
every.test({
  "leaves a silent connection alone, as staps pings its client": async (
    { port, url },
  ) => {
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
  },

  "passes an event stream on at once, and for longer than its time-outs":
    async ({ port, url }) => {
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
          if (message === "at once") await pause(2500 * idleTimeoutS);
        }
        assert.deepEqual(errors, []);
      } finally {
        source.close();
      }
    },

  "gives up half a handshake, whether or not more comes": async (
    { port, tlsPort },
    name,
  ) => {
    const head = handshakeBytes({ path: newPath() });
    // A TLS record that promises 512 bytes of a handshake.
    const hello = Uint8Array.of(22, 3, 1, 2, 0, 1, 0, 1, 252);
    const halves: [number, Uint8Array][] = [
      [port, head.subarray(0, head.length - 2)],
      [tlsPort, hello],
    ];
    // The kernel keeps those who say nothing from Apache (AcceptFilter).
    if (name !== "apache") {
      halves.push([port, new Uint8Array()], [tlsPort, new Uint8Array()]);
    }
    await Promise.all(halves.map(async ([port, bytes], i) => {
      using client = await RawClient.connect({ port });
      await client.write(bytes);
      const drip = (): Promise<void> =>
        // A byte of a header, or of the TLS record.
        client.write(Uint8Array.of(120)).catch(() => {});
      const timer = bytes.length > 0 ? setInterval(drip, 1000) : undefined;
      try {
        await within(client.readAway(), `the end of half a handshake, ${i}`);
      } finally {
        clearInterval(timer);
      }
    }));
  },
});

every.test({
  "reloads its configuration as docs/frontends.md says": async (
    frontend,
  ) => {
    const codes = frontend.kind.reloadCloses;
    await using clients = new Clients(frontend.url);
    const path = newPath();
    const [a, b] = await clients.joinMany(path, 2);
    await frontend.reload();
    if (codes === undefined) {
      // What was reloaded serves newcomers as soon as it can.
      for (let round = 0; round < 5; round++) {
        await converse(a!, b!);
        const newPair = await clients.joinMany(newPath(), 2);
        await converse(newPair[0]!, newPair[1]!);
        await pause(100);
      }
    } else {
      for (const client of [a!, b!]) {
        const { code } = await client.closed;
        assert.ok(codes.includes(code), `${code}`);
      }
      await converse(await clients.join(path), await clients.join(path));
    }
  },
});

Deno.test("haproxy limits connections per address, and says when to come back", async () => {
  await using frontend = await startFrontend("haproxy", {
    socket: every.socket,
    replace: [
      ["{ sc0_conn_cur gt 1000 }", "{ sc0_conn_cur gt 4 }"],
      ["{ sc0_conn_cur gt 1200 }", "{ sc0_conn_cur gt 8 }"],
    ],
  });
  const path = newPath();
  {
    using stack = new DisposableStack();
    // Fewer than four get in if the connections that probed the server still count.
    for (let joined = 0; true; joined++) {
      const client = stack.use(await RawClient.connect(frontend));
      await client.write(handshakeBytes({ path }));
      const { status, headers } = await client.readResponse();
      if (status === 101 && joined < 4) continue;
      assert.equal(status, 429);
      assert.equal(headers.get("retry-after"), "5");
      break;
    }
    // Those that ask for nothing count too, and get no 429.
    const ends = Array.from({ length: 6 }, async () => {
      try {
        const client = stack.use(await RawClient.connect(frontend));
        await client.readAway();
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      }
    });
    // Sooner than by a time-out.
    await within(Promise.race(ends), "an end", { timeoutMs: 5000 });
  }
  await eventually(
    async () => await ask(frontend, { path }) === 101,
    "a place for another client",
  );
});

Deno.test("nginx limits handshakes per address, and says when to come back", async () => {
  await using frontend = await startFrontend("nginx", {
    socket: every.socket,
    replace: [
      ["burst=1000 nodelay;", "burst=5 nodelay;"],
      ["rate=50r/s;", "rate=1r/m;"],
    ],
  });
  const url = `http://127.0.0.1:${frontend.port}${newPath()}`;
  const answers: [number, string | null][] = [];
  for (let i = 0; i < 7; i++) {
    const { status, headers, body } = await fetch(url);
    await body?.cancel();
    answers.push([status, headers.get("retry-after")]);
  }
  assert.deepEqual(answers, [
    ...Array.from({ length: 6 }, () => [426, null]),
    [429, "5"],
  ]);
  assert.match(await frontend.allLogs(), / 429 .* limits=-?\w*\/REJECTED/);
});

Deno.test("nginx limits connections per IPv4 address and per IPv6 network, and says when to come back", async () => {
  await using frontend = await startFrontend("nginx", {
    socket: every.socket,
    replace: [[
      "limit_conn staps_connections 1000;",
      "limit_conn staps_connections 2;\n" +
      "    set_real_ip_from 127.0.0.1;\n" +
      "    real_ip_header X-Forwarded-For;",
    ]],
  });
  const from = (address: string): HandshakeOptions => ({
    path: newPath(),
    headers: { "X-Forwarded-For": address },
  });
  {
    using stack = new DisposableStack();
    const cases: [address: string, status: number][] = [
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
    ];
    for (const [address, expected] of cases) {
      const client = stack.use(await RawClient.connect(frontend));
      await client.write(handshakeBytes(from(address)));
      const { status, headers } = await client.readResponse();
      assert.equal(status, expected, address);
      const retryAfter = status === 429 ? "5" : null;
      assert.equal(headers.get("retry-after"), retryAfter);
    }
    assert.match(await frontend.allLogs(), / 429 .* limits=REJECTED\//);
  }
  await eventually(
    async () => await ask(frontend, from("192.0.2.1")) === 101,
    "a place for another client",
  );
});

for (const name of ["haproxy", "caddy"] as const) {
  Deno.test(`${name} keeps each channel on one of several staps, and on no other when that is away`, async () => {
    const { shortTimeouts, statusWithoutStaps, twoSockets } = frontends[name];
    await using folder = await TempFolder.make();
    await using stack = new AsyncDisposableStack();
    const [one, two] = await Promise.all(["1", "2"].map(async (name) => {
      const options = { name, through: inFrontendGroup };
      return stack.use(await RestartableStaps.start(folder.path, options));
    }));
    const frontend = stack.use(
      await startFrontend(name, {
        socket: one!.socket,
        replace: [
          ...shortTimeouts,
          ...twoSockets!(one!.socket, two!.socket),
        ],
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
      await eventually(
        () => one!.joined(path) + two!.joined(path) === 2,
        "both clients' lines in a log",
      );
    }
    const onSecond = paths.filter((path) => two!.joined(path) > 0);
    const some = onSecond.length > 0 && onSecond.length < paths.length;
    assert.ok(some, `${onSecond.length}`);
    await two!.stop("SIGKILL");
    await Promise.all(paths.map(async (path) => {
      const expected = onSecond.includes(path) ? statusWithoutStaps : 101;
      assert.equal(await ask(frontend, { path }), expected);
    }));
  });
}

Deno.test("apache has one client for each of its threads, and the next one waits", async () => {
  await using frontend = await startFrontend("apache", {
    socket: every.socket,
    replace: [[
      "\nLogFormat ",
      "\nServerLimit 1\nStartServers 1\nThreadsPerChild 4\nMaxRequestWorkers 4\n" +
      "LogFormat ",
    ]],
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

/** What the tables in docs/frontends.md call staps's own socket and the frontends, in their order. */
const columns = ["staps alone", "nginx", "Apache", "HAProxy", "Caddy"];

/** Where the tables stand. */
const marks = {
  begin:
    "<!-- Written by `STAPS_WRITE_DOCS=1 deno test --allow-all tests/e2e/frontends_test.ts`, never by hand. -->",
  end: "<!-- End of what is written by the test. -->",
};

/** Makes `request` at `target`, and gets what the table says about that. */
async function cell(target: Target, request: MakeRequest): Promise<string> {
  const path = newPath();
  const before = every.staps.stderr.length;
  const status = await statusOf(target, request(path.slice(1)));
  if (status === 0) return "none";
  if (status !== 101) return String(status);
  const [, channel] = await eventually(
    () =>
      every.staps.stderr.slice(before)
        .match(/client connected.* channel=(\w+).*\n/),
    "the line of a client",
  );
  if (channel === channelHash(path)) return "same";
  // Through a frontend nothing else may get to staps.
  if ("port" in target) {
    assert.equal(channel, channelHash(path.toUpperCase()));
  }
  return "another";
}

Deno.test("docs/frontends.md tells what URLs and requests come to, behind each frontend", async () => {
  // The lines of the tests before are in the log when this one's first is.
  const first = newPath();
  await statusOf({ socket: every.socket }, handshakeBytes({ path: first }));
  await eventually(
    () => every.staps.stderr.includes(channelHash(first)),
    "the line of a client",
  );
  const table = async (
    title: string,
    cases: Readonly<Record<string, MakeRequest>>,
  ): Promise<string[]> => {
    const targets = [{ socket: every.socket }, ...every.all.values()];
    const rows = [[title, ...columns], columns.concat("").map(() => "---")];
    for (const [name, request] of Object.entries(cases)) {
      const row = [name];
      for (const target of targets) row.push(await cell(target, request));
      rows.push(row);
    }
    return rows.map((row) => `| ${row.join(" | ")} |`);
  };
  const tables = [
    await table("handshake for", writings),
    await table("request", requests),
  ];
  if (Deno.env.has("STAPS_WRITE_DOCS")) {
    const body = tables.map((lines) => `${lines.join("\n")}\n`).join("\n");
    const page = new URL(`file://${repository}/docs/frontends.md`);
    await writeBetween(page, { ...marks, body });
  }
  const { text } = await readPage("docs/frontends.md");
  const [begin, end] = [text.indexOf(marks.begin), text.indexOf(marks.end)];
  const written = text.slice(begin, end).match(/^\|.*$/gm) ?? [];
  // As the page is formatted, its columns have one width.
  const narrow = written.map((line) =>
    line.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---")
  );
  assert.deepEqual(tables.flat(), narrow);
});

Deno.test("docs/frontends.md says what these tests show", async () => {
  const { text } = await readPage("docs/frontends.md");
  for (const [name, kind] of Object.entries(frontends)) {
    const [row] = text.match(new RegExp(`^\\| ${name}\\b.*$`, "im")) ?? [];
    assert.ok(row, `a row for ${name}`);
    const cells = row.split("|").map((cell) => cell.trim());
    const reload = kind.reloadCloses === undefined
      ? "keeps them"
      : `ends them, ${kind.reloadCloses.join(" or ")}`;
    const away = `${kind.statusWithoutStaps}${kind.holds ? " after 10 s" : ""}`;
    const limit = kind.limits ? "yes, 429" : "no";
    for (const expected of [reload, away, limit]) {
      assert.ok(cells.includes(expected), `${expected} for ${name}`);
    }
  }
});

every.testFarewell();
