/** Real nodes of staps, each with its queue and its connection on the brokers where a fault wants them. */
import type { Status } from "../../src/admin/status.ts";
import { ask } from "../helpers/admin.ts";
import type { BrokerCluster } from "../../tools/broker_cluster.ts";
import { eventually } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import type { QueueType } from "./cells.ts";
import type { Place } from "./faults.ts";

/** A node, and the queue that it has in the beginning. */
export interface Node {
  readonly staps: Staps;
  /** Its user on the brokers. */
  readonly user: string;
  readonly queue: string;
}

/** Settings of {@linkcode startNode}. */
export interface NodeOptions {
  /** A user of the brokers that is this node's alone, so that its queue can be told from others. */
  readonly user: string;
  /** What the nodes have in common that share channels. */
  readonly exchange: string;
  readonly queueType: QueueType;
  readonly place: Place;
  /** A line for the section `[bridge]`. */
  readonly bridge?: string | undefined;
}

/**
 * Starts a node, and resolves when it is where it is to be. All its settings are
 * the defaults, but `on_outage = refuse`: so a newcomer, too, has to get
 * everything.
 */
export async function startNode(
  cluster: BrokerCluster,
  { user, exchange, queueType, place, bridge = "" }: NodeOptions,
): Promise<Node> {
  const { members } = cluster;
  const [home, host] = [members[place.queue]!, members[place.connection]!];
  await cluster.running.addUser(user, {
    password: "secret",
    permissions: { configure: ".*", write: ".*", read: ".*" },
  });
  // It begins at the broker that is to have the queue, and can't stay there if
  // its connection is to be elsewhere.
  await using begin = await FaultyProxy.start(home.port, home.hostname);
  const hosts = [
    ...home === host ? [] : [`127.0.0.1:${begin.port}`],
    ...cluster.hosts(host).map(({ hostname, port }) => `${hostname}:${port}`),
  ];
  await using stack = new AsyncDisposableStack();
  const staps = stack.use(
    await startStaps({
      config: `
[staps]
amqp = ${home.url("/", { user: `${user}:secret` })}
[bridge]
hosts = ${hosts.join(", ")}
exchange = ${exchange}
queue_type = ${queueType}
on_outage = refuse
${bridge}
[admin]
socket = ~/admin
mode = 0600
`,
    }),
  );
  const connected = (where: string): Promise<unknown> =>
    eventually(
      async () => (await brokerOf(staps))?.includes(where),
      `${user} to be connected to ${where}`,
    );
  await connected(":");
  await begin[Symbol.asyncDispose]();
  await connected(`${host.hostname}:${host.port}`);
  const [queue] = await queuesOf(cluster, user);
  const leader = await cluster.newLeader(queue!);
  if (leader !== home) {
    throw new Error(
      `Expected the queue of ${user} on ${home.name}, got ${leader.name}`,
    );
  }
  stack.move();
  return { staps, user, queue: queue! };
}

/** Gets where a node is connected to, as `host:port`, or `null`. */
async function brokerOf(staps: Staps): Promise<string | null> {
  const { text } = await ask(`${staps.folder}/admin`, "/status");
  const { bridge }: Status = JSON.parse(text);
  return bridge!.connected ? bridge!.broker : null;
}

/** Gets the names of the queues of a node: of one that lost its queue, they change. */
export async function queuesOf(
  cluster: BrokerCluster,
  user: string,
): Promise<string[]> {
  // The last broker is well, whatever happens to the first.
  const text = await cluster.members.at(-1)!.eval(
    `[binary_to_list(element(4, amqqueue:get_name(Q))) || ` +
      `Q <- rabbit_amqqueue:list(<<"/">>), ` +
      `maps:get(user, amqqueue:get_options(Q), none) =:= <<"${user}">>]`,
  );
  return Array.from(
    text.matchAll(/staps\.node\.[0-9a-f.-]+/g),
    ([name]) => name,
  );
}
