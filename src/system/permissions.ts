/** Gives up the permissions that a running node doesn't need, for good. */

/** What stays allowed. */
export interface Kept {
  /** Files that may be read. */
  readonly read: readonly string[];
  /** Files that may be written, made and removed. */
  readonly write: readonly string[];
  /** Whether connections to other hosts may be opened. */
  readonly net: boolean;
}

/** Permissions that only start-up needs. */
const startUpOnly = ["env", "sys", "run", "ffi", "import"] as const;

/**
 * Gives up every permission of this process but `kept`, for good. What is open
 * stays open: listeners accept, connections go on.
 *
 * Reading and writing can be narrowed to single files where it was granted for
 * the folder `/` (`--allow-read=/`), not where it was granted as such
 * (`--allow-read`, `--allow-all`); a network permission can only be given up as
 * a whole.
 *
 * @returns The names of the permissions that couldn't be narrowed and are still there.
 */
export async function keepOnly(kept: Kept): Promise<string[]> {
  const wide: string[] = [];
  for (const name of ["read", "write"] as const) {
    for (const path of kept[name]) {
      // A permission of its own, which outlasts the one for everything.
      await Deno.permissions.request({ name, path });
    }
    await Deno.permissions.revoke({ name, path: "/" });
    if (await isGranted({ name })) wide.push(name);
  }
  if (!kept.net) await Deno.permissions.revoke({ name: "net" });
  for (const name of startUpOnly) {
    await Deno.permissions.revoke({ name } as Deno.PermissionDescriptor);
  }
  return wide;
}

async function isGranted(
  descriptor: Deno.PermissionDescriptor,
): Promise<boolean> {
  return (await Deno.permissions.query(descriptor)).state === "granted";
}
