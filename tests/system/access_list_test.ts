/** Sockets in folders whose default ACL says something else than `mode`. */
import assert from "node:assert/strict";
import { setModeInList } from "../../src/system/access_list.ts";
import { bindUnixSocket } from "../../src/system/unix_socket.ts";
import { TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { runOrThrow, runProgram } from "../../tools/process.ts";

/** Gets the list of a file, one entry a line as in acl(5), with what is effective. */
async function listOf(path: string): Promise<string[]> {
  const { stdout } = await runProgram("getfacl", [
    ...["--absolute-names", "--omit-header", "--all-effective", path],
  ]);
  return stdout.trim().split("\n").map((line) => line.replaceAll(/\s+/g, " "));
}

const cases = [
  [0o666, "rw-", "rw-", "rw-"],
  [0o660, "rw-", "rw-", "---"],
  [0o620, "rw-", "-w-", "---"],
  [0o600, "rw-", "---", "---"],
] as const;
for (const [mode, user, group, other] of cases) {
  Deno.test(`bindUnixSocket() creates a socket with the mode ${mode.toString(8)} in a folder with a default ACL`, async () => {
    await ensurePackages(["acl"]);
    // What people give a frontend, and what would open the socket to everybody.
    for (const defaults of ["g::r-x,o::---", "g::---,o::rwx"]) {
      await using folder = await TempFolder.make();
      const list = `u:nobody:rwX,${defaults}`;
      await runOrThrow("setfacl", ["-d", "-m", list, folder.path]);
      const path = `${folder.path}/s`;
      using _listener = await bindUnixSocket(path, {
        mode,
        bind: () => Deno.listen({ transport: "unix", path }),
      });
      assert.equal(Deno.lstatSync(path).mode! & 0o777, mode);
      assert.deepEqual(await listOf(path), [
        `user::${user}`,
        `user:nobody:rwx #effective:${group}`,
        `group::${group} #effective:${group}`,
        `mask::${group}`,
        `other::${other}`,
      ]);
    }
  });
}

Deno.test("setModeInList() follows no link, and leaves a file without a list alone", async () => {
  await ensurePackages(["acl"]);
  await using folder = await TempFolder.make();
  const file = `${folder.path}/file`;
  const link = `${folder.path}/link`;
  await Deno.writeTextFile(file, "", { mode: 0o600 });
  await Deno.symlink(file, link);
  const modeAfter = (path: string): number => {
    setModeInList(path, 0o666);
    return Deno.lstatSync(file).mode! & 0o777;
  };
  assert.equal(modeAfter(file), 0o600);
  await runOrThrow("setfacl", ["-m", "u:nobody:r", file]);
  assert.equal(modeAfter(link), 0o640);
  assert.equal(modeAfter(file), 0o666);
});
