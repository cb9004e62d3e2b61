/** How many files a process may have open: each client takes one. */

/** RLIMIT_NOFILE on Linux, /usr/include/asm-generic/resource.h. */
const openFiles = 7;

/**
 * Files kept free for handshakes that come at once, the broker and files; of a
 * low limit a quarter. At the limit the runtime gives up accepting for good, so
 * clients must never reach it.
 */
const reserve = 1024;

/** Gets how many clients there may be at once where `files` may be open. */
export function clientsFor(files: number): number {
  return files - Math.min(reserve, Math.ceil(files / 4));
}

/** Gets how many files must be allowed for `clients` clients. */
export function filesFor(clients: number): number {
  return clients + Math.min(reserve, Math.ceil(clients / 3));
}

/**
 * Gets the limit of open files of the process `pid`, 0 for this one; the
 * runtime raises its own to the hard limit as it starts. `Infinity`: none.
 * `undefined` where it can't be found out: another user's process, another
 * system than Linux, or without the permission `ffi`.
 *
 * From the C library (prlimit(2)), because the runtime keeps most of /proc to
 * processes that may do everything.
 */
export function fdLimit(pid = 0): number | undefined {
  try {
    const libc = Deno.dlopen("libc.so.6", {
      prlimit64: {
        parameters: ["i32", "i32", "pointer", "buffer"],
        result: "i32",
      },
    });
    try {
      // struct rlimit64: the soft limit, then the hard one.
      const limits = new BigUint64Array(2);
      const result = libc.symbols.prlimit64(pid, openFiles, null, limits);
      if (result !== 0) return undefined;
      const [soft] = limits;
      return soft! > Number.MAX_SAFE_INTEGER ? Infinity : Number(soft);
    } finally {
      libc.close();
    }
  } catch {
    return undefined;
  }
}
