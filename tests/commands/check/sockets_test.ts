import assert from "node:assert/strict";
import type { Status } from "../../../src/admin/status.ts";
import {
  checkBound,
  checkSocket,
  whoAnswers,
} from "../../../src/commands/check/sockets.ts";
import { identityOf } from "../../../src/system/outside.ts";
import { TempFolder } from "../../../tools/folder.ts";
import { startServer } from "../../helpers/server.ts";

const root = { name: "root", uid: 0, gids: [0] };

Deno.test("whoAnswers() tells staps from others, and from nobody", async () => {
  await using server = await startServer();
  assert.equal(await whoAnswers(server.socket), "staps");
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  assert.equal(await whoAnswers(path), "nobody");
  await using _other = Deno.serve(
    { path, onListen: () => {} },
    () => new Response("hello"),
  );
  assert.equal(await whoAnswers(path), "another");
});

Deno.test("checkSocket() warns of a mode that lets everybody connect, or nobody, and of a path that can't be had", async () => {
  await using folder = await TempFolder.make();
  await Deno.writeTextFile(`${folder.path}/file`, "");
  const check = async (name: string, mode = 0o660): Promise<string> => {
    const path = `${folder.path}/${name}`;
    return (await checkSocket("admin", { path, mode, subject: root }))
      .map(({ check, level, message }) => `${check} ${level} ${message}`)
      .join("; ").replaceAll(folder.path, "");
  };
  assert.equal(await check("s"), 'admin ok "/s" is free');
  assert.match(await check("s", 0o666), /^admin warn mode 0666 .*; admin ok "/);
  assert.match(await check("s", 0o444), /^admin fail mode 0444 .*; admin ok "/);
  assert.equal(
    await check("none/s"),
    'admin fail The folder "/none" doesn\'t exist',
  );
  assert.equal(
    await check("file"),
    'admin fail "/file" is a file, expected a socket or nothing',
  );
});

Deno.test("checkBound() finds another file than the one that the running staps has bound", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  await Deno.writeTextFile(path, "");
  const file = identityOf(path)!;
  const bound = (socket: Status["socket"]): string =>
    checkBound(path, { pid: 7, socket })
      .map(({ level, message }) => `${level}: ${message}`).join();
  assert.equal(bound(null), "");
  assert.equal(bound({ path, file }), "");
  // In a container it may be called so.
  assert.equal(bound({ path: "/elsewhere", file }), "");
  assert.match(
    bound({ path, file: "1:1" }),
    /^fail: .* has bound another socket than the/,
  );
  assert.match(
    bound({ path: "/elsewhere", file: "1:1" }),
    /^warn: .*, listens on "\/elsewhere"/,
  );
  await Deno.remove(path);
  assert.match(bound({ path, file }), /^fail: .*, but nothing is there$/);
});
