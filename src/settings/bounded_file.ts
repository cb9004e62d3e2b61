/** Reads files that an administrator names, up to a limit, and says why one can't be read. */
import type { ConfigProblem } from "./problems.ts";

/** Reads a file up to `limit` bytes; pipes too, which have no size. */
export function readAtMost(file: string, limit: number): Uint8Array {
  using handle = Deno.openSync(file);
  const content = new Uint8Array(limit);
  let length = 0;
  while (length < limit) {
    const read = handle.readSync(content.subarray(length));
    if (read === null) break;
    length += read;
  }
  return content.subarray(0, length);
}

/** Tells whether `error` means that there is no such file; a path through something that is no folder leads to none. */
export function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound ||
    error instanceof Deno.errors.NotADirectory;
}

/** Gets what to say of a file that {@linkcode readAtMost} couldn't read. */
export function whyUnreadable(
  error: unknown,
): Pick<ConfigProblem, "got" | "expected" | "hint"> {
  if (isMissing(error)) return { got: "no such file", expected: "a file" };
  if (error instanceof Deno.errors.PermissionDenied) {
    return {
      got: "no permission",
      expected: "a file that this user may read",
      hint: "Look at the permissions of the file and of the folders above it",
    };
  }
  if (error instanceof Deno.errors.IsADirectory) {
    return { got: "a folder", expected: "a file" };
  }
  const reason = error instanceof Error ? error.message : String(error);
  return { got: `an error (${reason})`, expected: "a readable file" };
}
