/** Taking over a configuration that is read again, without a restart. */
import { compareConfigs, type ConfigChanges } from "./config.ts";
import { AdminError } from "../common/errors.ts";
import { log } from "../common/log.ts";
import { allSettings, camelCase, type Config } from "./table.ts";

/** What {@linkcode reload} needs. */
export interface ReloadOptions {
  /** The configuration in effect. Whoever holds a section of it gets the new values. */
  readonly running: Config;
  /** Reads and checks the files again. */
  readonly load: () => Config;
  /** Called when `running` has changed, for those who can't look again by themselves. */
  readonly changed: () => void;
}

/**
 * Reads the configuration again, takes over what needs no restart, and logs
 * what came of it.
 *
 * @returns What an administrator has to know of it still, or `undefined`: that
 * it failed, and the old settings stay, or which keys take a restart.
 */
export function reload(
  { running, load, changed }: ReloadOptions,
): string | undefined {
  let fresh;
  try {
    fresh = load();
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    for (const line of error.message.split("\n")) {
      log.error("reload failed, the old settings stay", { error: line });
    }
    return `Reload failed, the old settings stay: ${error.message}`;
  }
  const { effective, needRestart } = takeOver(running, fresh);
  changed();
  log.info("reloaded", { changed: effective.join(", ") || "nothing" });
  if (needRestart.length === 0) return undefined;
  const keys = needRestart.join(", ");
  log.warn("changed settings need a restart", { settings: keys });
  return `Changed settings need a restart: ${keys}`;
}

/**
 * Changes `running` in place to what a reload makes effective of `fresh`. Keys
 * that take a restart keep their values, and so are named by the next reload
 * again.
 */
export function takeOver(running: Config, fresh: Config): ConfigChanges {
  const changes = compareConfigs(running, fresh);
  for (const { section, key, reload } of allSettings) {
    if (!reload) continue;
    const name = camelCase(key);
    sectionOf(running, section)[name] = sectionOf(fresh, section)[name];
  }
  return changes;
}

/** Only here a section may be written to. */
function sectionOf(config: Config, section: string): Record<string, unknown> {
  return config[section as keyof Config] as unknown as Record<string, unknown>;
}
