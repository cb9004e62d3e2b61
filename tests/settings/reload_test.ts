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

/** Gets what a reload of `running` logs when the file has `text` by now; warnings are also its notice. */
async function reloaded(running: Config, text: string): Promise<string> {
  let logged = "";
  const write = (text: string): Promise<void> => {
    logged += text;
    return Promise.resolve();
  };
  configureLog({ level: "info", format: "journal", write });
  const load = (): Config => config(text);
  const notice = reload({ running, load, changed: () => {} });
  await log.flush();
  return logged.replaceAll('"', "") + (notice ?? "no notice");
}

Deno.test("reload() changes the sections in place that others hold", async () => {
  const running = config("[limits]\nclients = 5\n");
  const { limits } = running;
  for (const changed of ["[limits] clients", "nothing"]) {
    assert.equal(
      await reloaded(running, "[limits]\nclients = 6\n"),
      `<6>reloaded changed=${changed}\nno notice`,
    );
    assert.equal(limits.clients, 6);
  }
});

Deno.test("reload() leaves what takes a restart, and names it each time", async () => {
  const running = config("[limits]\nclients = 1");
  const text =
    "[staps]\nmode = 0600\namqp = amqp://a:b@c\n[limits]\nchannels = 5\n[bridge]\nhosts = x\n";
  const restart = "[staps] mode, [staps] amqp, [bridge] hosts";
  for (const changed of ["[limits] clients, [limits] channels", "nothing"]) {
    assert.equal(
      await reloaded(running, text),
      `<6>reloaded changed=${changed}\n` +
        `<4>changed settings need a restart settings=${restart}\n` +
        `Changed settings need a restart: ${restart}`,
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
