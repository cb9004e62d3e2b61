/** The instances of `staps@.service`: several nodes on one machine, each with sockets of its own. */
import { UsageError } from "../common/errors.ts";

/** Where systemd makes `RuntimeDirectory=staps-%i`: `%t` in the unit (systemd.unit(5)). */
const runtimeFolder = "/run";

/** An instance's name, with the characters that systemd.unit(5) allows. */
const namePattern = /^[A-Za-z0-9:_.\\-]+$/;

/**
 * Gets the admin socket of the instance `unit`, such as `staps@1`.
 *
 * @throws {UsageError} If it is no instance.
 */
export function instanceAdminSocket(unit: string): string {
  const name = unit.replace(/^staps@/, "").replace(/\.service$/, "");
  if (!unit.startsWith("staps@") || !namePattern.test(name)) {
    throw new UsageError(
      `Cannot ask "${unit}": expected an instance, such as staps@1`,
    );
  }
  return `${runtimeFolder}/staps-${name}/admin.sock`;
}

/**
 * Gets the instances that run, such as `staps@1`, in order: those whose folder
 * is in `folder`, as systemd removes it when one stops.
 */
export function findInstances(folder = runtimeFolder): readonly string[] {
  let entries;
  try {
    entries = Array.from(Deno.readDirSync(folder));
  } catch {
    return [];
  }
  return entries
    .filter(({ name, isDirectory }) => isDirectory && /^staps-./.test(name))
    .map(({ name }) => name.slice("staps-".length))
    .filter((name) => namePattern.test(name))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .map((name) => `staps@${name}`);
}
