import assert from "node:assert/strict";
import { StartupError } from "../../src/common/errors.ts";
import { bindUnixSocket } from "../../src/system/unix_socket.ts";
import { TempFolder } from "../../tools/folder.ts";

function listen(path: string): Promise<Deno.UnixListener> {
  return bindUnixSocket(path, {
    mode: 0o600,
    bind: () => Deno.listen({ transport: "unix", path }),
  });
}

function permissions(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

Deno.test("bindUnixSocket() creates the socket with its mode, whatever the umask", async () => {
  await using folder = await TempFolder.make();
  const umask = Deno.umask();
  for (const mode of [0o600, 0o660, 0o666, 0o777, 0]) {
    const path = `${folder.path}/${mode}`;
    let atOnce;
    using _listener = await bindUnixSocket(path, {
      mode,
      bind: () => {
        const listener = Deno.listen({ transport: "unix", path });
        atOnce = permissions(path);
        return listener;
      },
    });
    assert.deepEqual([atOnce, permissions(path)], [mode, mode]);
    assert.equal(Deno.umask(), umask);
  }
});

Deno.test("bindUnixSocket() doesn't keep a socket that has another mode than it should", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  const bind = (): void => {
    Deno.writeTextFileSync(path, "");
    // As a file system does that has modes of its own.
    Deno.chmodSync(path, 0o666);
  };
  await assert.rejects(bindUnixSocket(path, { mode: 0o660, bind }), {
    name: "StartupError",
    message: `Cannot listen on "${path}": it has the mode 0666, expected 0660`,
  });
});

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
  // Without a listener, as after SIGKILL: renamed while it closes.
  const killed = await listen(path);
  await Deno.rename(path, `${path}.left`);
  killed.close();
  await Deno.rename(`${path}.left`, path);
  const results = await Promise.allSettled([1, 2, 3].map(() => listen(path)));
  const winners = results.filter((result) => result.status === "fulfilled");
  const losers = results.filter((result) => result.status === "rejected");
  assert.equal(winners.length, 1);
  for (const { reason } of losers) assert.ok(reason instanceof StartupError);
  using _listener = winners[0]!.value;
  using _connection = await Deno.connect({ transport: "unix", path });
});

Deno.test("bindUnixSocket() refuses what is no socket, and leaves it alone", async () => {
  await using folder = await TempFolder.make();
  const at = (what: string): string => `${folder.path}/${what}`;
  await Deno.writeTextFile(at("file"), "precious");
  await Deno.mkdir(at("folder"));
  await Deno.symlink("/nowhere", at("symbolic link"));
  for (const what of ["file", "folder", "symbolic link"]) {
    const before = Deno.lstatSync(at(what));
    const message = `Cannot listen on "${at(what)}": a ${what} is there, ` +
      "expected a socket or nothing";
    await assert.rejects(listen(at(what)), { message });
    assert.equal(Deno.lstatSync(at(what)).ino, before.ino);
  }
});

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
