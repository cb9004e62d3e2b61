import assert from "node:assert/strict";
import {
  checkFrontend,
  findFrontend,
  nginxUser,
} from "../../../src/commands/check/frontend.ts";
import { Accounts } from "../../../src/system/accounts.ts";
import { TempFolder } from "../../../tools/folder.ts";

const alice = { name: "alice", uid: 1000, gids: [1000, 33] };

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

Deno.test("checkFrontend() looks at a folder as it will be, where it isn't there yet", () => {
  const options = {
    path: "/none/s",
    socket: { uid: 1, gid: 1, mode: 0o666 },
    frontend: alice,
    workers: [],
    group: "staps",
  };
  const levels = (folder?: typeof options.socket): string[] =>
    checkFrontend({ ...options, folder }).map(({ level }) => level);
  assert.deepEqual(levels(), ["fail"]);
  assert.deepEqual(levels({ uid: 1, gid: 1, mode: 0o750 }), ["fail"]);
  assert.deepEqual(levels({ uid: 1, gid: 33, mode: 0o750 }), ["ok"]);
});

Deno.test("findFrontend() takes the user that is named, else nginx's, if there is nginx", async () => {
  using accounts = new Accounts();
  await using folder = await TempFolder.make();
  const nginxConfig = `${folder.path}/nginx.conf`;
  const find = (name?: string): string | undefined =>
    findFrontend({ accounts, name, nginxConfig })?.name;
  assert.equal(find(), undefined);
  await Deno.writeTextFile(nginxConfig, "user daemon;\n");
  assert.equal(find(), "daemon");
  assert.equal(find("root"), "root");
  assert.throws(() => find("nobody-at-all"), {
    name: "UsageError",
    message: 'Cannot check for the user "nobody-at-all": there is none',
  });
});
