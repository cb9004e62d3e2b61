/** How many files a process may have open: each client takes one. */

/** RLIMIT_NOFILE on Linux, /usr/include/asm-generic/resource.h. */
const openFiles = 7;

/**
 * Files kept free for all but clients; of a low limit a quarter. Where there is
 * none left, clients wait until one is, but the admin socket answers no more:
 * the runtime's server gives up. So clients must never reach the limit.
 */
const reserve = 1024;
/** Of these, what staps itself needs: 26 after its start, and some for the broker and who asks the admin socket. */
const forItself = 40;
/**
 * The most connections that are told that there is no room, at once: a quarter
 * of the reserve, and 6 MiB if all of them send half a request and stay.
 */
const maxRefused = 256;

/** Gets how many connections of clients there may be at once where `files` may be open. */
export function clientsFor(files: number): number {
  return files - keptFree(files);
}

/** Gets how many connections more may be open to be told that there is no room, where `files` may be open. */
export function refusedFor(files: number): number {
  return Math.max(0, Math.min(maxRefused, keptFree(files) - forItself));
}

function keptFree(files: number): number {
  return Math.min(reserve, Math.ceil(files / 4));
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
