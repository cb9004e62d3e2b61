import assert from "node:assert/strict";
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
  const check = async (name: string, mode = 0o660): Promise<string[]> => {
    const path = `${folder.path}/${name}`;
    return (await checkSocket("admin", { path, mode, subject: root }))
      .map(({ check, level, message }) =>
        level === "fail" && mode === 0o660
          ? `${check} ${message.replace(folder.path, "")}`
          : level
      );
  };
  assert.deepEqual(await check("s"), ["ok"]);
  assert.deepEqual(await check("s", 0o666), ["warn", "ok"]);
  assert.deepEqual(await check("s", 0o444), ["fail", "ok"]);
  assert.deepEqual(await check("none/s"), [
    'admin The folder "/none" doesn\'t exist',
  ]);
  assert.deepEqual(await check("file"), [
    'admin "/file" is a file, expected a socket or nothing',
  ]);
});

Deno.test("checkBound() finds another file than the one that the running staps has bound", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  const bound = (of: string): string[] => {
    const socket = { path: of, file: identityOf(path) ?? "" };
    return checkBound(path, { pid: 7, socket: { ...socket, ...other } })
      .map(({ level, message }) => `${level}: ${message}`);
  };
  let other = {};
  await Deno.writeTextFile(path, "");
  assert.deepEqual(bound(path), []);
  // In a container it may be called so.
  assert.deepEqual(bound("/elsewhere"), []);
  other = { file: "1:1" };
  assert.match(bound(path)[0]!, /^fail: .* has bound another socket than the/);
  assert.match(bound("/elsewhere")[0]!, /^warn: .*, listens on "\/elsewhere"/);
  await Deno.remove(path);
  assert.match(bound(path)[0]!, /^fail: .*, but nothing is there$/);
  assert.deepEqual(checkBound(path, { pid: 7, socket: null }), []);
});
