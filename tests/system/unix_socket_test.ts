import assert from "node:assert/strict";
import { StartupError } from "../../src/common/errors.ts";
import { bindUnixSocket } from "../../src/system/unix_socket.ts";
import { TempFolder } from "../../tools/folder.ts";

function listen(path: string, mode = 0o600): Promise<Deno.UnixListener> {
  return bindUnixSocket(path, {
    mode,
    bind: () => Deno.listen({ transport: "unix", path }),
  });
}

/** Leaves a socket's file without a listener, as after SIGKILL: renamed while it closes. */
async function leaveStale(path: string): Promise<void> {
  const listener = await listen(path);
  Deno.renameSync(path, `${path}.left`);
  listener.close();
  Deno.renameSync(`${path}.left`, path);
}

function permissions(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

for (const mode of [0o600, 0o660, 0o666, 0o777, 0]) {
  Deno.test(`bindUnixSocket() creates the socket with the mode ${mode.toString(8)}, whatever the umask`, async () => {
    await using folder = await TempFolder.make();
    const umask = Deno.umask();
    const path = `${folder.path}/s`;
    let atOnce;
    using _listener = await bindUnixSocket(path, {
      mode,
      bind: () => {
        const listener = Deno.listen({ transport: "unix", path });
        atOnce = permissions(path);
        return listener;
      },
    });
    assert.equal(atOnce, mode);
    assert.equal(permissions(path), mode);
    assert.equal(Deno.umask(), umask);
  });
}

Deno.test("bindUnixSocket() refuses a socket on which another server answers", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  using _first = await listen(path);
  await assert.rejects(listen(path), {
    name: "StartupError",
    message: `Cannot listen on "${path}": another server answers there`,
  });
  using _connection = await Deno.connect({ transport: "unix", path });
});

Deno.test("bindUnixSocket() replaces a stale socket, for one of those that start at once only", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  await leaveStale(path);
  const results = await Promise.allSettled([1, 2, 3].map(() => listen(path)));
  const winners = results.filter((result) => result.status === "fulfilled");
  assert.equal(winners.length, 1);
  for (const result of results) {
    if (result.status === "rejected") {
      assert.ok(result.reason instanceof StartupError);
    }
  }
  using _listener = winners[0]!.value;
  using _connection = await Deno.connect({ transport: "unix", path });
});

const cases = [
  ["file", (path: string) => Deno.writeTextFile(path, "precious")],
  ["folder", (path: string) => Deno.mkdir(path)],
  ["symbolic link", (path: string) => Deno.symlink("/nowhere", path)],
] as const;
for (const [what, make] of cases) {
  Deno.test(`bindUnixSocket() refuses a ${what}, and leaves it alone`, async () => {
    await using folder = await TempFolder.make();
    const path = `${folder.path}/s`;
    await make(path);
    const before = Deno.lstatSync(path);
    await assert.rejects(listen(path), {
      message:
        `Cannot listen on "${path}": a ${what} is there, expected a socket or nothing`,
    });
    assert.deepEqual(Deno.lstatSync(path).ino, before.ino);
  });
}

Deno.test("bindUnixSocket() says that the folder is missing, or the path too long", async () => {
  await assert.rejects(listen("/nonexistent/s"), {
    message:
      'Cannot listen on "/nonexistent/s": the folder "/nonexistent" doesn\'t exist',
  });
  // The settings refuse it first: these are the words of the runtime.
  const path = `/tmp/${"é".repeat(60)}`;
  await assert.rejects(listen(path), {
    name: "StartupError",
    message: `Cannot listen on "${path}": path must be shorter than SUN_LEN`,
  });
});
