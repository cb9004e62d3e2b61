/** PID files of processes of their own, as each process has a lock on its file. */
import assert from "node:assert/strict";
import { PidFile } from "../../src/system/pid_file.ts";
import { DaemonProcess } from "./daemon_process.ts";
import { TempFolder } from "../../tools/folder.ts";
import { testUnless } from "../helpers/skip.ts";

const needsRoot = Deno.uid() === 0 ? undefined : "only root can change users";

Deno.test("PidFile has the process's number until the process ends", async () => {
  await using folder = await TempFolder.make();
  const pidFile = `${folder.path}/staps.pid`;
  await using child = new DaemonProcess({ pidFile, umask: 0 });
  await child.report();
  assert.equal(await Deno.readTextFile(pidFile), `${child.pid}\n`);
  assert.equal((await Deno.stat(pidFile)).mode! & 0o777, 0o644);
  await child.stop();
  await assert.rejects(Deno.lstat(pidFile), Deno.errors.NotFound);
});

Deno.test("PidFile.claim() refuses a live owner's file and leaves it alone", async () => {
  await using folder = await TempFolder.make();
  const pidFile = `${folder.path}/staps.pid`;
  await using first = new DaemonProcess({ pidFile });
  await first.report();
  await using second = new DaemonProcess({ pidFile });
  assert.equal(
    (await second.report()).error,
    `StartupError: Cannot use the PID file "${pidFile}": the process ${first.pid} has it`,
  );
  assert.equal(await Deno.readTextFile(pidFile), `${first.pid}\n`);
});

Deno.test("PidFile.claim() replaces the file of a process that was killed", async () => {
  await using folder = await TempFolder.make();
  const pidFile = `${folder.path}/staps.pid`;
  await using first = new DaemonProcess({ pidFile });
  await first.report();
  await first.stop("SIGKILL");
  // The number of a live process which has nothing to do with it.
  await Deno.writeTextFile(pidFile, `${Deno.pid}\n`);
  await using second = new DaemonProcess({ pidFile });
  await second.report();
  assert.equal(await Deno.readTextFile(pidFile), `${second.pid}\n`);
});

Deno.test("PidFile.claim() overwrites nothing that isn't a PID file", async () => {
  await using folder = await TempFolder.make();
  const precious = `${folder.path}/precious`;
  await Deno.writeTextFile(precious, "root:x:0:0\n");
  const link = `${folder.path}/link`;
  await Deno.symlink(precious, link);
  const cases = [
    [precious, "it holds something else than a process's number"],
    [link, "it is there and isn't a file"],
    [folder.path, "it is there and isn't a file"],
    [`${folder.path}/none/staps.pid`, "its folder doesn't exist"],
  ];
  for (const [pidFile, reason] of cases) {
    await using child = new DaemonProcess({ pidFile });
    assert.equal(
      (await child.report()).error,
      `StartupError: Cannot use the PID file "${pidFile}": ${reason}`,
    );
  }
  assert.equal(await Deno.readTextFile(precious), "root:x:0:0\n");
});

Deno.test("PidFile.claim() leaves no empty file where there is no room", async () => {
  await using folder = await TempFolder.make();
  const pidFile = `${folder.path}/staps.pid`;
  // A limit of 0 bytes for files says at a write what a full disk says.
  await using child = new DaemonProcess({ pidFile }, [
    ...["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"],
  ]);
  assert.match(
    (await child.report()).error!,
    /^StartupError: Cannot use the PID file ".*": File too large/,
  );
  await assert.rejects(Deno.lstat(pidFile), Deno.errors.NotFound);
});

Deno.test("PidFile.look() makes a file that is gone again, and leaves another one alone", async () => {
  await using folder = await TempFolder.make();
  await Deno.mkdir(`${folder.path}/run`);
  const path = `${folder.path}/run/staps.pid`;
  using pidFile = PidFile.claim(path);
  assert.deepEqual(pidFile.look(), { state: "there" });
  await Deno.remove(path);
  assert.deepEqual(pidFile.look(), { state: "made again" });
  assert.equal(await Deno.readTextFile(path), `${Deno.pid}\n`);
  assert.throws(() => PidFile.claim(path), /has it$/);

  await Deno.rename(path, `${path}.mine`);
  await Deno.writeTextFile(path, "1\n");
  const why = "another file is in its place";
  assert.deepEqual(pidFile.look(), { state: "lost", why, isFinal: false });
  assert.equal(await Deno.readTextFile(path), "1\n");
  await Deno.rename(`${path}.mine`, path);
  assert.deepEqual(pidFile.look(), { state: "there" });

  await Deno.remove(`${folder.path}/run`, { recursive: true });
  assert.deepEqual(pidFile.look(), {
    ...{ state: "lost", why: "its folder doesn't exist", isFinal: false },
  });
  await Deno.mkdir(`${folder.path}/run`);
  assert.deepEqual(pidFile.look(), { state: "made again" });
});

testUnless(needsRoot, {
  name: "PidFile is emptied where its folder is root's",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const pidFile = `${folder.path}/staps.pid`;
    await using child = new DaemonProcess({ pidFile, user: "www-data" });
    await child.report();
    await child.stop();
    assert.equal(await Deno.readTextFile(pidFile), "");
    await using next = new DaemonProcess({ pidFile, user: "www-data" });
    assert.equal((await next.report()).error, undefined);
  },
});
