/** The section [daemon], in processes of its own: rights and umask belong to a whole process. */
import assert from "node:assert/strict";
import { DaemonProcess } from "./daemon_process.ts";
import { TempFolder } from "../helpers/folder.ts";
import { testUnless } from "../helpers/skip.ts";

const needsRoot = Deno.uid() === 0 ? undefined : "only root can change users";

/** Starts a command with the rights of `user` (setpriv(1)). */
function as(user: string): string[] {
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
}

async function idOf(user: string): Promise<number> {
  const passwd = await Deno.readTextFile("/etc/passwd");
  return Number(passwd.match(new RegExp(`^${user}:[^:]*:(\\d+):`, "m"))![1]);
}

testUnless(needsRoot, {
  name:
    "Daemon.settle() makes all threads of root's process the user's, with no group of root's left",
  async fn(): Promise<void> {
    const id = await idOf("www-data");
    await using child = new DaemonProcess({ user: "www-data" }, [
      "setpriv",
      "--groups=0,4,6",
    ]);
    const ids = Array(4).fill(id).join(" ");
    const { owner, rights } = await child.report();
    assert.deepEqual(owner, { uid: id, gid: id });
    assert.deepEqual(rights, [
      `Uid: ${ids}; Gid: ${ids}; Groups: ${id}; ` +
      "CapPrm: 0000000000000000; CapEff: 0000000000000000",
    ]);
  },
});

testUnless(needsRoot, {
  name: "Daemon.settle() takes the group that is set",
  async fn(): Promise<void> {
    const user = await idOf("www-data");
    await using child = new DaemonProcess({
      user: "www-data",
      group: "daemon",
    });
    const { owner, rights } = await child.report();
    assert.deepEqual(owner, { uid: user, gid: 1 });
    assert.match(rights!.join("\n"), /^Uid: .*; Gid: 1 1 1 1; Groups: 1;/);
  },
});

testUnless(needsRoot, {
  name: "Daemon.prepare() has nothing to do for a process that is the user's",
  async fn(): Promise<void> {
    await using child = new DaemonProcess({
      user: "www-data",
      group: "www-data",
    }, [
      ...as("www-data"),
    ]);
    const { owner, error } = await child.report();
    assert.equal(error, undefined);
    assert.deepEqual(owner, { uid: null, gid: null });
  },
});

testUnless(needsRoot, {
  name: "Daemon.prepare() gives sockets to a further group of the user",
  async fn(): Promise<void> {
    await using child = new DaemonProcess({ group: "daemon" }, [
      "setpriv",
      "--reuid=www-data",
      "--regid=www-data",
      "--groups=daemon",
    ]);
    assert.deepEqual((await child.report()).owner, { uid: null, gid: 1 });
  },
});

testUnless(needsRoot, {
  name: "Daemon.prepare() says that only root can become somebody else",
  async fn(): Promise<void> {
    await using user = new DaemonProcess({ user: "daemon" }, as("www-data"));
    assert.equal(
      (await user.report()).error,
      `ConfigError: Cannot become the user "daemon" of [daemon]: started as user id ${await idOf(
        "www-data",
      )}, expected root or "daemon"`,
    );
    await using group = new DaemonProcess({ group: "daemon" }, as("www-data"));
    assert.match(
      (await group.report()).error!,
      /^ConfigError: Cannot become the group "daemon" of \[daemon\]: /,
    );
  },
});

Deno.test("Daemon.prepare() names users and groups that don't exist", async () => {
  await using user = new DaemonProcess({ user: "no-such-user" });
  const report = await user.report();
  assert.equal(
    report.error,
    'ConfigError: Cannot find the user "no-such-user" of [daemon]',
  );
  assert.match(report.hint!, /adduser --system/);
  await using group = new DaemonProcess({ group: "no-such-group" });
  assert.equal(
    (await group.report()).error,
    'ConfigError: Cannot find the group "no-such-group" of [daemon]',
  );
});

Deno.test("Daemon sets the umask and changes into its folder", async () => {
  await using folder = await TempFolder.make();
  await using child = new DaemonProcess({ umask: 0o27, dir: folder.path });
  const { umask, cwd } = await child.report();
  assert.equal(umask, 0o27);
  assert.equal(cwd, folder.path);
});

Deno.test("Daemon.settle() says why it can't change into its folder", async () => {
  await using child = new DaemonProcess({ dir: "/no/such/folder" });
  assert.equal(
    (await child.report()).error,
    `StartupError: Cannot change into the folder "/no/such/folder": it doesn't exist`,
  );
});

testUnless(needsRoot, {
  name: "Daemon.settle() finds a folder that only root may enter",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    await Deno.chmod(folder.path, 0o700);
    await using child = new DaemonProcess({
      user: "www-data",
      dir: folder.path,
    });
    assert.equal(
      (await child.report()).error,
      `StartupError: Cannot change into the folder "${folder.path}": permission denied`,
    );
  },
});

Deno.test("Daemon.prepare() writes no PID file under a service manager", async () => {
  await using folder = await TempFolder.make();
  const pidFile = `${folder.path}/staps.pid`;
  await using child = new DaemonProcess({ pidFile, hasServiceManager: true });
  await child.report();
  await assert.rejects(Deno.lstat(pidFile), Deno.errors.NotFound);
});
