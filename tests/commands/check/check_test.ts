import assert from "node:assert/strict";
import { BrokerError } from "../../../src/amqp/link.ts";
import { explainRefusal } from "../../../src/amqp/refusal.ts";
import { render } from "../../../src/commands/check/check.ts";
import { checkDescriptors } from "../../../src/commands/check/descriptors.ts";
import { block } from "../../helpers/docs.ts";
import {
  barrier,
  bits,
  may,
  modeText,
} from "../../../src/commands/check/access.ts";
import {
  checkFrontend,
  nginxUser,
} from "../../../src/commands/check/frontend.ts";
import { TempFolder } from "../../helpers/folder.ts";

const alice = { name: "alice", uid: 1000, gids: [1000, 33] };
const root = { name: "root", uid: 0, gids: [0] };

Deno.test("may() lets the first class that fits decide", () => {
  const owned = { uid: 1000, gid: 33, mode: 0o077 };
  // The owner has none of the rights that all others have (path_resolution(7)).
  assert.equal(may(alice, owned, bits.read), false);
  assert.equal(may(alice, { ...owned, uid: 1 }, bits.read), true);
  assert.equal(may(alice, { uid: 1, gid: 33, mode: 0o606 }, bits.write), false);
  assert.equal(may(alice, { uid: 1, gid: 1, mode: 0o602 }, bits.write), true);
  assert.equal(
    may(alice, { uid: 1, gid: 33, mode: 0o640 }, bits.read + bits.write),
    false,
  );
  assert.equal(may(root, { uid: 1, gid: 1, mode: 0 }, bits.write), true);
});

Deno.test("barrier() finds the first folder that can't be passed through", async () => {
  await using folder = await TempFolder.make();
  await Deno.mkdir(`${folder.path}/a/b`, { recursive: true });
  await Deno.chmod(`${folder.path}/a`, 0o700);
  assert.equal(barrier(alice, `${folder.path}/a/b/s`), `${folder.path}/a`);
  assert.equal(barrier(root, `${folder.path}/a/b/s`), undefined);
  assert.equal(barrier(alice, `${folder.path}/s`), undefined);
  assert.equal(barrier(root, `${folder.path}/c/s`), `${folder.path}/c`);
});

Deno.test("modeText() writes modes in octal", () => {
  assert.deepEqual([0o660, 0, 0o140777].map(modeText), [
    "0660",
    "0000",
    "0777",
  ]);
});

Deno.test("nginxUser() reads the directive as nginx does", () => {
  assert.equal(nginxUser("# user x;\nuser www-data;\n"), "www-data");
  assert.equal(nginxUser('  user "web" staff; # comment'), "web");
  assert.equal(nginxUser("events {}\n"), undefined);
});

Deno.test("checkFrontend() notices workers that run without a group their user has got since", () => {
  const options = {
    path: "/s",
    socket: { uid: 1, gid: 33, mode: 0o660 },
    frontend: alice,
    group: "staps",
  };
  const worker = (gids: number[]): Parameters<typeof checkFrontend>[0] => ({
    ...options,
    workers: [{ pid: 7, uid: 1000, gids }],
  });
  const [old] = checkFrontend(worker([1000]));
  assert.equal(old!.level, "fail");
  assert.match(
    old!.message,
    /^nginx's process 7 runs without the group "staps"/,
  );
  const [fresh] = checkFrontend(worker([1000, 33]));
  assert.equal(fresh!.level, "ok");
});

Deno.test("docs/commands.md shows what staps check prints", async () => {
  const frontend = { name: "www-data", uid: 33, gids: [33] };
  const refusal = explainRefusal(
    new BrokerError("ACCESS_REFUSED", { opening: true }),
    {
      hostname: "localhost",
      port: 5672,
      tls: false,
      user: "staps",
      password: "wrong",
      vhost: "/",
      ca: undefined,
    },
  );
  const text = render([
    { check: "configuration", level: "ok", message: "/etc/staps/staps.conf" },
    {
      check: "user",
      level: "ok",
      message:
        'checked for "staps", whom the systemd unit names; --user NAME checks for another',
    },
    {
      check: "socket",
      level: "ok",
      message: '"/run/staps/staps.sock" is free',
    },
    ...checkDescriptors(10_000, undefined).map((finding) => ({
      ...finding,
      level: "fail" as const,
      message:
        "a process started from here may open 1024 files, expected at least 11024 for 10000 clients",
      hint:
        "LimitNOFILE=11024 in the systemd unit, or ulimit -n 11024; or lower clients in [limits]",
    })),
    {
      check: "broker",
      level: "fail",
      message: refusal!.message,
      hint: refusal!.hint,
    },
    // The folder is the root's, which everybody may pass through.
    ...checkFrontend({
      path: "/staps.sock",
      socket: { uid: 999, gid: 999, mode: 0o660 },
      frontend,
      group: "staps",
      workers: [],
    }).map((finding) => ({
      ...finding,
      message: finding.message.replace("/staps.sock", "/run/staps/staps.sock"),
    })),
  ], {
    stdout: { isTerminal: () => false, write: () => Promise.resolve(0) },
    environment: {},
  });
  assert.equal(await block("docs/commands.md", "check"), text);
});
