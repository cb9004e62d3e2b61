import assert from "node:assert/strict";
import { checkConfiguration } from "../../../src/commands/check/configuration.ts";
import type { Finding } from "../../../src/commands/check/finding.ts";
import { readConfig } from "../../../src/settings/config.ts";
import { TempFolder } from "../../helpers/folder.ts";

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

Deno.test("checkConfiguration() fails for each problem, with its line", async () => {
  const all = await findings("[staps]\nmode = 9\nsockt = /s\n", 0o644);
  assert.deepEqual(all.map(({ level }) => level), ["fail", "fail"]);
  assert.match(all[0]!.message, /^Cannot read "mode" in .* line 2: got "9"/);
});

Deno.test("checkConfiguration() fails for a file that the user can't read", async () => {
  const [finding] = await findings("[staps]\n", 0o600);
  assert.match(
    finding!.message,
    /^The user "alice" can't read ".*staps\.conf"$/,
  );
  assert.match(finding!.hint!, /^chgrp friends /);
});

Deno.test("checkConfiguration() warns of a password that everybody can read", async () => {
  const text = "[staps]\namqp = amqp://staps:secret@localhost/\n";
  const all = await findings(text, 0o644);
  assert.deepEqual(all.map(({ level }) => level), ["ok", "warn"]);
  assert.match(all[1]!.message, /can read the broker's password in "/);
  assert.doesNotMatch(JSON.stringify(all), /secret/);
});
