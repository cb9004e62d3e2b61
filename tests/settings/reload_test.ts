/** What a reload takes over, and what it leaves. */
import assert from "node:assert/strict";
import { parseConfig } from "../../src/settings/config.ts";
import { ConfigError } from "../../src/common/errors.ts";
import { reload, takeOver } from "../../src/settings/reload.ts";
import type { Config } from "../../src/settings/table.ts";

function config(text: string): Config {
  return parseConfig(text, "staps.conf").config;
}

Deno.test("takeOver() changes the sections in place that others hold", () => {
  const running = config("[limits]\nclients = 5\n");
  const { limits } = running;
  const changes = takeOver(running, config("[limits]\nclients = 6\n"));
  assert.equal(limits.clients, 6);
  assert.deepEqual(changes, {
    effective: ["[limits] clients"],
    needRestart: [],
  });
});

Deno.test("takeOver() leaves what takes a restart, and names it each time", () => {
  const running = config("[staps]\nmode = 0600\n");
  for (let i = 0; i < 2; i++) {
    const { needRestart } = takeOver(running, config("[staps]\nmode = 0660\n"));
    assert.deepEqual(needRestart, ["[staps] mode"]);
    assert.equal(running.staps.mode, 0o600);
  }
});

Deno.test("reload() changes nothing if the configuration is wrong", () => {
  const running = config("[limits]\nclients = 5\n");
  const notice = reload({
    running,
    load: () => {
      throw new ConfigError("Cannot read it");
    },
    changed: () => assert.fail("nothing has changed"),
  });
  assert.equal(
    notice,
    "Reload failed, the old settings stay: Cannot read it",
  );
  assert.equal(running.limits.clients, 5);
});

Deno.test("reload() doesn't hide errors that aren't the administrator's", () => {
  const bug = new TypeError("a bug");
  assert.throws(
    () =>
      reload({
        running: config(""),
        load: () => {
          throw bug;
        },
        changed: () => {},
      }),
    bug,
  );
});
