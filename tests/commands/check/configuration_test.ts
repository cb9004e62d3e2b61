import assert from "node:assert/strict";
import { checkConfiguration } from "../../../src/commands/check/configuration.ts";
import type { Finding } from "../../../src/commands/check/finding.ts";
import { readConfig } from "../../../src/settings/config.ts";
import { TempFolder } from "../../../tools/folder.ts";

/** Checks a configuration file with this text and mode, for a user who isn't its owner. */
async function findings(text: string, mode: number): Promise<Finding[]> {
  await using folder = await TempFolder.make();
  await Deno.chmod(folder.path, 0o755);
  const configFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(configFile, text);
  await Deno.chmod(configFile, mode);
  return checkConfiguration(readConfig({ configFile }), {
    subject: { name: "alice", uid: 54_321, gids: [54_321] },
    group: "friends",
  });
}

Deno.test("checkConfiguration() fails for each problem, and for a file that the user can't read, and warns of a password that all can", async () => {
  const wrong = await findings("[staps]\nmode = 9\nsockt = /s\n", 0o644);
  assert.deepEqual(wrong.map(({ level }) => level), ["fail", "fail"]);
  assert.match(wrong[0]!.message, /^Cannot read "mode" in .* line 2: got "9"/);

  const [{ message, hint }] = await findings("[staps]\n", 0o600) as [Finding];
  assert.match(message, /^The user "alice" can't read ".*staps\.conf"$/);
  assert.match(hint!, /^chgrp friends /);

  const url = "amqp://staps:secret@localhost/";
  const exposed = await findings(`[staps]\namqp = ${url}\n`, 0o644);
  assert.deepEqual(exposed.map(({ level }) => level), ["ok", "warn"]);
  assert.match(exposed[1]!.message, /can read the broker's password in "/);
  assert.doesNotMatch(JSON.stringify(exposed), /secret/);
});
