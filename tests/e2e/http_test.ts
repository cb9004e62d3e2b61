/** docs/http.md: each block is run as it stands there, against the real program. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually } from "../helpers/eventually.ts";
import { freePort, TempFolder } from "../helpers/folder.ts";
import { listenerConfig } from "../helpers/listener.ts";
import { Process, stapsCommand } from "../helpers/process.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";

const page = "docs/http.md";
const port = freePort();
const shared = shareStaps({
  config: `${listenerConfig}[log]\nlevel = debug\n`,
  args: [`--listen=127.0.0.1:${port}`],
});

/** Programs that the blocks name, by what they do. */
const programs: Readonly<Record<string, string>> = {
  staps: [Deno.execPath(), ...stapsCommand].map((word) => `'${word}'`)
    .join(" ") + ' "$@"',
  backup: "echo saved; echo 'but not all' >&2",
};

let bin: TempFolder;

Deno.test.beforeAll(async () => {
  bin = await TempFolder.make();
  for (const [name, code] of Object.entries(programs)) {
    const file = `${bin.path}/${name}`;
    await Deno.writeTextFile(file, `#!/bin/sh\n${code}\n`, { mode: 0o755 });
  }
});
Deno.test.afterAll(() => bin[Symbol.asyncDispose]());

function urlOf(path: string, scheme = "http"): string {
  return `${scheme}://127.0.0.1:${port}${path}`;
}

/** Begins to run a block in a shell, with a channel's URL in `URL`. */
async function shell(
  name: string,
  path: string,
  scheme?: string,
): Promise<Process> {
  return new Process("sh", ["-ec", await block(page, name)], {
    env: {
      URL: urlOf(path, scheme),
      BUILD: "7",
      PATH: `${bin.path}:${Deno.env.get("PATH")}`,
    },
    detached: true,
  });
}

/** Ends a shell, and what runs in it. */
function end({ pid }: Process): void {
  Deno.kill(-pid, "SIGKILL");
}

/** Posts as GitHub does. */
async function deliver(path: string): Promise<number> {
  const response = await fetch(urlOf(path), {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "User-Agent": "GitHub-Hookshot/044aadd",
      "X-GitHub-Event": "push",
      "X-Hub-Signature-256": "sha256=0",
    },
    body: '{"ref":"refs/heads/main"}',
  });
  await response.body?.cancel();
  return response.status;
}

Deno.test("docs/http.md: curl publishes, and is told how many got it", async () => {
  const path = newPath();
  const [a, b] = [
    await shared.clients.join(path),
    await shared.clients.join(path),
  ];
  await using curl = await shell("post", path);
  assert.equal((await curl.status).code, 0);
  assert.deepEqual([await a.next(), await b.next()], ["hello", "hello"]);
  const documented = JSON.parse(await block(page, "answer"));
  assert.deepEqual(JSON.parse(curl.stdout), documented);
});

/** A command of a transcript, and what it prints. */
interface Command {
  readonly code: string;
  readonly output: string;
}

/** Gets what is typed and printed in a terminal on the README's first screen, with this server's URL. */
async function transcript(name: string, path: string): Promise<Command[]> {
  const text = await block("README.md", name);
  return text.split(/^\$ /m).slice(1).map((part) => {
    const [code, ...output] = part.trimEnd().split("\n");
    return {
      code: code!.replace(
        /(ws|http)s:\/\/example\.org\/[0-9a-f-]+/,
        (_, scheme) => urlOf(path, scheme),
      ),
      output: output.map((line) => `${line}\n`).join(""),
    };
  });
}

Deno.test("README.md: two terminals and curl talk as they do there", async () => {
  const path = newPath();
  const env = { PATH: `${bin.path}:${Deno.env.get("PATH")}` };
  const [listening] = await transcript("terminal-one", path);
  // Somebody who doesn't type.
  await using one = new Process("sh", ["-c", `sleep 60 | ${listening!.code}`], {
    env,
    detached: true,
  });
  try {
    const event = '{"ref":"refs/heads/main"}\n';
    await eventually(async () => await deliver(path) === 200, "the first one");
    for (const { code, output } of await transcript("terminal-two", path)) {
      await using command = new Process("sh", ["-ec", code], { env });
      assert.equal((await command.status).code, 0, command.output);
      assert.equal(command.stdout, output);
    }
    await one.printed(/done/);
    assert.equal(one.stdout, event + listening!.output);
  } finally {
    end(one);
  }
});

Deno.test("docs/http.md: curl waits until somebody joins", async () => {
  const path = newPath();
  await using curl = await shell("wait", path);
  const member = await shared.clients.join(path);
  assert.equal(await member.next(), "hello");
  assert.equal((await curl.status).code, 0);
  assert.deepEqual(JSON.parse(curl.stdout), { members: 1 });
});

Deno.test("docs/http.md: curl listens", async () => {
  const path = newPath();
  await using curl = await shell("listen", path);
  try {
    await curl.printed(/^retry: 5000$/m);
    const member = await shared.clients.join(path);
    member.send("hello\nworld");
    await curl.printed(/^data: hello\ndata: world\n$/m);
    member.send(new Uint8Array([1]));
    await curl.printed(/^event: binary\ndata: AQ==\n$/m);
  } finally {
    end(curl);
  }
});

for (
  const [name, scheme] of [["webhook", "ws"], ["webhook-curl", "http"]] as const
) {
  Deno.test(`docs/http.md: a laptop gets GitHub's events: ${name}`, async () => {
    const path = newPath();
    assert.equal(await deliver(path), 404);
    await using laptop = await shell(name, path, scheme);
    try {
      await eventually(async () => await deliver(path) === 200, "the laptop");
      await laptop.printed(/^GitHub says: \{"ref":"refs\/heads\/main"\}$/m);
    } finally {
      end(laptop);
    }
  });
}

Deno.test("docs/http.md: a build waits for those who wait for it", async () => {
  const path = newPath();
  await using build = await shell("build", path);
  const member = await shared.clients.join(path);
  assert.equal(await member.next(), "build 7 is done");
  assert.equal((await build.status).code, 0);
});

Deno.test("docs/http.md: cron publishes what a job prints, whoever is there", async () => {
  const path = newPath();
  await using alone = await shell("cron", path);
  assert.equal((await alone.status).code, 0);
  const member = await shared.clients.join(path);
  await using heard = await shell("cron", path);
  assert.equal((await heard.status).code, 0);
  assert.equal(heard.output, "");
  assert.equal(await member.next(), "saved\nbut not all\n");
});

Deno.test("docs/http.md: JavaScript listens and publishes", async () => {
  const path = newPath();
  const file = `${bin.path}/listen.mjs`;
  await Deno.writeTextFile(file, await block(page, "javascript"));
  await using program = new Process(Deno.execPath(), [
    ...["run", "--no-config", "--allow-net", file, urlOf(path)],
  ]);
  await program.printed(/^200 \{ members: 1 \}$/m);
  await program.printed(/^text: hello$/m);
  const member = await shared.clients.join(path);
  member.send(new Uint8Array([1, 255]));
  await program.printed(/^bytes: Uint8Array\(2\) \[ 1, 255 \]$/m);
});

Deno.test("docs/http.md: Python publishes and listens", async () => {
  const path = newPath();
  const file = `${bin.path}/listen.py`;
  await Deno.writeTextFile(file, await block(page, "python"));
  await using program = new Process("python3", ["-u", file, urlOf(path)]);
  await program.printed(/^nobody is there$/m);
  await eventually(
    async () => (await deliver(path)) === 200,
    "the program to listen",
  );
  await program.printed(/^got: \{"ref":"refs\/heads\/main"\}$/m);
});

shared.testFarewell();
