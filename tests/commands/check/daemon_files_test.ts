import assert from "node:assert/strict";
import { checkDaemonFiles } from "../../../src/commands/check/daemon_files.ts";
import { readConfig } from "../../../src/settings/config.ts";
import { TempFolder } from "../../../tools/folder.ts";

Deno.test("checkDaemonFiles() looks at dir, and at the folder of pid_file", async () => {
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/staps.conf`;
  const levels = (dir: string, pidFile: string): string[] => {
    const text = `[daemon]\ndir = ${dir}\npid_file = ${pidFile}\n`;
    Deno.writeTextFileSync(configFile, text);
    const { config } = readConfig({ configFile });
    return checkDaemonFiles(config, { name: "root", uid: 0, gids: [0] })
      .map(({ level }) => level);
  };
  const { path } = folder;
  assert.deepEqual(levels(path, `${path}/pid`), ["ok", "ok"]);
  assert.deepEqual(levels(`${path}/no`, `${path}/no/pid`), ["fail", "fail"]);
});
