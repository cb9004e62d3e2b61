/** The programs of docs/clients.md, taken from the page and run against a real staps. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { freePort, TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import {
  denoDir,
  Process,
  runProgram,
  stapsCommand,
} from "../../tools/process.ts";
import { RestartableStaps } from "../helpers/restartable_staps.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

const page = "docs/clients.md";

let folder: TempFolder;
/** For programs: what the page says is installed, and nothing that isn't the system's. */
let environment: Record<string, string>;

/** The commands that run the page's programs, as the page gives them, without the URL. */
const programs: Record<string, string[]> = {};

Deno.test.beforeAll(async () => {
  await ensurePackages([
    "curl",
    "golang-github-gorilla-websocket-dev",
    "golang-go",
    "python3-websockets",
  ]);
  folder = await TempFolder.make();
  const files = [["javascript", "mjs"], ["python", "py"], [
    "go",
    "go",
  ]] as const;
  for (const [name, extension] of files) {
    const code = await block(page, name);
    assert.match(code, new RegExp(`^(//|#) client\\.${extension}\n`));
    await Deno.writeTextFile(`${folder.path}/client.${extension}`, code);
  }
  const bin = `${folder.path}/bin`;
  await Deno.mkdir(bin);
  await script(`${bin}/staps`, [Deno.execPath(), ...stapsCommand]);
  await script(`${bin}/deno`, [Deno.execPath()]);
  environment = {
    // /usr/bin first: only Debian's Python has Debian's packages.
    PATH: `${bin}:/usr/bin:${Deno.env.get("PATH")}`,
    HOME: folder.path,
    NO_COLOR: "1",
    GOCACHE: `${folder.path}/go`,
    // What has been downloaded before.
    npm_config_cache: Deno.env.get("npm_config_cache") ??
      `${Deno.env.get("HOME")}/.npm`,
    DENO_DIR: denoDir(),
  };
  await succeed("npm", [
    ...["install", "--no-audit", "--no-fund", "--prefix", folder.path],
    denoJson.imports.ws.replace("npm:", ""),
  ]);
  const [node = "", deno = ""] = (await block(page, "javascript-run")).split(
    "\n",
  );
  const [python = ""] = (await block(page, "python-run")).split("\n");
  const [go = ""] = (await block(page, "go-run")).split("\n");
  for (const [name, line] of Object.entries({ node, deno, python })) {
    assert.match(line, / "\$url"$/);
    programs[name] = line.replace(/ "\$url"$/, "").split(" ");
  }
  // "go run" leaves its child behind when it is killed.
  const run = 'go run client.go "$url"';
  assert.ok(go.endsWith(` ${run}`), go);
  const build = `go build -o ${bin}/go-client client.go`;
  await succeed("sh", ["-ec", go.replace(run, build)]);
  programs.go = [`${bin}/go-client`];
});

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

/** Writes a program that runs `command` with its own arguments added. */
async function script(path: string, command: readonly string[]): Promise<void> {
  const words = command.map((word) => `'${word}'`).join(" ");
  await Deno.writeTextFile(path, `#!/bin/sh\nexec ${words} "$@"\n`, {
    mode: 0o755,
  });
}

async function succeed(
  command: string,
  args: readonly string[],
): Promise<string> {
  const { code, stdout, stderr } = await runProgram(command, args, {
    cwd: folder.path,
    env: environment,
  });
  assert.equal(code, 0, stderr);
  return stdout;
}

/** A staps that comes back at the same address, and a channel. */
class Server {
  readonly path = `/${crypto.randomUUID()}`;
  readonly base: string;
  readonly url: string;

  private constructor(readonly staps: RestartableStaps, port: number) {
    this.base = `ws://127.0.0.1:${port}`;
    this.url = this.base + this.path;
  }

  static async start(stack: AsyncDisposableStack): Promise<Server> {
    const port = freePort();
    const staps = await RestartableStaps.start(folder.path, {
      name: `${port}`,
      config: "[limits]\nmessage_bytes = 1000\nshutdown_spread_ms = 300\n",
      args: [`--listen=127.0.0.1:${port}`],
    });
    return new Server(stack.use(staps), port);
  }

  /** Resolves when `count` clients have joined the channel since the start. */
  async joined(count: number): Promise<void> {
    await eventually(
      () => this.staps.joined(this.path) >= count,
      `client ${count}`,
    );
  }
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
    const server = await Server.start(stack);
    const [command, ...args] = programs[name]!;
    await using program = new Process(command!, [...args, server.url], {
      cwd: folder.path,
      env: environment,
      stdin: "piped",
    });
    // With and without a goodbye: 1001 with retry=, and 1006.
    for (const signal of ["SIGTERM", "SIGKILL", undefined] as const) {
      await server.joined(1);
      await using clients = new Clients(server.base);
      const other = await clients.join(server.path);
      await speak(program, other);
      if (signal === undefined) break;
      await server.staps.stop(signal);
      await server.staps.start();
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
  const names = Object.keys(programs);
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
        else {
          back.add(name);
          if (back.size === names.length) done.resolve();
        }
      };
      return response;
    },
  );
  await using stack = new AsyncDisposableStack();
  const started = names.map((name) => {
    const [command, ...args] = programs[name]!;
    const url = `ws://127.0.0.1:${server.addr.port}/${name}`;
    return stack.use(
      new Process(command!, [...args, url], {
        cwd: folder.path,
        env: environment,
        stdin: "piped",
      }),
    );
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
  const server = await Server.start(stack);
  const example = "wss://staps.example.org";
  const sh = async (name: string, url?: string): Promise<string[]> => {
    const code = await block(page, name);
    return ["-ec", code.replace(example, server.base), url ?? ""];
  };
  const run = async (name: string): Promise<Process> =>
    new Process("sh", await sh(name), {
      cwd: folder.path,
      env: { ...environment, STAPS_URL: server.url },
      stdin: "piped",
      detached: true,
    });
  const uuid4 =
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
  for (const [name, variable] of [["url", "url"], ["shell-url", "STAPS_URL"]]) {
    const [, code = ""] = await sh(name!);
    const printed = await succeed("sh", [
      "-ec",
      `${code}\necho "$${variable}"`,
    ]);
    assert.match(printed, new RegExp(`^${server.base}/${uuid4}\n$`));
  }

  await using clients = new Clients(server.base);
  const peer = await clients.join(server.path);
  await using publish = await run("shell-publish");
  assert.equal(await peer.next(), "hello");
  assert.equal((await publish.status).code, 0);

  await using wait = await run("shell-wait");
  await server.joined(3);
  peer.send("one");
  assert.equal((await wait.status).code, 0);
  assert.equal(wait.stdout, "got: one\n");

  await using python = await run("shell-python");
  await server.joined(4);
  await python.write("from python\n");
  assert.equal(await peer.next(), "from python");
  peer.send("to python");
  await python.printed(/to python/);

  await using curl = await run("shell-curl");
  assert.equal((await curl.status).code, 0);
  assert.equal(curl.stdout, "426\n");

  await using loop = await run("shell-loop");
  try {
    await server.joined(5);
    peer.send("two");
    await loop.printed(/^got: two$/m);
    await server.staps.stop("SIGTERM");
    await server.staps.start();
    await server.joined(1);
    await using again = new Clients(server.base);
    const other = await again.join(server.path);
    other.send("three");
    await loop.printed(/^got: three$/m);
  } finally {
    // Both sides of the pipe.
    Deno.kill(-loop.pid, "SIGKILL");
  }
});
