/** A folder on a file system of its own, which can be full. */
import { eventually } from "../../tools/eventually.ts";
import { runProgram } from "../../tools/process.ts";

/** Room for everything that a long run logs. It takes memory only as it fills. */
const roomBytes = 2 * 1024 ** 3;

/** A tmpfs on a folder (mount_namespaces aren't needed, root is). */
export class SmallDisk implements AsyncDisposable {
  private constructor(readonly path: string) {}

  /** Mounts one on `path`, or gets why that isn't possible here. */
  static async mount(path: string): Promise<SmallDisk | string> {
    const options = `size=${roomBytes},mode=0755,nosuid,nodev`;
    const args = ["-t", "tmpfs", "-o", options, "tmpfs", path];
    const { code, stderr } = await runProgram("mount", args);
    return code === 0 ? new SmallDisk(path) : stderr.trim();
  }

  /** Leaves no room on it, until {@linkcode free}. */
  async fill(): Promise<void> {
    // Whoever writes to it takes the last room while it is measured.
    await eventually(async () => {
      const args = ["--output=used", "--block-size=1", this.path];
      const { stdout } = await runProgram("df", args);
      const usedBytes = Number(stdout.split("\n")[1]);
      return await this.#resize(usedBytes) && await this.#isFull();
    }, `no room on ${this.path}`);
  }

  /** Gives it room again. */
  async free(): Promise<void> {
    if (!await this.#resize(roomBytes)) {
      throw new Error(`Cannot give ${this.path} room again`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Lazily, for a process that somebody else looks with may still be in it.
    await runProgram("umount", ["--lazy", this.path]);
  }

  async #resize(bytes: number): Promise<boolean> {
    const args = ["-o", `remount,size=${bytes}`, this.path];
    return (await runProgram("mount", args)).code === 0;
  }

  async #isFull(): Promise<boolean> {
    const file = `${this.path}/full`;
    try {
      await Deno.writeFile(file, new Uint8Array(64 * 1024));
      return false;
    } catch (error) {
      return /no space/i.test((error as Error).message);
    } finally {
      await Deno.remove(file).catch(() => {});
    }
  }
}
