import assert from "node:assert/strict";
import { loadConfig } from "../../src/settings/config.ts";
import { exposedPasswordFile } from "../../src/settings/exposure.ts";
import { TempFolder } from "../../tools/folder.ts";

Deno.test("exposedPasswordFile() names a file with a password that everybody may read", async () => {
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/staps.conf`;
  const cases = [
    ["amqp://staps:secret@localhost/", 0o644, true],
    ["amqp://staps:secret@localhost/", 0o604, true],
    ["amqp://staps:secret@localhost/", 0o640, false],
    ["amqp://staps:@localhost/", 0o644, false],
    ["", 0o644, false],
  ] as const;
  for (const [amqp, mode, isExposed] of cases) {
    await Deno.writeTextFile(configFile, `[staps]\namqp = ${amqp}\n`);
    await Deno.chmod(configFile, mode);
    assert.equal(
      exposedPasswordFile(loadConfig({ configFile })),
      isExposed ? configFile : undefined,
      `${amqp} ${mode.toString(8)}`,
    );
  }
});
