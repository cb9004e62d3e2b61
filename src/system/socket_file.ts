/**
 * The file of a unix socket that this process listens on, and a second name of
 * it beside it (link(2)). If the file is removed, the second name gives it
 * back: the same socket, with its permissions and with who waits in its queue.
 * Binding again would take permissions that a running node has given up.
 */
import { basename, dirname } from "node:path";
import {
  canLookAt,
  type FileRole,
  type Found,
  identityOf,
  type OwnFile,
} from "./outside.ts";

/** What to say where the second name is gone, too. */
const whyFinal =
  "it was removed together with its folder or what is in it, staps needs a restart";

/** The file of a socket; disposal removes the second name, and leaves the file to its listener. */
export class SocketFile implements OwnFile, Disposable {
  readonly role: FileRole;
  readonly path: string;
  /** Which file it was when it was made: see {@linkcode identityOf}. */
  readonly identity: string | undefined;
  readonly #spare: string;

  /** Makes the second name of the socket `path`, which has just been bound, where that is possible. */
  constructor(role: FileRole, path: string) {
    this.role = role;
    this.path = path;
    this.#spare = `${dirname(path)}/.${basename(path)}.spare`;
    this.identity = identityOf(path);
    this.#keepSpare();
  }

  get paths(): readonly string[] {
    return [this.path, this.#spare];
  }

  look(): Found {
    if (!canLookAt(this.path)) return { state: "there" };
    try {
      const there = identityOf(this.path);
      if (there === this.identity) {
        this.#keepSpare();
        return { state: "there" };
      }
      if (there !== undefined) return lost("another file is in its place");
      if (identityOf(this.#spare) !== this.identity) {
        return { ...lost(whyFinal), isFinal: true };
      }
      Deno.linkSync(this.#spare, this.path);
      return { state: "made again" };
    } catch (error) {
      return lost(whyNot(error));
    }
  }

  [Symbol.dispose](): void {
    try {
      if (identityOf(this.#spare) === this.identity) {
        Deno.removeSync(this.#spare);
      }
    } catch {
      // The next start replaces it.
    }
  }

  /** Makes the second name if it is missing, or left by another process. */
  #keepSpare(): void {
    try {
      if (identityOf(this.#spare) === this.identity) return;
      if (identityOf(this.#spare) !== undefined) {
        if (!Deno.lstatSync(this.#spare).isSocket) return;
        Deno.removeSync(this.#spare);
      }
      Deno.linkSync(this.path, this.#spare);
    } catch {
      // Not every file system has second names, not every folder may be written.
    }
  }
}

function lost(why: string): Found & { state: "lost" } {
  return { state: "lost", why, isFinal: false };
}

function whyNot(error: unknown): string {
  return error instanceof Deno.errors.PermissionDenied
    ? "permission denied"
    : (error as Error).message;
}
