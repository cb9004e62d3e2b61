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
  [0o666, ["u::rw- g::rw- o::rw-", "rw-", "rw-"]],
  [0o660, ["u::rw- g::rw- o::---", "rw-", "rw-"]],
  [0o620, ["u::rw- g::-w- o::---", "-w-", "-w-"]],
  [0o600, ["u::rw- g::--- o::---", "---", "---"]],
] as const;
for (const [mode, list] of cases) {
  Deno.test(`bindUnixSocket() creates a socket with the mode ${mode.toString(8)} in a folder with a default ACL`, async () => {
    await ensurePackages(["acl"]);
    // What people give a frontend, and what would open the socket to everybody.
    for (const defaults of ["g::r-x,o::---", "g::---,o::rwx"]) {
      await using folder = await TempFolder.make();
      await runOrThrow("setfacl", [
        ...["-d", "-m", `u:nobody:rwX,${defaults}`, folder.path],
      ]);
      const path = `${folder.path}/s`;
      using _listener = await bindUnixSocket(path, {
        mode,
        bind: () => Deno.listen({ transport: "unix", path }),
      });
      assert.equal(Deno.lstatSync(path).mode! & 0o777, mode);
      const [bits, named, mask] = list;
      const [u, g, o] = bits.split(" ").map((entry) => entry.slice(3));
      assert.deepEqual(await listOf(path), [
        `user::${u}`,
        `user:nobody:rwx #effective:${named}`,
        `group::${g} #effective:${g}`,
        `mask::${mask}`,
        `other::${o}`,
      ]);
    }
  });
}

Deno.test("setModeInList() follows no link, and leaves a file without a list alone", async () => {
  await ensurePackages(["acl"]);
  await using folder = await TempFolder.make();
  const file = `${folder.path}/file`;
  const mode = (): number => Deno.lstatSync(file).mode! & 0o777;
  await Deno.writeTextFile(file, "", { mode: 0o600 });
  setModeInList(file, 0o666);
  assert.equal(mode(), 0o600);
  await runOrThrow("setfacl", ["-m", "u:nobody:r", file]);
  await Deno.symlink(file, `${folder.path}/link`);
  setModeInList(`${folder.path}/link`, 0o666);
  assert.equal(mode(), 0o640);
  setModeInList(file, 0o666);
  assert.equal(mode(), 0o666);
});

Deno.test("bindUnixSocket() doesn't keep a socket that has another mode than it should", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  let listener: Deno.Listener | undefined;
  try {
    await assert.rejects(
      bindUnixSocket(path, {
        mode: 0o660,
        bind: () => {
          listener = Deno.listen({ transport: "unix", path });
          // As a file system does that has modes of its own.
          Deno.chmodSync(path, 0o666);
          return listener;
        },
      }),
      {
        name: "StartupError",
        message:
          `Cannot listen on "${path}": it has the mode 0666, expected 0660`,
      },
    );
  } finally {
    listener?.close();
  }
});
