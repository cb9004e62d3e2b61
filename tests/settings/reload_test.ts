/** What a reload takes over, and what it leaves. */
import assert from "node:assert/strict";
import { ConfigError } from "../../src/common/errors.ts";
import { configureLog, log } from "../../src/common/log.ts";
import { reload } from "../../src/settings/reload.ts";
import type { Config } from "../../src/settings/table.ts";
import { loadText } from "../helpers/config.ts";

function config(text: string): Config {
  return loadText(text).config;
}

/** Gets what a reload of `running` returns when the file has `text` by now, and what it logs. */
async function reloaded(
  running: Config,
  text: string,
): Promise<{ notice: string | undefined; output: string }> {
  let output = "";
  configureLog({
    level: "info",
    format: "text",
    write: (text) => {
      output += text;
      return Promise.resolve();
    },
  });
  const notice = reload({
    running,
    load: () => config(text),
    changed: () => {},
  });
  await log.flush();
  return { notice, output };
}

Deno.test("reload() changes the sections in place that others hold", async () => {
  const running = config("[limits]\nclients = 5\n");
  const { limits } = running;
  const changed = await reloaded(running, "[limits]\nclients = 6\n");
  assert.equal(limits.clients, 6);
  assert.equal(changed.notice, undefined);
  assert.match(changed.output, /reloaded changed="\[limits\] clients"\n/);
  const same = await reloaded(running, "[limits]\nclients = 6\n");
  assert.equal(same.notice, undefined);
  assert.match(same.output, /reloaded changed="?nothing"?\n/);
});

Deno.test("reload() leaves what takes a restart, and names it each time", async () => {
  const running = config("[limits]\nclients = 1");
  const text =
    "[staps]\nmode = 0600\namqp = amqp://a:b@c\n[limits]\nchannels = 5\n[bridge]\nhosts = x\n";
  for (const changed of ["[limits] clients, [limits] channels", "nothing"]) {
    const { notice, output } = await reloaded(running, text);
    assert.ok(output.replaceAll('"', "").includes(` changed=${changed}\n`));
    assert.equal(
      notice,
      "Changed settings need a restart: [staps] mode, [staps] amqp, [bridge] hosts",
    );
    assert.equal(running.staps.mode, 0o660);
  }
});

Deno.test("reload() changes nothing if the configuration is wrong, and hides no other error", () => {
  const running = config("[limits]\nclients = 5\n");
  const failing = (error: Error): string | undefined =>
    reload({
      running,
      load: () => {
        throw error;
      },
      changed: () => assert.fail("nothing has changed"),
    });
  assert.equal(
    failing(new ConfigError("Cannot read it")),
    "Reload failed, the old settings stay: Cannot read it",
  );
  const bug = new TypeError("a bug");
  assert.throws(() => failing(bug), bug);
  assert.equal(running.limits.clients, 5);
});
