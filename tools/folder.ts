/** Folders, files and ports of a test's own. */
import { within } from "./eventually.ts";

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

/** Ports that {@linkcode freePort} gave away: who has one may not listen yet. */
const givenPorts = new Set<number>();

/**
 * Gets a TCP port of 127.0.0.1 that nobody listened on a moment ago. For
 * servers that can't choose one by themselves.
 */
export function freePort(): number {
  while (true) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    return port;
  }
}

/** Tells whether somebody listens on a TCP port of 127.0.0.1. */
export async function accepts(port: number): Promise<boolean> {
  try {
    const connecting = Deno.connect({ hostname: "127.0.0.1", port });
    (await within(connecting, `port ${port} to answer`)).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
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
