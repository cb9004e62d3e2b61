/**
 * The system's users and groups, as the C library knows them: from all sources
 * in nsswitch.conf(5), not only /etc/passwd. Also sets a process's
 * supplementary groups, which the runtime can't.
 *
 * Needs the permission `ffi`, which is to be given up afterwards.
 */

/** A user as the system knows it. */
export interface User {
  readonly name: string;
  readonly uid: number;
  /** The user's main group. */
  readonly gid: number;
}

/** Access to the accounts; holds the C library open until disposed of. */
export class Accounts implements Disposable {
  readonly #libc = Deno.dlopen(
    Deno.build.os === "darwin" ? "libSystem.dylib" : "libc.so.6",
    {
      getpwnam: { parameters: ["buffer"], result: "pointer" },
      getgrnam: { parameters: ["buffer"], result: "pointer" },
      getpwuid: { parameters: ["u32"], result: "pointer" },
      getgrgid: { parameters: ["u32"], result: "pointer" },
      getgrouplist: {
        parameters: ["buffer", "u32", "buffer", "buffer"],
        result: "i32",
      },
      initgroups: { parameters: ["buffer", "u32"], result: "i32" },
    },
  );

  /** Gets the user called `name`, or `undefined` if there is none. */
  user(name: string): User | undefined {
    const entry = this.#libc.symbols.getpwnam(cString(name));
    if (entry === null) return undefined;
    // struct passwd begins with two pointers and the two numbers, in glibc,
    // musl and Darwin alike.
    const view = new Deno.UnsafePointerView(entry);
    return { name, uid: view.getUint32(16), gid: view.getUint32(20) };
  }

  /** Gets the number of the group called `name`, or `undefined` if there is none. */
  group(name: string): number | undefined {
    const entry = this.#libc.symbols.getgrnam(cString(name));
    // struct group begins with two pointers and the number.
    return entry === null
      ? undefined
      : new Deno.UnsafePointerView(entry).getUint32(16);
  }

  /** Gets the name of the user `uid`, or `undefined` if there is none. */
  userName(uid: number): string | undefined {
    return firstString(this.#libc.symbols.getpwuid(uid));
  }

  /** Gets the name of the group `gid`, or `undefined` if there is none. */
  groupName(gid: number): string | undefined {
    return firstString(this.#libc.symbols.getgrgid(gid));
  }

  /** Gets the groups that `user` is a member of, the main one included; 4096 at most. */
  groupsOf({ name, gid }: User): number[] {
    const groups = new Uint32Array(4096);
    const count = new Int32Array([groups.length]);
    this.#libc.symbols.getgrouplist(cString(name), gid, groups, count);
    return [...groups.subarray(0, count[0])];
  }

  /**
   * Gives this process, all of its threads, the groups that `user` is a member
   * of and `gid` (initgroups(3)), and takes those it had.
   *
   * @throws {Error} If that fails, which it does for everybody but root.
   */
  takeGroupsOf(user: User, gid: number): void {
    if (this.#libc.symbols.initgroups(cString(user.name), gid) !== 0) {
      throw new Error(`Cannot take the groups of the user "${user.name}"`);
    }
  }

  [Symbol.dispose](): void {
    this.#libc.close();
  }
}

/** Gets the text that the first member of a struct points to. */
function firstString(entry: Deno.PointerValue): string | undefined {
  if (entry === null) return undefined;
  const name = new Deno.UnsafePointerView(entry).getPointer();
  return name === null ? undefined : Deno.UnsafePointerView.getCString(name);
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
