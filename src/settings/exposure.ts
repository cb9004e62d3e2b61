/** Whether somebody else can read what is secret in a configuration. */
import type { LoadedConfig } from "./config.ts";

/** Permission bit: everybody may read. */
const everybodyReads = 0o004;

/**
 * Gets the configuration file with the broker's password if every user of this
 * machine may read it. Not a file that a variable names: in a container, where
 * that is usual, everybody is staps.
 */
export function exposedPasswordFile(
  { config, origins }: Pick<LoadedConfig, "config" | "origins">,
): string | undefined {
  const { file, variable } = origins.get("staps.amqp") ?? {};
  if (file === undefined || variable !== undefined) return undefined;
  if (!config.staps.amqp?.password) return undefined;
  try {
    const { mode } = Deno.statSync(file);
    return ((mode ?? 0) & everybodyReads) === 0 ? undefined : file;
  } catch {
    // Gone since it was read.
    return undefined;
  }
}
