/** The instances of `staps@.service`: several nodes on one machine, each with sockets and perhaps settings of its own. */
import { UsageError } from "../common/errors.ts";

/** Where systemd makes `RuntimeDirectory=staps-%i`: `%t` in the unit (systemd.unit(5)). */
const runtimeFolder = "/run";
/** Where the machine's configuration is, which all instances share. */
const configFolder = "/etc/staps";

/** An instance's name, with the characters that systemd.unit(5) allows. */
const namePattern = /^[A-Za-z0-9:_.\\-]+$/;

/** Where an instance has its settings and its sockets; options of `readConfig()`. */
export interface InstanceConfig {
  readonly configFile: string;
  readonly instanceFile: string;
  readonly socket: string;
  readonly adminSocket: string;
}

/**
 * Gets where the instance `unit`, such as `staps@1`, has its settings and its
 * sockets: `configFile`, if there is another than the machine's, and the
 * instance's own file beside the machine's, whose keys win.
 *
 * @throws {UsageError} If it is no instance.
 */
export function instanceConfig(
  unit: string,
  configFile = `${configFolder}/staps.conf`,
): InstanceConfig {
  const name = unit.replace(/^staps@/, "").replace(/\.service$/, "");
  if (!unit.startsWith("staps@") || !namePattern.test(name)) {
    throw new UsageError(
      `Cannot use "${unit}": expected an instance, such as staps@1`,
    );
  }
  const folder = `${runtimeFolder}/staps-${name}`;
  return {
    configFile,
    instanceFile: `${configFolder}/${name}.conf`,
    socket: `${folder}/staps.sock`,
    adminSocket: `${folder}/admin.sock`,
  };
}

/** The argument of commands that names an instance: the arguments of commander's `argument()`. */
export const instanceArgument = [
  "[instance]",
  "one of several servers, such as staps@1",
  (text: string): string => {
    instanceConfig(text);
    return text;
  },
] as const;

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
