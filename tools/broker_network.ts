/**
 * Where a broker of the tests is: on this machine's loopback, or in a network
 * namespace of its own (ip-netns(8)).
 *
 * In namespaces the brokers have two networks, each a bridge with one veth(4)
 * pair to every broker: one on which clients reach them, from this machine too,
 * and one that they have among themselves. So one of them can be cut off from
 * the others, and clients still reach it.
 */
import { exists } from "./folder.ts";
import { runOrThrow, runProgram } from "./process.ts";

/** The network that a broker is in. */
export interface BrokerHome {
  /** The IPv4 address for clients. */
  readonly address: string;
  /** The IPv4 address for the other brokers. */
  readonly peerAddress: string;
  /** What stands behind the `@` of the broker's name. */
  readonly name: string;
  /** Whether Erlang calls that a long name, for it has dots. */
  readonly hasLongName: boolean;
  /** A command that runs another one in this network, as the same process. */
  readonly enter: readonly string[];
}

/** This machine's own. */
export const loopback: BrokerHome = {
  address: "127.0.0.1",
  peerAddress: "127.0.0.1",
  name: "localhost",
  hasLongName: false,
  enter: [],
};

/**
 * The first three bytes of addresses for tests of networks, which no machine has
 * (RFC 2544 section C.2.2). Two processes at a time rarely choose the same.
 */
const clients = `198.18.${Deno.pid % 256}`;
const peers = `198.19.${Deno.pid % 256}`;

/** What everything of ours is called, with the process that made it: interfaces have 15 characters at most. */
const own = `staps${Deno.pid}`;
const namespace = (index: number): string => `${own}n${index}`;
/** The end of a broker's pair on the peers' bridge. */
const peerEnd = (index: number): string => `${own}p${index}`;

/** Namespaces for brokers. They are removed on disposal. */
export class BrokerNetwork implements AsyncDisposable {
  /** One for each broker. */
  readonly homes: readonly BrokerHome[];

  private constructor(size: number) {
    this.homes = Array.from({ length: size }, (_, i) => {
      const peerAddress = `${peers}.${i + 1}`;
      return {
        address: `${clients}.${i + 1}`,
        peerAddress,
        name: peerAddress,
        hasLongName: true,
        enter: ["nsenter", `--net=/run/netns/${namespace(i)}`, "--"],
      };
    });
  }

  /** Gets networks for `size` brokers, or tells why this machine can't have them. */
  static async make(size: number): Promise<BrokerNetwork | string> {
    if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
      return "network namespaces take Linux and root";
    }
    const network = new BrokerNetwork(size);
    try {
      await removeLeftovers();
      await runOrThrow("sh", ["-ec", network.#script()]);
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      return `no network namespaces here: ${
        (error as Error).message.split("\n").slice(0, 3).join(" / ")
      }`;
    }
  }

  /** Lets nothing pass between a broker and the others any more; clients still reach it. */
  async cut(index: number): Promise<void> {
    await runOrThrow("ip", ["link", "set", "dev", peerEnd(index), "down"]);
  }

  /** Ends {@linkcode cut}. */
  async heal(index: number): Promise<void> {
    await runOrThrow("ip", ["link", "set", "dev", peerEnd(index), "up"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeLeftovers({ ofThis: true });
  }

  /** Gets the commands that make both bridges, and a namespace on them for each broker. */
  #script(): string {
    const bridges = `
      ip link add name ${own}c type bridge
      ip link add name ${own}p type bridge
      ip link set dev ${own}c up
      ip link set dev ${own}p up
      ip address add ${clients}.254/24 dev ${own}c`;
    const brokers = this.homes.map(({ address, peerAddress }, i) => `
      ip netns add ${namespace(i)}
      inside="ip -n ${namespace(i)}"
      $inside link set dev lo up
      ip link add name ${own}c${i} type veth peer name clients netns ${
      namespace(i)
    }
      ip link add name ${peerEnd(i)} type veth peer name peers netns ${
      namespace(i)
    }
      ip link set dev ${own}c${i} master ${own}c up
      ip link set dev ${peerEnd(i)} master ${own}p up
      $inside address add ${address}/24 dev clients
      $inside address add ${peerAddress}/24 dev peers
      $inside link set dev clients up
      $inside link set dev peers up`);
    return [bridges, ...brokers].join("\n");
  }
}

/** Removes what was left by processes that were killed, and perhaps what is this one's. */
async function removeLeftovers({ ofThis = false } = {}): Promise<void> {
  // The pairs go with the namespaces.
  for (
    const [list, remove] of [
      ["netns list", "netns del"],
      ["-o link show type bridge", "link del dev"],
    ] as const
  ) {
    const { stdout } = await runProgram("ip", list.split(" "));
    for (const [name, pid] of stdout.matchAll(/\bstaps(\d+)[cnp]\d*\b/g)) {
      const isOver = !await exists(`/proc/${pid}`);
      if (isOver || (ofThis && Number(pid) === Deno.pid)) {
        await runOrThrow("ip", [...remove.split(" "), name]);
      }
    }
  }
}
