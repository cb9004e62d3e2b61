/** Reads a running node's configuration again, and takes over what needs no restart. */
import { AdminError } from "../common/errors.ts";
import { log } from "../common/log.ts";
import { allSettings, type Config } from "./table.ts";

/** What {@linkcode reload} needs. */
export interface ReloadOptions {
  /** The configuration in effect, changed in place: all that hold a section of it see the new values. */
  readonly running: Config;
  /** Reads and checks the files again. */
  readonly load: () => Config;
  /** Called when `running` has changed, for code that has copied values of it. */
  readonly changed: () => void;
}

/**
 * Reads the configuration again, takes over what needs no restart, and logs
 * what came of it. Keys that take a restart keep their values, so that the next
 * reload names them again.
 *
 * @returns Text for the administrator if something is left to do: why the
 * reload failed, which keeps the old settings, or which keys take a restart.
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

/** Takes over what a reload can change, and gets what differs, as `[section] key`. */
function takeOver(
  running: Config,
  fresh: Config,
): { effective: string[]; needRestart: string[] } {
  const effective: string[] = [];
  const needRestart: string[] = [];
  for (const { section, key, property, reload } of allSettings) {
    const target = sectionOf(running, section);
    const value = sectionOf(fresh, section)[property];
    if (JSON.stringify(target[property]) === JSON.stringify(value)) continue;
    (reload ? effective : needRestart).push(`[${section}] ${key}`);
    if (reload) target[property] = value;
  }
  return { effective, needRestart };
}

/** Gets a section to write to: only this file does that. */
function sectionOf(config: Config, section: string): Record<string, unknown> {
  return config[section as keyof Config] as unknown as Record<string, unknown>;
}
