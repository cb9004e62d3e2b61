/** docs/commands.md, publish: each block as it stands there, with the real program. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { freePort, TempFolder } from "../helpers/folder.ts";
import { listenerConfig } from "../helpers/listener.ts";
import { Process, stapsCommand } from "../helpers/process.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";

const page = "docs/commands.md";
const port = freePort();
const shared = shareStaps({
  config: listenerConfig,
  args: [`--listen=127.0.0.1:${port}`],
});

/** Begins to run a block in a shell that has `staps` and `logger`. */
async function shell(
  name: string,
  { path, folder }: { path: string; folder: TempFolder },
): Promise<Process> {
  const command = [Deno.execPath(), ...stapsCommand].map((word) => `'${word}'`);
  await Deno.writeTextFile(
    `${folder.path}/staps`,
    `#!/bin/sh\nexec ${command.join(" ")} "$@"\n`,
    { mode: 0o755 },
  );
  await Deno.writeTextFile(
    `${folder.path}/logger`,
    `#!/bin/sh\necho "$@"\n`,
    { mode: 0o755 },
  );
  return new Process("sh", ["-ec", await block(page, name)], {
    env: {
      URL: `ws://127.0.0.1:${port}${path}`,
      PATH: `${folder.path}:${Deno.env.get("PATH")}`,
    },
  });
}

Deno.test("docs/commands.md: a script learns whether anybody got it", async () => {
  await using folder = await TempFolder.make();
  const path = newPath();
  await using unheard = await shell("tell", { path, folder });
  assert.equal((await unheard.status).code, 0);
  assert.match(unheard.stdout, /^nobody has heard of the backup$/m);
  const member = await shared.clients.join(path);
  await using heard = await shell("tell", { path, folder });
  assert.equal((await heard.status).code, 0);
  assert.equal(heard.stdout, '{"members":1}\n');
  assert.equal(await member.next(), "backup done");
});

Deno.test("docs/commands.md: a script waits until somebody joins", async () => {
  await using folder = await TempFolder.make();
  const path = newPath();
  await using waiting = await shell("tell-waiting", { path, folder });
  const member = await shared.clients.join(path);
  assert.equal(await member.next(), "backup done");
  assert.equal((await waiting.status).code, 0);
});

shared.testFarewell();
