/** docs/http.md: each block is run as it stands there, against the real program. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { freePort } from "../helpers/folder.ts";
import { listenerConfig } from "../helpers/listener.ts";
import { Process } from "../helpers/process.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";

const page = "docs/http.md";
const port = freePort();
const shared = shareStaps({
  config: `${listenerConfig}[log]\nlevel = debug\n`,
  args: [`--listen=127.0.0.1:${port}`],
});

/** Begins to run a block in a shell, with a channel's URL in `URL`. */
async function shell(name: string, path: string): Promise<Process> {
  return new Process("sh", ["-ec", await block(page, name)], {
    env: { URL: `http://127.0.0.1:${port}${path}` },
    detached: true,
  });
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
    // The shell, and curl in it.
    Deno.kill(-curl.pid, "SIGKILL");
  }
});

shared.testFarewell();
