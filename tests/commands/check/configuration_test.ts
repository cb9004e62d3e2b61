import assert from "node:assert/strict";
import { checkConfiguration } from "../../../src/commands/check/configuration.ts";
import { readConfig } from "../../../src/settings/config.ts";
import { TempFolder } from "../../../tools/folder.ts";

Deno.test("checkConfiguration() fails for each problem, and for a file that the user can't read, and warns of a password that all can", async () => {
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/staps.conf`;
  const subject = { name: "alice", uid: 54_321, gids: [54_321] };
  /** Gets what is found for alice, who doesn't own the file. */
  const check = async (text: string, mode: number): Promise<string> => {
    await Deno.writeTextFile(configFile, `[staps]\n${text}`);
    await Deno.chmod(configFile, mode);
    const config = readConfig({ configFile });
    return checkConfiguration(config, { subject, group: "friends" })
      .map(({ level, message, hint }) => `${level} ${message}; ${hint}`)
      .join("\n");
  };
  assert.match(
    await check("mode = 9\nsockt = /s\n", 0o644),
    /^fail Cannot read "mode" in .* line 2: got "9".*\nfail .*"sockt".*$/,
  );
  assert.match(
    await check("", 0o600),
    /^fail The user "alice" can't read ".*staps\.conf"; chgrp friends .*$/,
  );
  const exposed = await check("amqp = amqp://a:secret@h/\n", 0o644);
  assert.match(
    exposed,
    /^ok .*\nwarn .* can read the broker's password in ".*$/,
  );
  assert.doesNotMatch(exposed, /secret/);
});
