/**
 * The RabbitMQs that people have, and how their programs are run: Debian 12's
 * is installed on this machine, Debian 13's in a system of its own.
 */
import { debian13 } from "./debian_systems.ts";
import { ensurePackages } from "./packages.ts";

/** `3.10`: this machine's package, from Debian 12. `4.0`: Debian 13's. */
export type BrokerVersion = "3.10" | "4.0";

/** An installed RabbitMQ with its Erlang, as a broker with a folder of its own uses it. */
export interface BrokerPrograms {
  /** The path by which programs know the folder. */
  readonly folderInside: string;
  /** Gets the command line that runs one of RabbitMQ's or Erlang's programs. The process that it starts becomes the program's. */
  command(program: string, args: readonly string[]): string[];
}

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
mount --bind "$folder" "$root/mnt"
exec chroot "$root" "$@"
`;

/**
 * Gets a RabbitMQ for a broker in `folder`, and installs it unless it is there
 * already.
 *
 * @throws {Error} If it is missing and can't be installed: not root, no Debian, no network.
 */
export async function brokerPrograms(
  version: BrokerVersion,
  folder: string,
): Promise<BrokerPrograms> {
  const root = await install(version);
  if (root === undefined) {
    return {
      folderInside: folder,
      command: (program, args) => [pathOf(program), ...args],
    };
  }
  const entering = ["unshare", "--mount", "sh", "-c", enter, "sh"];
  return {
    folderInside: "/mnt",
    command: (program, args) => [
      ...[...entering, root, folder, pathOf(program), ...args],
    ],
  };
}

/** Gets the top folder of the system that a RabbitMQ is in, if that isn't this machine's. */
async function install(version: BrokerVersion): Promise<string | undefined> {
  if (version === "4.0") return await debian13();
  await ensurePackages(["rabbitmq-server"]);
}

/** RabbitMQ's programs themselves: the ones in PATH change to another user and its folders. */
function pathOf(program: string): string {
  const isOwn = program.startsWith("rabbitmq");
  return isOwn ? `/usr/lib/rabbitmq/bin/${program}` : program;
}

/** Tells why a version of RabbitMQ can't be had here, or `undefined` if it can. It is installed, if need be. */
export async function whyNoBroker(
  version: BrokerVersion,
): Promise<string | undefined> {
  try {
    await install(version);
  } catch (error) {
    const lines = (error as Error).message.split("\n").slice(0, 4);
    return `no RabbitMQ ${version} here: ${lines.join(" / ")}`;
  }
}
