/** The real process as a service: notifications, reload, [daemon], rights. */
import assert from "node:assert/strict";
import { permissions } from "../../scripts/permissions.ts";
import { freePort, TempFolder } from "../../tools/folder.ts";
import { NotifyListener } from "../helpers/notify_listener.ts";
import {
  denoDir,
  Process,
  repository,
  runProgram,
  startStaps,
} from "../../tools/process.ts";
import type { Rights } from "./rights_probe.ts";
import { testUnless } from "../helpers/skip.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

const needsRoot = Deno.uid() === 0 ? undefined : "only root can change users";
const { code: noMounts } = await runProgram("unshare", ["--mount", "true"]);
const needsMounts = needsRoot ??
  (noMounts ? "this machine allows no mount namespaces" : undefined);

/** Starts staps with the permissions it is shipped with, not with all as other tests do. */
async function start(
  { path }: TempFolder,
  { config = "", flags = [], env = {} }: {
    config?: string;
    flags?: readonly string[];
    env?: Record<string, string>;
  } = {},
): Promise<Process> {
  await Deno.writeTextFile(`${path}/staps.conf`, config);
  return new Process(Deno.execPath(), [
    ...["run", ...permissions, ...flags, `--config=${repository}/deno.json`],
    ...[`${repository}/main.ts`, `--config=${path}/staps.conf`],
    `--socket=${path}/staps.sock`,
  ], { env });
}

Deno.test("staps tells systemd that it is ready, reloads and stops", async () => {
  await using systemd = new NotifyListener();
  await using folder = await TempFolder.make();
  await using staps = await start(folder, {
    env: { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: "60000000" },
  });
  // A reload that comes too early is obeyed later.
  await staps.printed(/starting/);
  staps.signal("SIGHUP");
  assert.equal(await systemd.next(), "READY=1\nSTATUS=0 channels, 0 clients");
  // It said so after the socket was there, and it accepts.
  using _connection = await Deno.connect({
    transport: "unix",
    path: `${folder.path}/staps.sock`,
  });
  const others = [];
  for (let i = 0; i < 3; i++) others.push(await systemd.next());
  assert.deepEqual(
    // The connection counts from its first byte on.
    others.map((each) => each.replace(/[01] clients$/, "N clients")).sort(),
    ["READY=1\nSTATUS=0 channels, N clients", "RELOADING=1", "WATCHDOG=1"],
  );
  staps.signal("SIGTERM");
  assert.match(await systemd.next(), /^STOPPING=1\n.*\nEXTEND_TIMEOUT_USEC=/);
  assert.equal((await staps.status).code, 0);
});

Deno.test("staps tells systemd why it can't start", async () => {
  await using systemd = new NotifyListener();
  await using folder = await TempFolder.make();
  await using staps = await start(folder, {
    config: "[limits]\nclients = none\n",
    env: { NOTIFY_SOCKET: systemd.path },
  });
  assert.match(
    await systemd.next(),
    /^STATUS=Cannot read "clients" in .*staps\.conf line 2: got "none", expected/,
  );
  assert.equal((await staps.status).code, 78);
});

Deno.test("staps tells systemd that its broker can't be reached", async () => {
  await using systemd = new NotifyListener();
  await using folder = await TempFolder.make();
  await using staps = await start(folder, {
    config: `[staps]\namqp = amqp://u:hunter2@127.0.0.1:${freePort()}/\n`,
    env: { NOTIFY_SOCKET: systemd.path },
  });
  const text = await systemd.next();
  await staps.printed(
    / warn every user of this machine can read the broker's password file=\S+\/staps\.conf$/m,
  );
  assert.match(
    text,
    /^READY=1\nSTATUS=0 channels, 0 clients\. The broker can't be reached: /,
  );
  assert.doesNotMatch(text, /hunter2/);
  assert.equal((await staps.stop()).code, 0);
});

Deno.test("SIGHUP makes limits and log level effective, and names what takes a restart and what is wrong", async () => {
  await using staps = await startStaps();
  const file = `${staps.folder}/staps.conf`;
  const reload = async (clients: string, expected: RegExp): Promise<void> => {
    const conf = `[staps]\nmode = 0600\n[log]\nlevel = debug\n` +
      `[limits]\nclients = ${clients}\n`;
    await Deno.writeTextFile(file, conf);
    // Others mean nothing.
    for (const signal of ["SIGUSR1", "SIGUSR2", "SIGHUP"] as const) {
      staps.signal(signal);
    }
    await staps.printed(expected);
  };
  await reload("7", /reloaded changed="\[limits\] clients, \[log\] level"$/m);
  await staps.printed(/settings need a restart settings="\[staps\] mode"$/m);
  await using clients = new Clients(staps.socket);
  const [a, b] = await clients.joinMany("/x", 7);
  await converse(a!, b!);
  await staps.printed(/ debug /);
  await assert.rejects(clients.join("/x"));
  const failed = "reload failed, the old settings stay .*";
  await reload("8\nclient = 9", new RegExp(`${failed}"client\\\\?"`));
  // What was right in the wrong file hasn't been taken over.
  await assert.rejects(clients.join("/x"));
  await Deno.remove(file);
  staps.signal("SIGHUP");
  await staps.printed(new RegExp(`${failed}staps\\.conf`));
  await reload("8", /reloaded changed="\[limits\] clients"$/m);
  await clients.join("/x");
  assert.equal((await staps.stop()).code, 0);
});

Deno.test("SIGHUP keeps settings of the environment, and reads the file that one names again", async () => {
  await using folder = await TempFolder.make();
  const secret = `${folder.path}/amqp`;
  const url = `amqp://u:p@127.0.0.1:${freePort()}/`;
  await Deno.writeTextFile(secret, url);
  await using staps = await start(folder, {
    env: {
      STAPS_LIMITS_CLIENTS: "7",
      STAPS_AMQP_FILE: secret,
      STAPS_SOKCET: "/x",
    },
  });
  await staps.printed(
    /starting .*environment="STAPS_AMQP_FILE, STAPS_LIMITS_CLIENTS"$/m,
  );
  await staps.printed(/variable=STAPS_SOKCET did_you_mean=STAPS_SOCKET$/m);
  await staps.printed(/listening/);
  const file = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(file, "[limits]\nclients = 8\nchannels = 9\n");
  await Deno.writeTextFile(secret, `${url}other`);
  staps.signal("SIGHUP");
  await staps.printed(/reloaded changed="\[limits\] channels"$/m);
  await staps.printed(/need a restart settings="\[staps\] amqp"$/m);
});

testUnless(needsMounts, {
  name:
    "SIGHUP works for a staps that root started with HOME=/root and without --config",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const at = (name: string): string => `${folder.path}/${name}`;
    await Deno.mkdir(at("etc/staps"), { recursive: true });
    await Deno.mkdir(at("root"), { mode: 0o700 });
    for (const name of ["passwd", "group", "nsswitch.conf"]) {
      await Deno.copyFile(`/etc/${name}`, at(`etc/${name}`));
    }
    const configure = (clients: number): Promise<void> =>
      Deno.writeTextFile(
        at("etc/staps/staps.conf"),
        `[staps]\nsocket = ${at("etc/staps/s")}\n[daemon]\nuser = nobody\n` +
          `[limits]\nclients = ${clients}\n`,
      );
    await configure(7);
    // A system of its own has an /etc/staps of its own.
    const script =
      'mount --bind "$0" /etc && exec "$1" run "${@:2}" "--config=' +
      `${repository}/deno.json" ${repository}/main.ts serve`;
    await using staps = new Process("unshare", [
      ...["--mount", "bash", "-c", script, at("etc"), Deno.execPath()],
      ...permissions,
    ], { env: { HOME: at("root"), DENO_DIR: denoDir() } });
    await staps.printed(/listening/);
    await configure(8);
    staps.signal("SIGHUP");
    await staps.printed(/reloaded changed="\[limits\] clients"/);
  },
});

Deno.test("a running staps can't do what it doesn't need", async () => {
  await using folder = await TempFolder.make();
  await using staps = await start(folder, {
    flags: [`--preload=${repository}/tests/e2e/rights_probe.ts`],
    env: {
      STAPS_PROBE: `${folder.path}/staps.conf:${folder.path}/forbidden`,
    },
  });
  await staps.printed(/listening/);
  staps.signal("SIGUSR2");
  const [, json] = await staps.printed(/^rights: (.*)$/m);
  const rights: Rights = JSON.parse(json!);
  const { "read the configuration": config, ...others } = rights;
  assert.equal(config, "done");
  assert.ok(Object.keys(others).length > 10);
  for (const [attempt, result] of Object.entries(others)) {
    assert.equal(result, "refused by the runtime", attempt);
  }
  // And it still does what it is for.
  await using clients = new Clients(`${folder.path}/staps.sock`);
  const [a, b] = await clients.joinMany("/x", 2);
  await converse(a!, b!);
  assert.equal((await staps.stop()).code, 0);
});

testUnless(needsRoot, {
  name:
    "staps started by root gives its socket and itself to the user of [daemon]",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    await Deno.chown(folder.path, 33, 33);
    await using staps = await start(folder, {
      config: "[daemon]\nuser = www-data\ngroup = daemon\numask = 0\n" +
        `dir = ${folder.path}\npid_file = ${folder.path}/staps.pid\n`,
    });
    await staps.printed(/listening/);
    const { uid, gid, mode } = await Deno.lstat(`${folder.path}/staps.sock`);
    assert.deepEqual([uid, gid, mode! & 0o777], [33, 1, 0o660]);
    assert.equal(
      await Deno.readTextFile(`${folder.path}/staps.pid`),
      `${staps.pid}\n`,
    );
    const status = await Deno.readTextFile(`/proc/${staps.pid}/status`);
    assert.match(status, /^Uid:\t33\t33\t33\t33$/m);
    assert.match(status, /^Gid:\t1\t1\t1\t1$/m);
    assert.match(status, /^CapPrm:\t0+$/m);
    assert.equal(await Deno.readLink(`/proc/${staps.pid}/cwd`), folder.path);
    // As the user it can read its configuration again, and clean up.
    staps.signal("SIGHUP");
    await staps.printed(/reloaded changed=nothing/);
    assert.equal((await staps.stop()).code, 0);
    for (const name of ["staps.sock", "staps.pid"]) {
      await assert.rejects(
        Deno.lstat(`${folder.path}/${name}`),
        Deno.errors.NotFound,
      );
    }
  },
});
