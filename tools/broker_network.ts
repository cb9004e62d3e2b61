/**
 * Where a broker of the tests is: on this machine's loopback, or in a network
 * namespace of its own (ip-netns(8)).
 *
 * In namespaces the brokers have two networks, each a bridge with one veth(4)
 * pair to every broker: one on which clients reach them, from this machine too,
 * and one that they have among themselves. So one of them can be cut off from
 * the others, and clients still reach it.
 */
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
const networks = {
  clients: `198.18.${Deno.pid % 256}`,
  peers: `198.19.${Deno.pid % 256}`,
} as const;

/** This machine's address on the clients' network. */
const ownAddress = `${networks.clients}.254`;

/** What everything of ours is called, with the process that made it: interfaces have 15 characters at most. */
const prefix = "staps";

/** Namespaces for brokers. They are removed on disposal. */
export class BrokerNetwork implements AsyncDisposable {
  /** One for each broker. */
  readonly homes: readonly BrokerHome[];

  private constructor(size: number) {
    this.homes = Array.from({ length: size }, (_, i) => {
      const peerAddress = `${networks.peers}.${i + 1}`;
      return {
        address: `${networks.clients}.${i + 1}`,
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
      await network.#build();
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
    await ip("link", "set", "dev", outside("peers", index), "down");
  }

  /** Ends {@linkcode cut}. */
  async heal(index: number): Promise<void> {
    await ip("link", "set", "dev", outside("peers", index), "up");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await remove(Deno.pid);
  }

  async #build(): Promise<void> {
    for (const kind of ["clients", "peers"] as const) {
      await ip("link", "add", "name", bridge(kind), "type", "bridge");
      await ip("link", "set", "dev", bridge(kind), "up");
    }
    await ip("address", "add", `${ownAddress}/24`, "dev", bridge("clients"));
    for (const [i, home] of this.homes.entries()) {
      await ip("netns", "add", namespace(i));
      await this.#connect("clients", i, home.address);
      await this.#connect("peers", i, home.peerAddress);
      await ip("-n", namespace(i), "link", "set", "dev", "lo", "up");
    }
  }

  /** Joins a broker's namespace with a bridge. */
  async #connect(
    kind: keyof typeof networks,
    index: number,
    address: string,
  ): Promise<void> {
    const [end, inside] = [outside(kind, index), namespace(index)];
    await ip(
      ...["link", "add", "name", end, "type", "veth"],
      ...["peer", "name", kind, "netns", inside],
    );
    await ip("link", "set", "dev", end, "master", bridge(kind), "up");
    await ip("-n", inside, "address", "add", `${address}/24`, "dev", kind);
    await ip("-n", inside, "link", "set", "dev", kind, "up");
  }
}

function namespace(index: number): string {
  return `${prefix}-${Deno.pid}-${index}`;
}

function bridge(kind: keyof typeof networks): string {
  return `${prefix}${Deno.pid}${kind[0]}`;
}

/** The end of a veth pair that isn't in the namespace. */
function outside(kind: keyof typeof networks, index: number): string {
  return `${bridge(kind)}${index}`;
}

function ip(...args: string[]): Promise<void> {
  return runOrThrow("ip", args);
}

/** Removes what the process `pid` made; what isn't there is no error. */
async function remove(pid: number): Promise<void> {
  const [namespaces, links] = await Promise.all([
    list("netns", "list"),
    list("-o", "link", "show"),
  ]);
  for (const [, name] of namespaces.matchAll(/^(\S+)/gm)) {
    if (name!.startsWith(`${prefix}-${pid}-`)) await ip("netns", "del", name!);
  }
  // The ends of the pairs have gone with the namespaces.
  for (const [, name] of links.matchAll(/^\d+: ([^:@]+)/gm)) {
    if (/^[a-z]+(\d+)[cp]$/.exec(name!)?.[1] !== `${pid}`) continue;
    if (name!.startsWith(prefix)) await ip("link", "del", "dev", name!);
  }
}

/** Removes what was left by processes that were killed. */
async function removeLeftovers(): Promise<void> {
  const text = await list("netns", "list") + await list("-o", "link", "show");
  const pids = new Set(
    Array.from(
      text.matchAll(/\bstaps-?(\d+)/g),
      ([, pid]) => Number(pid),
    ),
  );
  for (const pid of pids) {
    try {
      await Deno.stat(`/proc/${pid}`);
    } catch {
      await remove(pid);
    }
  }
}

async function list(...args: string[]): Promise<string> {
  return (await runProgram("ip", args)).stdout;
}
