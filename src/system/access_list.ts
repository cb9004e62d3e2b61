/**
 * Access control lists of files, acl(5), as far as staps has to do with them:
 * in a folder with a default list the umask has no effect, so what is made
 * there doesn't have the permissions that were asked for.
 *
 * Needs the permission `ffi`, which is to be given up afterwards.
 */

/** The name of a file's list among its extended attributes, linux/xattr.h. */
const attribute = "system.posix_acl_access";
/** The size limit of an extended attribute in bytes, XATTR_SIZE_MAX in linux/limits.h. */
const maxBytes = 65536;
/** The length of the attribute's version and of each entry in bytes, linux/posix_acl_xattr.h. */
const headBytes = 4;
const entryBytes = 8;
/** The entries that aren't of a named user or group, and how far right their bits stand in a mode. */
const shifts: ReadonlyMap<number, number> = new Map([
  [0x01, 6], // ACL_USER_OBJ
  [0x04, 3], // ACL_GROUP_OBJ
  [0x10, 3], // ACL_MASK, the limit of the group and of all that are named
  [0x20, 0], // ACL_OTHER
]);

const functions = {
  lgetxattr: {
    parameters: ["buffer", "buffer", "buffer", "usize"],
    result: "isize",
  },
  lsetxattr: {
    parameters: ["buffer", "buffer", "buffer", "usize", "i32"],
    result: "i32",
  },
} as const;

/**
 * Makes `mode` the permissions of the file `path`, if that has a list: of its
 * owner, of its group and of everybody else. Users and groups that the list
 * names keep theirs, at most those that `mode` gives to the group. A symbolic
 * link isn't followed. Does nothing where there is no list.
 *
 * @throws {Error} If that fails.
 */
export function setModeInList(path: string, mode: number): void {
  using libc = openLibc();
  if (libc === undefined) return;
  const { lgetxattr, lsetxattr } = libc.symbols;
  const list = new Uint8Array(maxBytes);
  const length = Number(
    lgetxattr(cString(path), cString(attribute), list, BigInt(list.length)),
  );
  if (length < 0) return;
  const view = new DataView(list.buffer);
  for (let at = headBytes; at < length; at += entryBytes) {
    const shift = shifts.get(view.getUint16(at, true));
    if (shift !== undefined) view.setUint16(at + 2, mode >> shift & 7, true);
  }
  const result = lsetxattr(
    ...[cString(path), cString(attribute), list] as const,
    ...[BigInt(length), 0] as const,
  );
  if (result !== 0) {
    throw new Error(`the access control list (acl(5)) can't be changed`);
  }
}

/** Gets the C library; `undefined` where there are no such lists, or without the permission. */
function openLibc():
  | (Deno.DynamicLibrary<typeof functions> & Disposable)
  | undefined {
  try {
    const libc = Deno.dlopen("libc.so.6", functions);
    return Object.assign(libc, { [Symbol.dispose]: () => libc.close() });
  } catch {
    return undefined;
  }
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
