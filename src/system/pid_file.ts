/** The PID file: the process's number, for start-up without a service manager. */
import { StartupError } from "../common/errors.ts";
import { canLookAt, type Found, identityOf, type OwnFile } from "./outside.ts";

/**
 * The process's number in a file, removed on disposal.
 *
 * A lock on the file (flock(2)) says whether its owner lives, not the number in
 * it, which another process may have got since. The lock ends with the process,
 * however that ends.
 */
export class PidFile implements OwnFile, Disposable {
  readonly role = "pid_file";
  readonly path: string;
  #file: Deno.FsFile;

  private constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Writes this process's number to `path`. A file that a dead process left is
   * replaced. Where there is no room for the number, no file is left.
   *
   * @throws {StartupError} If a live process has it, if it is something else
   * than a PID file, or if it can't be written.
   */
  static claim(path: string): PidFile {
    try {
      return new PidFile(path, make(path));
    } catch (error) {
      if (error instanceof StartupError) throw error;
      throw cannotUse(path, why(error), error);
    }
  }

  get paths(): readonly string[] {
    return [this.path];
  }

  look(): Found {
    if (!canLookAt(this.path)) return { state: "there" };
    try {
      if (isSame(this.#file, this.path)) return { state: "there" };
      if (identityOf(this.path) !== undefined) {
        return lost("another file is in its place");
      }
      const fresh = make(this.path);
      this.#file.close();
      this.#file = fresh;
      return { state: "made again" };
    } catch (error) {
      return lost(why(error));
    }
  }

  /** Removes the file; one in a folder that may not be written by now is emptied. */
  [Symbol.dispose](): void {
    try {
      if (isSame(this.#file, this.path)) Deno.removeSync(this.path);
    } catch {
      try {
        this.#file.truncateSync(0);
      } catch {
        // Without the lock it is stale anyway.
      }
    }
    this.#file.close();
  }
}

function lost(why: string): Found {
  return { state: "lost", why, isFinal: false };
}

/** Gets the file `path`, locked and with this process's number. */
function make(path: string): Deno.FsFile {
  const file = openLocked(path);
  try {
    checkContent(path, file);
    writeNumber(path, file);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Gets the file `path`, made if it is missing, with a lock that no other process has. */
function openLocked(path: string): Deno.FsFile {
  // Between opening and locking, an owner that ends may remove the file.
  for (let attempt = 0; attempt < 10; attempt++) {
    const file = open(path);
    if (!file.tryLockSync(true)) {
      const owner = readStart(file).trim();
      file.close();
      throw cannotUse(path, `the process ${owner} has it`);
    }
    if (isSame(file, path)) return file;
    file.close();
  }
  throw cannotUse(path, "it is being replaced all the time");
}

function open(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, {
      read: true,
      write: true,
      createNew: true,
      mode: 0o644,
    });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  if (!Deno.lstatSync(path).isFile) {
    throw cannotUse(path, "it is there and isn't a file");
  }
  return Deno.openSync(path, { read: true, write: true });
}

/** Tells whether `path` names the open `file` itself, not a link to it. */
function isSame(file: Deno.FsFile, path: string): boolean {
  const ours = file.statSync();
  try {
    const there = Deno.lstatSync(path);
    return there.isFile && there.ino === ours.ino && there.dev === ours.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Writes this process's number to the locked `file`, or removes it. */
function writeNumber(path: string, file: Deno.FsFile): void {
  const bytes = new TextEncoder().encode(`${Deno.pid}\n`);
  try {
    file.truncateSync(0);
    file.seekSync(0, Deno.SeekMode.Start);
    if (file.writeSync(bytes) < bytes.length) {
      throw new Error("the disk is full");
    }
  } catch (error) {
    // Others would take an empty file for that of a live process, or fail.
    Deno.removeSync(path);
    throw error;
  }
}

/** Nobody's data is overwritten because of a slip in the configuration. */
function checkContent(path: string, file: Deno.FsFile): void {
  if (!/^\s*[0-9]*\s*$/.test(readStart(file))) {
    throw cannotUse(path, "it holds something else than a process's number");
  }
}

function readStart(file: Deno.FsFile): string {
  const bytes = new Uint8Array(32);
  file.seekSync(0, Deno.SeekMode.Start);
  const length = file.readSync(bytes) ?? 0;
  return new TextDecoder().decode(bytes.subarray(0, length));
}

function why(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "its folder doesn't exist";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return (error as Error).message;
}

function cannotUse(
  path: string,
  reason: string,
  cause?: unknown,
): StartupError {
  return new StartupError(`Cannot use the PID file "${path}": ${reason}`, {
    cause,
  });
}
