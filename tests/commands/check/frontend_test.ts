import assert from "node:assert/strict";
import {
  checkFrontend,
  findFrontend,
  type FrontendOptions,
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

/** Gets what is found for alice, in short, where the socket is group 33's. */
function check(options: Partial<FrontendOptions>): string {
  return checkFrontend({
    path: "/s",
    socket: { uid: 1, gid: 33, mode: 0o660 },
    frontend: alice,
    group: "staps",
    workers: [],
    ...options,
  }).map(({ level, message }) => `${level}: ${message}`).join();
}

Deno.test("checkFrontend() notices workers that run without a group their user has got since", () => {
  const worker = (...gids: number[]): Partial<FrontendOptions> => ({
    workers: [{ pid: 7, uid: 1000, gids }],
  });
  assert.match(
    check(worker(1000)),
    /^fail: nginx's process 7 runs without the group "staps"/,
  );
  assert.match(check(worker(1000, 33)), /^ok: /);
});

Deno.test("checkFrontend() looks at a folder as it will be, where it isn't there yet", () => {
  const path = "/none/s";
  const mode = 0o750;
  assert.match(check({ path }), /^fail: /);
  const others = { uid: 1, gid: 1, mode };
  assert.match(check({ path, folder: others }), /^fail: /);
  const ours = { uid: 1, gid: 33, mode };
  assert.match(check({ path, folder: ours }), /^ok: /);
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
