/** Whether somebody else can read what is secret in a configuration. */
import type { LoadedConfig } from "./config.ts";

/** Permission bit: everybody may read. */
const everybodyReads = 0o004;

/** Gets the file with the broker's password if every user of this machine may read it. */
export function exposedPasswordFile(
  { config, origins }: Pick<LoadedConfig, "config" | "origins">,
): string | undefined {
  const file = origins.get("staps.amqp")?.file;
  if (file === undefined || !config.staps.amqp?.password) return undefined;
  try {
    const { mode } = Deno.statSync(file);
    return ((mode ?? 0) & everybodyReads) === 0 ? undefined : file;
  } catch {
    // Gone since it was read.
    return undefined;
  }
}
