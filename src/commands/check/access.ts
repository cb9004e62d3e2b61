/** What a user may do with a file, by its permission bits (path_resolution(7)). Access control lists aren't looked at. */
import { dirname } from "node:path";

/** A user, as far as permissions go. */
export interface Subject {
  readonly name: string;
  readonly uid: number;
  /** All groups, the main one first. */
  readonly gids: readonly number[];
}

/** Who owns a file, and what everybody may do with it. */
export interface Rights {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** Permission bits, as in each digit of a mode. */
export const bits = { read: 4, write: 2, search: 1 } as const;

/** Tells whether `subject` has all of `wanted`, a sum of {@linkcode bits}. */
export function may(subject: Subject, rights: Rights, wanted: number): boolean {
  if (subject.uid === 0) return true;
  const { uid, gid, mode } = rights;
  // The first class that fits decides, even where the next one has more rights.
  const shift = subject.uid === uid ? 6 : subject.gids.includes(gid) ? 3 : 0;
  return (mode >> shift & wanted) === wanted;
}

/** Gets who owns `path` and what everybody may do with it; `undefined` if that can't be found out. */
export function rightsOf(path: string): Rights | undefined {
  try {
    const { uid, gid, mode } = Deno.statSync(path);
    return { uid: uid ?? 0, gid: gid ?? 0, mode: mode ?? 0 };
  } catch {
    return undefined;
  }
}

/**
 * Gets the first folder above `path` that `subject` may not pass through, or
 * `undefined`. A folder that can't be looked at counts as one.
 */
export function barrier(subject: Subject, path: string): string | undefined {
  const folders = [];
  for (let folder = dirname(path);; folder = dirname(folder)) {
    folders.unshift(folder);
    if (folder === dirname(folder)) break;
  }
  return folders.find((folder) => {
    const rights = rightsOf(folder);
    return rights === undefined || !may(subject, rights, bits.search);
  });
}

/** Gets a mode as people write it: `0660`. */
export function modeText(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}
