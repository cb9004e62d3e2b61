/**
 * What the chaos happens to: three nodes of staps, each with a network of its
 * own to one RabbitMQ or a cluster of three, and nginx in front of them.
 * Everything is real; only ports, folders and a few time-outs are the run's own.
 */
import {
  type Broker,
  type BrokerKind,
  startBroker,
} from "../../tools/broker.ts";
import { BrokerCluster, startCluster } from "../../tools/broker_cluster.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import { ensurePackages } from "../../tools/packages.ts";
import type { Door } from "./client.ts";
import type { Brokers } from "./excuses.ts";
import { Frontend } from "./frontend.ts";
import { Node, type NodeSettings } from "./node.ts";
import { SmallDisk } from "./small_disk.ts";

/** How many nodes there are, unless it is said. */
export const nodeCount = 3;

/** Settings of {@linkcode Cluster.start}. */
export interface ClusterOptions {
  /** An empty folder for everything that is to be kept. Short: sockets are in it. */
  readonly folder: string;
  /** Which RabbitMQ; if left out, as tests have it that don't choose. */
  readonly broker?: BrokerKind | undefined;
  /** One of it, or three with this kind of queues. Default `one`. */
  readonly brokers?: Brokers | undefined;
  /** How many nodes there are. Default {@linkcode nodeCount}. */
  readonly nodes?: number;
  /** How many of these the frontend serves. Default all. */
  readonly served?: number;
}

/** The whole of it, running. */
export class Cluster implements AsyncDisposable {
  /** The only broker, or three. */
  brokers!: BrokerCluster;
  readonly nodes: Node[] = [];
  frontend!: Frontend;
  /** A network that some clients are in, to the frontend. */
  clientNetwork!: FaultyProxy;
  readonly #resources = new AsyncDisposableStack();

  /** @param kind Whether there is one broker, or which kind of queues is on three. */
  private constructor(readonly kind: Brokers) {}

  /** Starts everything but the nodes. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options.brokers ?? "one");
    try {
      await cluster.#start(options);
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(
    { folder, broker, nodes = nodeCount, served }: ClusterOptions,
  ): Promise<void> {
    await ensurePackages(["nginx"]);
    // nginx's workers have another user.
    await Deno.chmod(folder, 0o755);
    const stack = this.#resources;
    this.brokers = stack.use(
      this.kind === "one"
        ? new BrokerCluster([await startBroker(broker)])
        : await startCluster(broker),
    );
    for (let i = 1; i <= nodes; i++) await this.#addNode(folder, i);
    this.frontend = stack.use(
      await Frontend.start(`${folder}/nginx`, this.nodes.slice(0, served)),
    );
    this.clientNetwork = stack.use(await FaultyProxy.start(this.frontend.port));
  }

  /** Adds a node, its user on the brokers, and its ways to them. */
  async #addNode(folder: string, number: number): Promise<void> {
    const { brokers, nodes } = this;
    const stack = this.#resources;
    const name = `node${number}`;
    // A user of its own, so that its queue can be told from others.
    await brokers.running.addUser(name, {
      password: "secret",
      permissions: { configure: ".*", write: ".*", read: ".*" },
    });
    // Each begins with another one.
    const first = brokers.members[number % brokers.members.length]!;
    const ways = new Map<Broker, FaultyProxy>();
    for (const broker of [first, ...brokers.others(first)]) {
      ways.set(broker, stack.use(await FaultyProxy.start(broker.port)));
    }
    const home = `${folder}/${name}`;
    await Deno.mkdir(home);
    await Deno.chmod(home, 0o755);
    const disk = await SmallDisk.mount(home);
    if (typeof disk !== "string") {
      stack.defer(async () => {
        // What is in memory is kept.
        await using _disk = disk;
        await Deno.mkdir(`${folder}/logs`, { recursive: true });
        await Deno.copyFile(`${home}/staps.log`, `${folder}/logs/${name}.log`)
          .catch(() => {});
      });
    }
    nodes.push(stack.use(new Node(name, home, { ways, disk })));
  }

  /** Starts the nodes, and resolves when all are ready. Ended by `leftovers.ts`, they can be started for another run. */
  async startNodes(settings: NodeSettings = {}): Promise<void> {
    const { bridge = "" } = settings;
    const queueType = this.kind === "one" ? "" : `queue_type = ${this.kind}\n`;
    for (const node of this.nodes) {
      await node.configure({ ...settings, bridge: queueType + bridge });
    }
    await Promise.all(this.nodes.map((node) => node.start()));
    for (const node of this.nodes) node.idle = await node.holdings();
  }

  /** A broker that runs, to ask for what all of them know. */
  get broker(): Broker {
    return this.brokers.running;
  }

  /** Gets the nodes that are connected to `broker`. */
  async nodesOn(broker: Broker): Promise<Node[]> {
    const isOn = await Promise.all(this.nodes.map((node) => node.isOn(broker)));
    return this.nodes.filter((_, i) => isOn[i]);
  }

  /** The ways to the nodes through the frontend: every third one through a network of its own. */
  get frontendDoors(): Door[] {
    const { frontend, clientNetwork } = this;
    return [frontend, frontend, clientNetwork].map((target) => ({
      target,
      node: (headers) => frontend.nodeOf(headers),
    }));
  }

  /** The ways straight to each node. */
  get nodeDoors(): Door[] {
    return this.nodes.map((target, node) => ({ target, node }));
  }

  /** Resolves when every node does its work. */
  async ready(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.ready()));
  }

  /** Copies what isn't in the run's folder yet; ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
