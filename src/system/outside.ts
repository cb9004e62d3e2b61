/**
 * What a node has made outside of itself: the files of its sockets, its PID
 * file. Somebody may remove or replace them while it runs, and nothing tells
 * the process: so it looks, makes again what is gone, and says what it can't.
 */
import { log } from "../common/log.ts";

/** How often to look, in milliseconds. */
const intervalMs = 2_000;

/** What a file is for; a part of the names of reasons in `/readyz`. */
export type FileRole = "socket" | "admin_socket" | "pid_file";

/** How a file was found. */
export type Found =
  | { readonly state: "there" | "made again" }
  | {
    readonly state: "lost";
    readonly why: string;
    /** Whether only a start can make it again. */
    readonly isFinal: boolean;
  };

/** A file that this process has made. */
export interface OwnFile {
  readonly role: FileRole;
  readonly path: string;
  /** The paths that have to stay readable and writable for {@linkcode look}. */
  readonly paths: readonly string[];
  /**
   * Looks whether the file is still the one that was made, and makes it again
   * if nothing is there. A file that can't be looked at counts as there.
   */
  look(): Found;
}

/** A file that isn't there any more, or is another one. */
export interface Loss {
  readonly role: FileRole;
  /** One sentence without full stop. */
  readonly message: string;
  /** Whether only a start can make it again. */
  readonly isFinal: boolean;
}

const roleNames: Readonly<Record<FileRole, string>> = {
  socket: "socket",
  admin_socket: "admin socket",
  pid_file: "PID file",
};

/** Looks after files of this process, which belong to somebody else, until it is disposed of. */
export class Outside implements Disposable {
  readonly #files: OwnFile[] = [];
  readonly #losses = new Map<OwnFile, Loss>();
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param onLook Called after each look, also when nothing has changed. */
  constructor(onLook: (losses: readonly Loss[]) => void = () => {}) {
    this.#timer = setInterval(() => {
      this.look();
      onLook(this.losses);
    }, intervalMs);
    // It must not keep a process alive that has nothing else to do.
    Deno.unrefTimer(this.#timer);
  }

  /** What was lost at the last look. */
  get losses(): readonly Loss[] {
    return [...this.#losses.values()];
  }

  /** The paths that have to stay readable and writable. */
  get paths(): readonly string[] {
    return this.#files.flatMap(({ paths }) => paths);
  }

  /** Looks after `file` too, from now on. */
  add(file: OwnFile): void {
    this.#files.push(file);
  }

  /** Looks at all files now; the log gets what has changed since the last time. */
  look(): void {
    for (const file of this.#files) this.#lookAt(file);
  }

  /** Stops looking. Does nothing the second time. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#losses.clear();
  }

  #lookAt(file: OwnFile): void {
    const { role, path } = file;
    const name = roleNames[role];
    const found = file.look();
    const wasLost = this.#losses.has(file);
    if (found.state !== "lost") {
      this.#losses.delete(file);
      if (wasLost || found.state === "made again") {
        log.warn(`the ${name} was gone, and is there again`, { path });
      }
      return;
    }
    const { why, isFinal } = found;
    this.#losses.set(file, {
      role,
      isFinal,
      message: `The ${name} "${path}" is lost: ${why}`,
    });
    if (!wasLost) log.error(`the ${name} is lost`, { path, why });
  }
}

/**
 * Tells whether this process may find out what is at `path`. Where root has
 * made a file and became a user, that user may not be allowed to look.
 */
export function canLookAt(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.PermissionDenied);
  }
}

/** Gets which file `path` names, a link itself and not what it leads to; `undefined` if there is none. */
export function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.lstatSync(path);
    return `${dev}:${ino}`;
  } catch (error) {
    if (
      error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory
    ) return undefined;
    throw error;
  }
}
