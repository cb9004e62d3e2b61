/** The folder that a systemd unit of staps makes for the sockets, at its start. */

/** Where units are, the one that wins first (systemd.unit(5)). */
const unitFolders = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];
/** Its existence tells that systemd runs (sd_booted(3)). */
const bootedFolder = "/run/systemd/system";

/** What {@linkcode folderOfUnit} finds. */
export interface UnitFolder {
  /** The unit's name. */
  readonly unit: string;
  /** The folder's permissions. */
  readonly mode: number;
}

/**
 * Gets the unit that makes `folder` by `RuntimeDirectory=` (systemd.exec(5)),
 * such as `staps.service` for /run/staps; `undefined` if none does. Drop-ins
 * aren't read.
 */
export function folderOfUnit(
  folder: string,
  { folders = unitFolders, booted = bootedFolder } = {},
): UnitFolder | undefined {
  const [, name, instance] = /^\/run\/(staps(?:-([^/]+))?)$/.exec(folder) ?? [];
  if (name === undefined || read(booted) === undefined) return undefined;
  const file = instance === undefined ? "staps.service" : "staps@.service";
  const text = folders.map((each) => read(`${each}/${file}`))
    .find((each) => each !== undefined);
  const value = (key: string): string =>
    new RegExp(`^${key}=(.*)$`, "m").exec(text ?? "")?.[1] ?? "";
  const made = value("RuntimeDirectory").replaceAll("%i", instance ?? "");
  if (!made.split(/\s+/).includes(name)) return undefined;
  return {
    unit: file.replace("@", `@${instance ?? ""}`),
    mode: Number.parseInt(value("RuntimeDirectoryMode") || "755", 8),
  };
}

/** Gets a file's text, an empty one for a folder; `undefined` if there is none. */
function read(path: string): string | undefined {
  try {
    return Deno.statSync(path).isDirectory ? "" : Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
