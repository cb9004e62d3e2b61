/** The section [daemon], in processes of its own: rights and umask belong to a whole process. */
import assert from "node:assert/strict";
import { DaemonProcess } from "./daemon_process.ts";
import { TempFolder } from "../../tools/folder.ts";
import { testUnless } from "../helpers/skip.ts";

const needsRoot = Deno.uid() === 0 ? undefined : "only root can change users";

/** The user and the group www-data of Debian; the group daemon is 1. */
const www = 33;
const setpriv = ["setpriv", `--reuid=${www}`, `--regid=${www}`];
const asWww = [...setpriv, "--clear-groups"];
const inDaemon = [...setpriv, "--groups=daemon"];

/** How a process becomes a daemon, and what it tells of itself then. */
interface Case extends Readonly<Record<string, unknown>> {
  readonly options: Readonly<Record<string, string>>;
  readonly through?: readonly string[];
}

const cases: Readonly<Record<string, Case>> = {
  "settle() makes all threads of root's process the user's, with no group of root's left":
    {
      options: { user: "www-data" },
      through: ["setpriv", "--groups=0,4,6"],
      owner: { uid: www, gid: www },
      rights: [
        "Uid: 33 33 33 33; Gid: 33 33 33 33; Groups: 33; " +
        "CapPrm: 0000000000000000; CapEff: 0000000000000000",
      ],
    },
  "settle() takes the group that is set": {
    options: { user: "www-data", group: "daemon" },
    owner: { uid: www, gid: 1 },
    rights: /^Uid: .*; Gid: 1 1 1 1; Groups: 1;/,
  },
  "prepare() has nothing to do for a process that is the user's": {
    options: { user: "www-data", group: "www-data" },
    through: asWww,
    owner: { uid: null, gid: null },
    error: undefined,
  },
  "prepare() gives sockets to a further group of the user": {
    options: { group: "daemon" },
    through: inDaemon,
    owner: { uid: null, gid: 1 },
  },
  "prepare() says that only root can become another user": {
    options: { user: "daemon" },
    through: asWww,
    error:
      'ConfigError: Cannot become the user "daemon" of [daemon]: started as user id 33, expected root or "daemon"',
  },
  "prepare() says that only root can take another group": {
    options: { group: "daemon" },
    through: asWww,
    error: /^ConfigError: Cannot become the group "daemon" of \[daemon\]: /,
  },
  "prepare() names a user that doesn't exist": {
    options: { user: "no-such-user" },
    error: 'ConfigError: Cannot find the user "no-such-user" of [daemon]',
    hint: /adduser --system/,
  },
  "prepare() names a group that doesn't exist": {
    options: { group: "no-such-group" },
    error: 'ConfigError: Cannot find the group "no-such-group" of [daemon]',
  },
  "settle() says why it can't change into its folder": {
    options: { dir: "/no/such/folder" },
    error:
      `StartupError: Cannot change into the folder "/no/such/folder": it doesn't exist`,
  },
};

for (const [name, { options, through, ...report }] of Object.entries(cases)) {
  testUnless(needsRoot, {
    name: `Daemon.${name}`,
    async fn(): Promise<void> {
      await using child = new DaemonProcess(options, through);
      const found: Record<string, unknown> = { ...await child.report() };
      for (const [field, expected] of Object.entries(report)) {
        if (expected instanceof RegExp) {
          assert.match(String(found[field]), expected);
        } else assert.deepEqual(found[field], expected);
      }
    },
  });
}

testUnless(needsRoot, {
  name: "Daemon.settle() finds a folder that only root may enter",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const dir = folder.path;
    await Deno.chmod(dir, 0o700);
    await using child = new DaemonProcess({ user: "www-data", dir });
    assert.equal(
      (await child.report()).error,
      `StartupError: Cannot change into the folder "${dir}": permission denied`,
    );
  },
});

Deno.test("Daemon sets the umask, changes into its folder, and writes no PID file under a service manager", async () => {
  await using folder = await TempFolder.make();
  const dir = folder.path;
  const pidFile = `${dir}/staps.pid`;
  const options = { umask: 0o27, dir, pidFile };
  await using child = new DaemonProcess({
    ...options,
    hasServiceManager: true,
  });
  const { umask, cwd } = await child.report();
  assert.deepEqual([umask, cwd], [0o27, dir]);
  await assert.rejects(Deno.lstat(pidFile), Deno.errors.NotFound);
});
