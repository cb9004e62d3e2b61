/** PID files of processes of their own, as each process has a lock on its file. */
import assert from "node:assert/strict";
import { PidFile } from "../../src/system/pid_file.ts";
import { DaemonProcess } from "./daemon_process.ts";
import { TempFolder } from "../../tools/folder.ts";
import { testUnless } from "../helpers/skip.ts";

const needsRoot = Deno.uid() === 0 ? undefined : "only root can change users";

Deno.test("PidFile has the process's number until it ends, refuses another process, and replaces what a killed one left", async () => {
  await using folder = await TempFolder.make();
  const pidFile = `${folder.path}/staps.pid`;
  const options = { pidFile, umask: 0 };
  const content = (): string => Deno.readTextFileSync(pidFile);
  await using first = new DaemonProcess(options);
  await first.report();
  assert.equal(content(), `${first.pid}\n`);
  assert.equal(Deno.statSync(pidFile).mode! & 0o777, 0o644);

  await using second = new DaemonProcess(options);
  assert.equal(
    (await second.report()).error,
    `StartupError: Cannot use the PID file "${pidFile}": the process ${first.pid} has it`,
  );
  assert.equal(content(), `${first.pid}\n`);

  await first.stop("SIGKILL");
  // The number of a live process which has nothing to do with it.
  await Deno.writeTextFile(pidFile, `${Deno.pid}\n`);
  await using third = new DaemonProcess(options);
  await third.report();
  assert.equal(content(), `${third.pid}\n`);
  await third.stop();
  assert.throws(content, Deno.errors.NotFound);
});

Deno.test("PidFile.claim() overwrites nothing that isn't a PID file, and leaves no empty one where there is no room", async () => {
  await using folder = await TempFolder.make();
  const at = (name: string): string => `${folder.path}/${name}`;
  await Deno.writeTextFile(at("precious"), "root:x:0:0\n");
  await Deno.symlink(at("precious"), at("link"));
  await Deno.mkdir(at("folder"));
  // A limit of 0 bytes for files says at a write what a full disk says.
  const full = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
  const cases: [name: string, reason: RegExp, through?: string[]][] = [
    ["precious", /it holds something else than a process's number$/],
    ["link", /it is there and isn't a file$/],
    ["folder", /it is there and isn't a file$/],
    ["none/staps.pid", /its folder doesn't exist$/],
    ["staps.pid", /File too large/, ["sh", "-c", full, "sh"]],
  ];
  for (const [name, reason, through] of cases) {
    await using child = new DaemonProcess({ pidFile: at(name) }, through);
    const { error } = await child.report();
    const start = `StartupError: Cannot use the PID file "${at(name)}": `;
    assert.ok(error!.startsWith(start), error);
    assert.match(error!, reason);
  }
  assert.equal(await Deno.readTextFile(at("precious")), "root:x:0:0\n");
  await assert.rejects(Deno.lstat(at("staps.pid")), Deno.errors.NotFound);
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

  const lost = (why: string): unknown => ({
    ...{ state: "lost", why, isFinal: false },
  });
  await Deno.rename(path, `${path}.mine`);
  await Deno.writeTextFile(path, "1\n");
  assert.deepEqual(pidFile.look(), lost("another file is in its place"));
  assert.equal(await Deno.readTextFile(path), "1\n");
  await Deno.rename(`${path}.mine`, path);
  assert.deepEqual(pidFile.look(), { state: "there" });

  await Deno.remove(`${folder.path}/run`, { recursive: true });
  assert.deepEqual(pidFile.look(), lost("its folder doesn't exist"));
  await Deno.mkdir(`${folder.path}/run`);
  assert.deepEqual(pidFile.look(), { state: "made again" });
});

testUnless(needsRoot, {
  name: "PidFile is emptied where its folder is root's",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const options = { pidFile: `${folder.path}/staps.pid`, user: "www-data" };
    await using child = new DaemonProcess(options);
    await child.report();
    await child.stop();
    assert.equal(await Deno.readTextFile(options.pidFile), "");
    await using next = new DaemonProcess(options);
    assert.equal((await next.report()).error, undefined);
  },
});
