/** The programs of docs/clients.md, taken from the page and run against a real staps. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { freePort } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { type Process, runOrThrow } from "../../tools/process.ts";
import { RestartableStaps } from "../helpers/restartable_staps.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Shells } from "../helpers/shells.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

const page = "docs/clients.md";

let shells: Shells;

/** The commands that run the page's programs, as the page gives them. */
const programs: Record<string, string> = {};

Deno.test.beforeAll(async () => {
  await ensurePackages([
    "curl",
    "golang-github-gorilla-websocket-dev",
    "golang-go",
    "python3-websockets",
  ]);
  shells = await Shells.make({ deno: `exec '${Deno.execPath()}' "$@"` });
  const { path } = shells.folder;
  await runOrThrow("npm", [
    ...["install", "--no-audit", "--no-fund", "--prefix", path],
    denoJson.imports.ws.replace("npm:", ""),
  ], { cwd: path });
  const files = [["javascript", "mjs"], ["python", "py"], [
    "go",
    "go",
  ]] as const;
  for (const [language, extension] of files) {
    const code = await block(page, language);
    assert.match(code, new RegExp(`^(//|#) client\\.${extension}\n`));
    await Deno.writeTextFile(`${path}/client.${extension}`, code);
  }
  [programs.node = "", programs.deno = ""] =
    (await block(page, "javascript-run")).split("\n");
  programs.python = await block(page, "python-run");
  programs.go = await block(page, "go-run");
});

Deno.test.afterAll(() => shells?.[Symbol.asyncDispose]());

/** Begins to run a script as somebody who has what the page says is installed, and nothing that isn't the system's. */
function start(script: string, env: Record<string, string>): Process {
  const { path } = shells.folder;
  return shells.start(script, {
    env: {
      // /usr/bin before others: only Debian's Python has Debian's packages.
      PATH: `${path}:/usr/bin:${Deno.env.get("PATH")}`,
      ...{ HOME: path, NO_COLOR: "1", ...env },
    },
    stdin: "piped",
    detached: true,
  });
}

/** A staps that comes back at the same address, and a channel. */
interface Server {
  readonly staps: RestartableStaps;
  readonly base: string;
  readonly path: string;
  readonly url: string;
  /** Resolves when `count` clients have joined the channel since the start. */
  joined(count: number): Promise<void>;
}

async function startServer(stack: AsyncDisposableStack): Promise<Server> {
  const port = freePort();
  const staps = stack.use(
    await RestartableStaps.start(shells.folder.path, {
      name: `${port}`,
      config: "[limits]\nmessage_bytes = 1000\nshutdown_spread_ms = 300\n",
      args: [`--listen=127.0.0.1:${port}`],
    }),
  );
  const [base, path] = [`ws://127.0.0.1:${port}`, newPath()];
  const joined = async (count: number): Promise<void> => {
    await eventually(() => staps.joined(path) >= count, `client ${count}`);
  };
  return { staps, base, path, url: base + path, joined };
}

/** Checks that the program and another client hear each other. */
async function speak(program: Process, other: Client): Promise<void> {
  const [there, back] = [crypto.randomUUID(), crypto.randomUUID()];
  other.send(there);
  await program.printed(new RegExp(`^${there}$`, "m"));
  await program.write(`${back}\n`);
  assert.equal(await other.next(), back);
}

for (const name of ["node", "deno", "python", "go"]) {
  Deno.test(`docs/clients.md: the program for ${name} talks, comes back, and stops when it is refused`, async () => {
    await using stack = new AsyncDisposableStack();
    const { staps, base, path, url, joined } = await startServer(stack);
    await using program = start(programs[name]!, { url });
    // With and without a goodbye: 1001 with retry=, and 1006.
    for (const signal of ["SIGTERM", "SIGKILL", undefined] as const) {
      await joined(1);
      await using clients = new Clients(base);
      await speak(program, await clients.join(path));
      if (signal === undefined) break;
      await staps.stop(signal);
      await staps.start();
    }
    await program.write("x".repeat(2000) + "\n");
    const { code } = await program.status;
    assert.equal(code, 1);
    await program.printed(/^refused: message over \d+ bytes$/m);
  });
}

Deno.test("docs/clients.md: every program says that messages were missed, and tries again after a 503", async () => {
  /** What a connection gets, by its number in the URL's path. */
  const connections = new Map<string, number>();
  const done = Promise.withResolvers<void>();
  const back = new Set<string>();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      const name = new URL(request.url).pathname.slice(1);
      const count = (connections.get(name) ?? 0) + 1;
      connections.set(name, count);
      if (count === 2) {
        const headers = { "Retry-After": "1" };
        return new Response("come back\n", { status: 503, headers });
      }
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onopen = () => {
        if (count === 1) socket.close(4001, "messages may have been lost");
        else back.add(name);
        if (back.size === Object.keys(programs).length) done.resolve();
      };
      return response;
    },
  );
  await using stack = new AsyncDisposableStack();
  const started = Object.entries(programs).map(([name, command]) => {
    const url = `ws://127.0.0.1:${server.addr.port}/${name}`;
    return stack.use(start(command, { url }));
  });
  await done.promise;
  for (const program of started) {
    await program.printed(
      /^messages were missed: messages may have been lost$/m,
    );
  }
});

Deno.test("docs/clients.md: the shell's commands publish, wait, and look", async () => {
  await using stack = new AsyncDisposableStack();
  const { staps, base, path, url, joined } = await startServer(stack);
  const run = async (name: string, more = ""): Promise<Process> => {
    const code = (await block(page, name))
      .replace("wss://staps.example.org", base);
    return stack.use(start(code + more, { STAPS_URL: url }));
  };
  const printedBy = async (program: Process): Promise<string> => {
    assert.equal((await program.status).code, 0, program.output);
    return program.stdout;
  };
  const uuid4 =
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
  for (const [name, variable] of [["url", "url"], ["shell-url", "STAPS_URL"]]) {
    const printed = await printedBy(await run(name!, `echo "$${variable}"`));
    assert.match(printed, new RegExp(`^${base}/${uuid4}\n$`));
  }

  await using clients = new Clients(base);
  const peer = await clients.join(path);
  const publish = await run("shell-publish");
  assert.equal(await peer.next(), "hello");
  await printedBy(publish);

  const wait = await run("shell-wait");
  await joined(3);
  peer.send("one");
  assert.equal(await printedBy(wait), "got: one\n");

  const python = await run("shell-python");
  await joined(4);
  await python.write("from python\n");
  assert.equal(await peer.next(), "from python");
  peer.send("to python");
  await python.printed(/to python/);

  assert.equal(await printedBy(await run("shell-curl")), "426\n");

  const loop = await run("shell-loop");
  await joined(5);
  peer.send("two");
  await loop.printed(/^got: two$/m);
  await staps.stop();
  await staps.start();
  await joined(1);
  await using again = new Clients(base);
  (await again.join(path)).send("three");
  await loop.printed(/^got: three$/m);
});
