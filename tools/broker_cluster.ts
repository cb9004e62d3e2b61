/** RabbitMQs that are one cluster, each to be stopped, killed and paused by itself. */
import { type Broker, type BrokerOptions, makeBroker } from "./broker.ts";
import type { BrokerHome } from "./broker_network.ts";
import { eventually } from "./eventually.ts";

/**
 * A running cluster. Users, vhosts and rights are the same on all its members:
 * they are made on any of them.
 */
export class BrokerCluster implements AsyncDisposable {
  /** The members, in the order in which they joined. */
  readonly members: readonly Broker[];

  constructor(members: readonly Broker[]) {
    this.members = members;
  }

  /** A member that runs; the first such. */
  get running(): Broker {
    const member = this.members.find(({ state }) => state === "running");
    if (!member) throw new Error("No member of the cluster runs");
    return member;
  }

  /** The members' addresses, beginning with `first`, as the setting `hosts` has them. */
  hosts(
    first: Broker = this.members[0]!,
  ): { hostname: string; port: number }[] {
    return [first, ...this.others(first)].map(({ hostname, port }) => ({
      hostname,
      port,
    }));
  }

  /** The members but `some`. */
  others(...some: Broker[]): Broker[] {
    return this.members.filter((member) => !some.includes(member));
  }

  /**
   * Gets the member that has a queue: a quorum queue's leader, or where a
   * classic queue is. A member that died may be named until the others have
   * chosen another. `undefined` if nobody leads, or there is no such queue.
   */
  async leader(queue: string, vhost = "/"): Promise<Broker | undefined> {
    const resource = `rabbit_misc:r(<<"${vhost}">>, queue, <<${
      JSON.stringify(queue)
    }>>)`;
    // A quorum queue's entry tells only who led it when that was written.
    const name = await this.running.eval(
      `case rabbit_amqqueue:lookup(${resource}) of ` +
        `{ok, Q} -> case amqqueue:get_pid(Q) of ` +
        `{Name, _} -> case ra_leaderboard:lookup_leader(Name) of ` +
        `{_, Node} -> Node; undefined -> nobody end; ` +
        `Pid when is_pid(Pid) -> node(Pid); _ -> nobody end; ` +
        `_ -> nobody end`,
    );
    return this.members.find((member) => name === `'${member.name}'`);
  }

  /** Resolves with the member that leads a queue, as soon as that is none of `others`. */
  newLeader(
    queue: string,
    { vhost = "/", others = [] }: {
      vhost?: string;
      others?: readonly Broker[];
    } = {},
  ): Promise<Broker> {
    return eventually(async () => {
      const leader = await this.leader(queue, vhost);
      return leader && others.includes(leader) ? undefined : leader;
    }, `a leader of the queue ${queue}`);
  }

  /** Resolves when all members that run see each other. */
  async whole(): Promise<void> {
    const running = this.members.filter(({ state }) => state === "running");
    await eventually(async () => {
      const peers = await Promise.all(
        running.map((member) => member.eval("length(nodes())")),
      );
      return peers.every((count) => Number(count) === running.length - 1);
    }, `${running.length} brokers to see each other`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The first one's epmd serves them all.
    for (const member of this.members.toReversed()) {
      await member[Symbol.asyncDispose]();
    }
  }
}

/**
 * Starts a cluster of three RabbitMQs, or as many as `size` says, installing
 * RabbitMQ if it is missing. `homes` are networks for them, one each.
 */
export async function startCluster(
  { size = 3, homes = [], ...options }:
    & Omit<BrokerOptions, "peer" | "home">
    & { size?: number; homes?: readonly BrokerHome[] } = {},
): Promise<BrokerCluster> {
  const members: Broker[] = [];
  const cluster = new BrokerCluster(members);
  try {
    while (members.length < size) {
      const [peer] = members;
      const home = homes[members.length];
      members.push(await makeBroker({ ...options, peer, home }));
    }
    await Promise.all(members.map((member) => member.start()));
    const [first, ...others] = members;
    await first!.setUp();
    // Who joins has to find a cluster that nobody else is joining.
    for (const other of others) await other.joinCluster(first!);
    await cluster.whole();
    return cluster;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}
