/**
 * The RabbitMQs that people have, and how their programs are run: Debian 12's
 * is installed on this machine, Debian 13's in a system of its own.
 */
import { debian13 } from "./debian_systems.ts";
import { ensurePackages } from "./packages.ts";

/** `3.10`: this machine's package, from Debian 12. `4.0`: Debian 13's. */
export type BrokerVersion = "3.10" | "4.0";

/** Debian's programs themselves: the ones in PATH change to another user and its folders. */
const folderOfPrograms = "/usr/lib/rabbitmq/bin";

/** Where a program in a system of its own finds the broker's folder. */
const folderInside = "/mnt";

/**
 * Runs "$@" in the system $1, which it can't change, with the folder $2. All of
 * these mounts are the process's own, and end with it.
 */
const enter = `set -e
root=$1; folder=$2; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$folder" "$root${folderInside}"
exec chroot "$root" "$@"
`;

/** An installed RabbitMQ with its Erlang. */
export class BrokerPrograms {
  /** The top folder of its system, if that isn't this machine's. */
  readonly #root: string | undefined;

  private constructor(root?: string) {
    this.#root = root;
  }

  /**
   * Installs a RabbitMQ unless it is there already.
   *
   * @throws {Error} If it is missing and can't be installed: not root, no Debian, no network.
   */
  static async install(version: BrokerVersion): Promise<BrokerPrograms> {
    if (version === "3.10") {
      await ensurePackages(["rabbitmq-server"]);
      return new BrokerPrograms();
    }
    return new BrokerPrograms(await debian13());
  }

  /** Gets the path by which the programs know a broker's `folder`. */
  pathOf(folder: string): string {
    return this.#root === undefined ? folder : folderInside;
  }

  /**
   * Gets the command line, as one list, that runs one of RabbitMQ's or Erlang's
   * programs. The process that it starts becomes the program's.
   */
  command(
    program: string,
    args: readonly string[],
    folder: string,
  ): [string, string[]] {
    const path = program.startsWith("rabbitmq")
      ? `${folderOfPrograms}/${program}`
      : program;
    if (this.#root === undefined) return [path, [...args]];
    return [
      "unshare",
      ["--mount", "sh", "-c", enter, "sh", this.#root, folder, path, ...args],
    ];
  }
}

/** Tells why a version of RabbitMQ can't be had here, or `undefined` if it can. It is installed, if need be. */
export async function whyNoBroker(
  version: BrokerVersion,
): Promise<string | undefined> {
  try {
    await BrokerPrograms.install(version);
  } catch (error) {
    const lines = (error as Error).message.split("\n").slice(0, 4);
    return `no RabbitMQ ${version} here: ${lines.join(" / ")}`;
  }
}
