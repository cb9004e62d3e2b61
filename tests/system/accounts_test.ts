import assert from "node:assert/strict";
import { Accounts } from "../../src/system/accounts.ts";
import { runProgram } from "../../tools/process.ts";

/** Gets what id(1) says. */
async function id(...args: string[]): Promise<string> {
  return (await runProgram("id", args)).stdout.trim();
}

Deno.test("Accounts says of users and groups what id(1) says", async () => {
  using accounts = new Accounts();
  for (const name of ["root", "man", "www-data"]) {
    const user = accounts.user(name)!;
    assert.deepEqual(user, {
      name,
      uid: Number(await id("-u", name)),
      gid: Number(await id("-g", name)),
    });
    assert.equal(accounts.userName(user.uid), name);
    const group = await id("-gn", name);
    assert.equal(accounts.group(group), user.gid);
    assert.equal(accounts.groupName(user.gid), group);
    const groups = accounts.groupsOf(user).join(" ");
    assert.equal(groups, await id("-G", name));
  }
});

Deno.test("Accounts knows which there are none", () => {
  using accounts = new Accounts();
  assert.equal(accounts.user("no-such-user"), undefined);
  assert.equal(accounts.group("no-such-group"), undefined);
  assert.equal(accounts.userName(4_000_000_000), undefined);
  assert.equal(accounts.groupName(4_000_000_000), undefined);
});
