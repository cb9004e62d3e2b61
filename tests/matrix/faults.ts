/** What happens to a cluster of three brokers. The first of them is the one that it hits. */
import type { Broker } from "../../tools/broker.ts";
import type { BrokerCluster } from "../../tools/broker_cluster.ts";
import type { BrokerNetwork } from "../../tools/broker_network.ts";
import { eventually, pause } from "../../tools/eventually.ts";

/** Where a node's queue and its connection are, as numbers of brokers. */
export interface Place {
  readonly queue: number;
  readonly connection: number;
}

/** What a fault works with. */
export interface Stage {
  readonly cluster: BrokerCluster;
  /** The brokers' network; or why they have none of their own. */
  readonly network: BrokerNetwork | string;
  /** Resolves when everybody has heard from everybody on other nodes again, since now. */
  readonly back: () => Promise<void>;
}

/** Something that happens to a cluster. */
export interface Fault {
  /** One word for it. */
  readonly name: string;
  /** What happens, as a part of a sentence. */
  readonly what: string;
  /** Where the nodes are, in their order. */
  readonly places: readonly Place[];
  /** Resolves when it is over. What has ended by then stays so until the cell is done. */
  strike(stage: Stage): Promise<void>;
}

/** How long a broker hangs, in milliseconds. */
const pauseMs = 25_000;
/** How long a broker is cut off, in milliseconds: the others take up to 75 s to give it up (Erlang's `net_ticktime`). */
const partitionMs = 90_000;
/** How long a broker may take to be in line with the others again, in milliseconds. */
const inLineTimeoutMs = 120_000;

/** Each node has a broker to itself. */
const spread = [at(0), at(1), at(2)];

/** The faults, in the order of the table. */
export const faults: readonly Fault[] = [
  {
    name: "rolling-restart",
    what: "each broker in turn is stopped and started",
    places: spread,
    strike: async ({ cluster, back }) => {
      for (const member of cluster.members) {
        await canBeSpared(member);
        await member.stop();
        await back();
        await member.start();
        await cluster.whole();
      }
    },
  },
  {
    name: "stop",
    what: "a broker with a node's queue and connection is stopped",
    places: spread,
    strike: async ({ cluster: { members: [first] }, back }) => {
      await first!.stop();
      await back();
    },
  },
  {
    name: "kill-queue",
    what: "a broker with a node's queue is killed for good",
    places: [{ queue: 0, connection: 1 }, at(1), at(2)],
    strike: kill,
  },
  {
    name: "kill-connection",
    what: "a broker with a node's connection is killed for good",
    places: [{ queue: 1, connection: 0 }, at(1), at(2)],
    strike: kill,
  },
  {
    name: "kill-neither",
    what: "a broker with neither is killed for good",
    places: [at(1), at(2), at(1)],
    strike: kill,
  },
  {
    name: "hang",
    what: `a broker with a node's queue and connection hangs for ${
      pauseMs / 1000
    } s (SIGSTOP)`,
    places: spread,
    strike: async ({ cluster: { members: [first] }, back }) => {
      first!.pause();
      const isBack = back();
      try {
        await pause(pauseMs);
      } finally {
        first!.continue();
      }
      await isBack;
    },
  },
  {
    name: "partition",
    what:
      `a broker with a node's queue and connection is cut off from the two others for ${
        partitionMs / 1000
      } s`,
    places: spread,
    strike: async ({ network, back }) => {
      if (typeof network === "string") throw new Error(network);
      await network.cut(0);
      const isBack = back();
      try {
        await pause(partitionMs);
      } finally {
        await network.heal(0);
      }
      await isBack;
    },
  },
];

/** Whether a fault takes networks of the brokers' own. */
export function needsNetwork({ name }: Fault): boolean {
  return name === "partition";
}

/** Resolves when no quorum queue would lose its majority with this broker, as RabbitMQ's guide to upgrades wants it. */
export async function canBeSpared(member: Broker): Promise<void> {
  await eventually(
    async () =>
      (await member.eval(
        "{rabbit:is_running(), catch rabbit_quorum_queue:list_with_minimum_quorum()}",
      )).replaceAll(/\s/g, "") === "{true,[]}",
    `${member.name} to be in line`,
    { timeoutMs: inLineTimeoutMs },
  );
}

async function kill(
  { cluster: { members: [first] }, back }: Stage,
): Promise<void> {
  await first!.kill();
  await back();
}

/** A node's queue is where it is connected to. */
function at(broker: number): Place {
  return { queue: broker, connection: broker };
}
