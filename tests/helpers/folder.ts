/** Folders, files and ports of a test's own. */

/** A temporary folder, removed with everything in it on disposal. */
export class TempFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  /** Makes an empty folder that every user may enter, as servers drop their rights. */
  static async make(): Promise<TempFolder> {
    const path = await Deno.makeTempDir({ prefix: "staps-test-" });
    await Deno.chmod(path, 0o755);
    return new TempFolder(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/**
 * Gets a TCP port of 127.0.0.1 that nobody listened on a moment ago. For
 * servers that can't choose one by themselves.
 */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Tells whether something is at `path`, be it a link to nowhere. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}
