/**
 * The Debian package in a minimal Debian that boots with its real systemd:
 * docs/deploy.md as administrators follow it, in each release that it names,
 * and in one of them also what goes wrong later.
 *
 * The steps build on each other: one machine serves them all.
 */
import assert from "node:assert/strict";
import { builtExecutable, builtPackage } from "../helpers/builds.ts";
import { block, readPage } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { attack } from "./frontend_attacks.ts";
import { statusOf } from "../helpers/frontend_requests.ts";
import { Machine } from "./machine.ts";
import { repository, runOrThrow } from "../../tools/process.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { testUnless } from "../helpers/skip.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

const config = "/etc/staps/staps.conf";
const socket = "/run/staps/staps.sock";
const site = "/etc/nginx/sites-available/staps";
const deploy = "docs/deploy.md";
const scale = "docs/scale.md";
const upgrade = "docs/upgrade.md";

/** Does one step, which the following ones need. */
type Step = (name: string, fn: () => Promise<void>) => Promise<void>;

const built = await TempFolder.make();
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(built.path, { recursive: true }),
);
/** The paths of what is installed. */
let products: Promise<{ package: string; archive: string }> | undefined;

const releases = [12, 13] as const;
const machines = await Promise.all(releases.map(Machine.bootIfPossible));

for (const [i, release] of releases.entries()) {
  const booted = machines[i]!;
  testUnless(typeof booted === "string" ? booted : undefined, {
    name: `docs/deploy.md works word for word in Debian ${release}`,
    async fn(t): Promise<void> {
      await using machine = booted as Machine;
      const step: Step = async (name, fn) => {
        if (await t.step(name, fn)) return;
        const { stdout } = await machine.run(
          "journalctl --no-pager --lines=60 --unit='staps*'",
        );
        throw new Error(
          `The steps that follow need this one. Journal:\n${stdout}`,
        );
      };
      products ??= make();
      const { package: path, archive } = await products;
      await installPackage(machine, { step, path });
      await openToNginx(machine, step);
      if (release === 12) {
        await runService(machine, step);
        await runInstances(machine, step);
      }
      await purge(machine, step);
      await installOneFile(machine, { step, archive });
    },
  });
}

/** Makes the package and the archive as the page says. */
async function make(): Promise<{ package: string; archive: string }> {
  assert.match(await block(deploy, "build"), / task deb\n$/);
  const path = await builtPackage();
  // Not in the repository itself, which others use.
  const clone = `${built.path}/clone`;
  await Deno.mkdir(clone);
  await runOrThrow("sh", [
    ...["-ec", 'tar -c --exclude=.git --exclude=dist . | tar -xC "$0"', clone],
  ], { cwd: repository });
  await Deno.mkdir(`${clone}/dist`);
  await Deno.copyFile(await builtExecutable(), `${clone}/dist/staps`);
  const [task, ...pack] = (await block(deploy, "compile")).split("\n");
  assert.match(task!, / task compile$/);
  await runOrThrow("sh", ["-ec", pack.join("\n")], { cwd: clone });
  return { package: path, archive: `${clone}/dist/staps.tar` };
}

/** Installs the package, and looks at what runs. */
async function installPackage(
  machine: Machine,
  { step, path }: { step: Step; path: string },
): Promise<void> {
  await step("dpkg installs it, and it runs", async () => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    await machine.put(`/root/${name}`, await Deno.readFile(path));
    await machine.paste([deploy, "install"]);
    const look = await machine.paste([deploy, "look"]);
    assert.match(look, /active \(running\)/);
    await machine.sh("systemctl is-active staps; systemctl is-enabled staps");
    assert.match(
      await machine.sh("staps --version"),
      /^staps \S+ \(packaged, deno \S+\)$/,
    );
    assert.equal(
      await machine.sh(`stat -c '%A %U %G' ${config}`),
      "-rw-r----- root staps",
    );
  });
}

/** What stands behind the path of requests that servers have much to say about. */
const oddRequests = [
  " HTTP/1.1\r\nHost: a\r\nHost: b",
  " HTTP/1.1\r\nHost: a/b",
  " HTTP/1.1",
  " HTTP/9.1",
  " HTTP/1.1\r\nHost: another.example",
];

/** Lets nginx in, tries it, and does what strangers do. */
async function openToNginx(machine: Machine, step: Step): Promise<void> {
  await step("clients get through a stock nginx", async () => {
    // As Debian starts it, with its default site.
    await machine.sh("test -e /etc/nginx/sites-enabled/default");
    await machine.sh("systemctl enable --now nginx");
    const workers = async (): Promise<string[]> =>
      (await machine.sh("pgrep -f '^nginx: worker process' || true"))
        .split("\n").filter((pid) => pid !== "");
    const before = await workers();
    // Where this machine's limit is lower, root in a container can't raise it.
    const limit = await machine.sh("ulimit -Hn");
    const files = limit === "unlimited" ? 65_536 : Math.min(65_536, +limit);
    await machine.paste(
      [deploy, "frontend"],
      ["nofile 65536", `nofile ${files}`],
    );
    // As the page says: the old processes still answer for a moment.
    await eventually(
      async () => {
        const now = await workers();
        return now.length > 0 && !now.some((pid) => before.includes(pid));
      },
      "nginx's new processes",
    );
    assert.match(
      await machine.sh("staps check --through ws://127.0.0.1"),
      /clients talk through ws:\/\/127\.0\.0\.1/,
    );
    assert.match(await machine.paste([deploy, "try"]), /^hello$/m);
  });

  await step(
    "one address, one network or half handshakes shut nobody out",
    async () => {
      const outcomes = await attack(machine.intoNetwork);
      const { oneAddress, oneNetwork, others, givenUp } = outcomes;
      const told = JSON.stringify(outcomes);
      for (const answers of [oneAddress, oneNetwork]) {
        assert.deepEqual(Object.keys(answers).sort(), ["101", "429"], told);
        // The limit of the example, and more than Debian's connections allow.
        assert.ok(answers["101"]! > 900 && answers["101"]! <= 1000, told);
      }
      assert.deepEqual(Object.keys(others), ["101"], told);
      assert.ok(givenUp > 1000, told);
    },
  );

  await step("no log has a path, however odd the requests were", async () => {
    for (const rest of oddRequests) {
      const head = `GET ${newPath()}${rest}\r\nConnection: close\r\n\r\n`;
      await statusOf(
        { socket: machine.door },
        new TextEncoder().encode(head),
      );
    }
    const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-";
    const logs = await machine.sh(
      "cat /var/log/nginx/*; journalctl --no-pager -u nginx -u staps",
    );
    assert.match(logs, /\b101\b/);
    assert.match(logs, /client connected/);
    assert.doesNotMatch(logs, new RegExp(uuid));
  });

  await step(
    "right before a start nothing is wrong, though the unit's folder isn't there",
    async () => {
      await machine.sh("systemctl stop staps");
      await machine.shFails("test -e /run/staps");
      assert.match(
        await machine.sh("staps check"),
        /"\/run\/staps\/staps\.sock" is free: staps\.service makes its folder/,
      );
      await machine.sh("systemctl start staps");
      await machine.paste([deploy, "reload"]);
    },
  );
}

/** Does what goes wrong later. */
async function runService(machine: Machine, step: Step): Promise<void> {
  const inode = (): Promise<string> => machine.sh(`stat -c %i ${socket}`);
  const journal = "journalctl --no-pager --unit=staps";
  const statusText = show("StatusText");
  const mainPid = (): Promise<string> => machine.sh(show("MainPID"));
  /** Waits for another process than `before` to be ready. */
  const restarted = (before: string): Promise<void> =>
    machine.prints(
      `${show("ActiveState")}; ${show("MainPID")}`,
      new RegExp(`^active\n(?!(${before}|0)$)`),
    );
  await using clients = new Clients(machine.door);
  const path = newPath();

  await step("systemctl start returns when the socket accepts", async () => {
    await machine.sh("systemctl stop staps");
    // The socket is there, and a client gets in at once.
    await machine.sh(`systemctl start staps && test -S ${socket}`);
    assert.equal(
      await machine.sh(`stat -c '%A %U %G' ${socket}`),
      "srw-rw---- staps staps",
    );
    assert.match(await machine.sh(statusText), /^0 channels, 0 clients/);
  });

  await step("the runtime has given up its rights, and root's", async () => {
    const status = await machine.sh(`cat /proc/${await mainPid()}/status`);
    assert.match(status, /^CapEff:\s+0+$/m);
    assert.match(status, /^CapBnd:\s+0+$/m);
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    assert.match(status, /^Seccomp:\s+2$/m);
  });

  await step("systemd-analyze security gives 1.5 or less", async () => {
    for (const unit of ["staps.service", "staps@.service"]) {
      const report = await machine.sh(
        `systemd-analyze security --no-pager --offline=true /lib/systemd/system/${unit}`,
      );
      const [, level] = /Overall exposure level for .*: ([\d.]+)/.exec(report)!;
      assert.ok(Number(level) > 0 && Number(level) <= 1.5, `${unit}: ${level}`);
    }
  });

  await step(
    "reload keeps connections, takes new limits over, and reports the rest",
    async () => {
      const [a, b] = [await clients.join(path), await clients.join(path)];
      await edit(machine, /#message_bytes = .*/, "message_bytes = 100");
      await machine.paste([deploy, "reload"]);
      await machine.prints(
        journal,
        /reloaded changed="?\[limits\] message_bytes/,
      );
      const tooMuch = await clients.join(path);
      tooMuch.send("x".repeat(101));
      assert.equal((await tooMuch.closed).code, 1009);

      await edit(machine, /message_bytes = 100/, "message_bytes = many");
      await machine.sh("systemctl reload staps");
      await machine.prints(
        statusText,
        /Reload failed, the old settings stay: .*"message_bytes".*"many"/,
      );
      await edit(machine, /message_bytes = many/, "message_bytes = 200");

      await edit(machine, /#mode = 0660/, "mode = 0666");
      await machine.sh("systemctl reload staps");
      await machine.prints(statusText, /need a restart: \[staps\] mode/);
      await edit(machine, /^mode = 0666/m, "#mode = 0660");
      await machine.sh("systemctl reload staps");
      await machine.prints(statusText, /^(?!.*need a restart)/);
      await converse(a, b);
    },
  );

  await step("it is listed as staps, with its documentation", async () => {
    const pid = await mainPid();
    assert.equal(await machine.sh(`ps -o comm= -p ${pid}`), "staps");
    assert.match(
      await machine.sh("systemctl status --no-pager staps"),
      /Main PID: \d+ \(staps\)/,
    );
    await machine.sh("test -f /usr/share/doc/staps/docs/README.md");
  });

  await step(
    "a removed socket is there again; after kill -9 there is a new one",
    async () => {
      const [a, b] = [await clients.join(path), await clients.join(path)];
      const [pid, old] = [await mainPid(), await inode()];
      await machine.sh(`rm ${socket}`);
      await machine.prints(
        journal,
        /the socket was gone, and is there again/,
      );
      assert.equal(await inode(), old);
      await converse(a, b);
      await machine.sh(`kill -9 ${pid}`);
      await a.closed;
      await restarted(pid);
      assert.notEqual(await inode(), old);
      await converse(await clients.join(path), await clients.join(path));
    },
  );

  await step(
    "an event loop that stands still is killed and restarted",
    async () => {
      // As in a drop-in of an administrator who doesn't want to wait for 30 s.
      const folder = "/etc/systemd/system/staps.service.d";
      await machine.sh(`mkdir ${folder}`);
      await machine.put(
        `${folder}/watchdog.conf`,
        "[Service]\nWatchdogSec=2s\n",
      );
      await machine.sh("systemctl daemon-reload; systemctl restart staps");
      const before = await mainPid();
      await machine.sh(`kill -STOP ${before}`);
      await restarted(before);
      await machine.prints(journal, /Watchdog timeout/);
      // Healthy, it isn't killed: it gets older than the watchdog's interval.
      const healthy = await mainPid();
      await machine.prints(`ps -o etimes= -p ${healthy}`, /[4-9]|\d\d/);
      assert.equal(await mainPid(), healthy);
    },
  );

  await step("stop tells the clients 1001, in time", async () => {
    const client = await clients.join(path);
    await machine.sh("systemctl stop staps");
    const { code, reason } = await client.closed;
    assert.equal(code, 1001);
    assert.match(reason, /^service restart, retry=\d+$/);
    assert.equal(await machine.sh(show("Result")), "success");
    await machine.shFails(`test -e ${socket}`);
  });

  await step(
    "a broken configuration fails once, with the reason in the status",
    async () => {
      await edit(machine, /message_bytes = 200/, "message_bites = 200");
      await machine.shFails("systemctl start staps");
      for (
        const [name, value] of [
          ["ExecMainStatus", "78"],
          ["NRestarts", "0"],
          ["ActiveState", "failed"],
        ] as const
      ) assert.equal(await machine.sh(show(name)), value);
      const status = await machine.sh(
        "systemctl status --no-pager --full staps || true",
      );
      assert.match(
        status,
        /staps: error: Cannot read "message_bites" in \/etc\/staps\/staps\.conf line \d+/,
      );
      assert.match(status, /staps: hint: .*message_bytes/);
      await edit(machine, /message_bites = 200/, "message_bytes = 200");
      await machine.sh("systemctl start staps");
    },
  );
}

/** Does what docs/scale.md and docs/upgrade.md say. */
async function runInstances(machine: Machine, step: Step): Promise<void> {
  await step("two instances share the channels behind one nginx", async () => {
    await machine.paste([scale, "instances"]);
    await machine.paste([scale, "instance-settings"]);
    await machine.prints(
      "journalctl --no-pager --unit=staps@1",
      /\/etc\/staps\/staps\.conf, \/etc\/staps\/1\.conf/,
    );
    await machine.sh("staps check staps@2");
    const text = await machine.sh(`cat ${site}`);
    const many = text.match(/^#(upstream staps \{\n(?:#.*\n)*?#\})/m)![1]!
      .replaceAll(/^#/gm, "");
    await machine.put(site, text.replace(/^upstream staps \{[^}]*\}/m, many));
    await machine.paste([scale, "nginx"]);
    await using clients = new Clients(machine.door);
    for (let i = 0; i < 16; i++) {
      const path = newPath();
      await converse(await clients.join(path), await clients.join(path));
    }
    // Both have some of the channels, and each of them whole.
    let count = 0;
    for (const instance of ["1", "2"]) {
      const status = await machine.sh(
        `staps status --socket /run/staps-${instance}/admin.sock`,
      );
      const channels = Number(status.match(/channels\D+(\d+)/i)?.[1]);
      assert.ok(channels > 0, status);
      count += channels;
    }
    assert.equal(count, 16);
    const status = await machine.paste([scale, "instance-status"]);
    assert.match(status, /staps@1\.service/);
    assert.match(status, /staps@2\.service/);
    // One going leaves the other's clients and socket alone.
    await machine.sh("systemctl restart staps@1");
    await machine.sh("test -S /run/staps-2/staps.sock");
    await machine.paste([upgrade, "rolling"]);
    await machine.paste([scale, "restart-all"]);
    await machine.sh("systemctl is-active staps@1 staps@2");
  });

  await step(
    "an upgrade restarts what runs, and keeps the configuration",
    async () => {
      const before = await machine.sh(`cat ${config}`);
      const pids = (): Promise<string> =>
        machine.sh("systemctl show --value --property=MainPID staps@1 staps@2");
      const pidsBefore = await pids();
      await machine.paste(
        [upgrade, "upgrade"],
        ["apt install", "apt install --yes"],
      );
      await machine.sh("systemctl is-active staps@1 staps@2");
      assert.notEqual(await pids(), pidsBefore);
      assert.equal(await machine.sh(`cat ${config}`), before);
      // Disabled before, it stays so.
      await machine.shFails("systemctl is-enabled staps");
      await machine.paste([upgrade, "check"]);
    },
  );

  await step("it is back after a reboot", async () => {
    await machine.reboot();
    await machine.sh("systemctl is-active staps@1 staps@2 nginx");
    await using clients = new Clients(machine.door);
    const path = newPath();
    await converse(await clients.join(path), await clients.join(path));
  });
}

/** Removes the package, and finds nothing of it. */
async function purge(machine: Machine, step: Step): Promise<void> {
  await step("purge leaves nothing", async () => {
    await machine.paste([upgrade, "purge"], ["apt purge", "apt purge --yes"]);
    await machine.sh("rm -f /root/staps_*.deb /etc/nginx/sites-*/staps");
    const left = await machine.sh(
      "find /etc /lib/systemd /run /usr /var -xdev -iname '*staps*' ! -path '/var/log/*'; " +
        "systemctl list-units --all --plain --no-legend 'staps*'",
    );
    assert.equal(left, "");
    await machine.shFails("getent passwd staps");
    await machine.shFails("getent group staps");
  });
}

/** Installs the one file, as a service and without. */
async function installOneFile(
  machine: Machine,
  { step, archive }: { step: Step; archive: string },
): Promise<void> {
  await step("the single file does in the same unit", async () => {
    await machine.put("/root/staps.tar", await Deno.readFile(archive));
    await machine.paste([deploy, "one-file"]);
    await machine.sh(`systemctl is-active staps; test -S ${socket}`);
    // It was unpacked once, for all users.
    await machine.sh("test -d /var/cache/staps-program");
    await machine.shFails("ls -d /var/cache/staps/staps");
    await machine.sh("systemctl restart staps");
    await machine.sh("systemctl disable --now staps");
    assert.equal(await machine.sh(show("Result")), "success");
  });

  await step("it runs without a service manager", async () => {
    await machine.sh("userdel staps; rm -rf /run/staps /var/lib/staps");
    const { blocks } = await readPage(deploy);
    const { code } = blocks.find(({ language }) => language === "ini")!;
    await machine.put(config, code);
    await machine.paste(
      [deploy, "daemon"],
      ["staps serve", "setsid staps serve > /root/log 2>&1 &"],
    );
    // The socket is there before the process has given up root's rights.
    await machine.prints("cat /root/log", /listening/);
    const pidFile = "/run/staps/staps.pid";
    const pid = await machine.sh(`cat ${pidFile}`);
    assert.match(
      await machine.sh(`ps -o user=,comm= -p ${pid}`),
      /^staps +staps$/,
    );
    await machine.sh(`kill ${pid}`);
    await machine.prints(`test -e ${pidFile} || echo gone`, /gone/);
  });
}

/** Gets the command that prints a property of staps's unit. */
function show(property: string): string {
  return `systemctl show --value --property=${property} staps`;
}

/** Changes the configuration file as an editor would. */
async function edit(
  machine: Machine,
  pattern: RegExp,
  text: string,
): Promise<void> {
  const before = await machine.sh(`cat ${config}`);
  assert.match(before, pattern);
  await machine.put(config, `${before.replace(pattern, text)}\n`);
}
