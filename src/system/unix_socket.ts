/**
 * Listening on a unix domain socket, without taking another server's place and
 * without being open to more people than intended, even for an instant.
 */
import { dirname } from "node:path";
import process from "node:process";
import { setModeInList } from "./access_list.ts";
import { StartupError } from "../common/errors.ts";
import { sleep, within } from "../common/timing.ts";

/** Whom a file is to belong to; `null` where it stays as it is (chown(2)). */
export interface Owner {
  readonly uid: number | null;
  readonly gid: number | null;
}

/** How long another server may take to answer a probe, in milliseconds. */
const probeMs = 2000;
/** How long to wait for another process that is starting in the same folder, in milliseconds. */
const lockMs = 5000;

/**
 * Runs `bind`, which has to create the socket `path`, and gets its result.
 *
 * A socket file left by a crash is removed first; one that answers is not. The
 * file has exactly the permissions `mode` from the moment it exists (in a
 * folder with a default access control list: from right after), and belongs to
 * `owner` when this resolves. The socket's folder is locked (flock(2))
 * meanwhile, so that of two processes that start at once only one finds the
 * file stale.
 *
 * @throws {StartupError} If another server answers there, if `path` is no
 * socket, if its folder is missing or can't be used, or if it can't have `mode`.
 */
export async function bindUnixSocket<T>(
  path: string,
  { mode, owner, bind }: {
    mode: number;
    owner?: Owner | undefined;
    bind: () => T;
  },
): Promise<T> {
  try {
    using _lock = await lockFolder(path);
    await removeStaleSocket(path);
    const umask = Deno.umask(0o777 & ~mode);
    let bound;
    try {
      bound = bind();
    } finally {
      Deno.umask(umask);
    }
    setMode(path, mode);
    if (owner !== undefined && (owner.uid ?? owner.gid) !== null) {
      // Never through a symbolic link: whoever may write to the folder could
      // have put one there meanwhile, to be given somebody else's file.
      // Loading node:fs takes long, and few need it.
      const { lchownSync } = process.getBuiltinModule("node:fs");
      lchownSync(path, owner.uid ?? -1, owner.gid ?? -1);
    }
    return bound;
  } catch (error) {
    throw explain(path, error);
  }
}

/** Makes sure that the socket `path` has the permissions `mode`, also where the umask has no effect. */
function setMode(path: string, mode: number): void {
  setModeInList(path, mode);
  const { mode: actual } = Deno.lstatSync(path);
  if (actual !== null && (actual & 0o777) !== mode) {
    throw cannotListen(
      path,
      `it has the mode ${octal(actual)}, expected ${octal(mode)}`,
      { hint: "look at the folder's file system, and what it is mounted with" },
    );
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}

/** Locks the folder of the socket `path` until the lock is disposed of. */
async function lockFolder(path: string): Promise<Disposable> {
  const folder = await Deno.open(dirname(path));
  const deadlineMs = Date.now() + lockMs;
  try {
    while (!await folder.tryLock(true)) {
      if (Date.now() > deadlineMs) {
        throw cannotListen(
          path,
          `another process keeps its folder locked for more than ${
            lockMs / 1000
          } s`,
        );
      }
      await sleep(20);
    }
  } catch (error) {
    folder.close();
    throw error;
  }
  return folder;
}

/** Removes the socket file `path` if no server listens on it any more. */
async function removeStaleSocket(path: string): Promise<void> {
  let info;
  try {
    info = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (!info.isSocket) {
    throw cannotListen(
      path,
      `a ${
        info.isDirectory ? "folder" : info.isSymlink ? "symbolic link" : "file"
      } is there, expected a socket or nothing`,
    );
  }
  if (await answers(path)) {
    throw cannotListen(path, "another server answers there", {
      hint: "stop the other one, or choose another socket",
    });
  }
  await Deno.remove(path);
}

/** Tells whether something accepts connections on the unix socket `path`. */
async function answers(path: string): Promise<boolean> {
  const connecting = Deno.connect({ transport: "unix", path });
  try {
    const connection = await within(connecting, probeMs);
    // A server whose queue is full lives.
    if (connection === undefined) {
      connecting.then((late) => late.close(), () => {});
    } else connection.close();
    return true;
  } catch (error) {
    // ECONNREFUSED is a socket without a server (connect(2)). EAGAIN is one
    // with a full queue: whatever else it says, somebody has it open.
    if (
      error instanceof Deno.errors.ConnectionRefused ||
      error instanceof Deno.errors.NotFound
    ) return false;
    if (error instanceof Deno.errors.PermissionDenied) throw error;
    return true;
  }
}

function explain(path: string, error: unknown): unknown {
  const folder = dirname(path);
  if (error instanceof Deno.errors.NotFound) {
    return cannotListen(path, `the folder "${folder}" doesn't exist`, {
      cause: error,
      hint: `create it, owned by the user that staps runs as`,
    });
  }
  if (
    error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable
  ) {
    return cannotListen(path, "permission denied", {
      cause: error,
      hint: `the user that staps runs as needs read, write and search ` +
        `permission on the folder "${folder}", and on an old socket there`,
    });
  }
  if (error instanceof StartupError || !(error instanceof Error)) return error;
  return cannotListen(path, error.message, { cause: error });
}

function cannotListen(
  path: string,
  why: string,
  options?: { cause?: unknown; hint?: string },
): StartupError {
  return new StartupError(`Cannot listen on "${path}": ${why}`, options);
}
