/**
 * What is soaked: a node behind nginx, a second one, RabbitMQ between them, and
 * beside them the 20-line relay under the same churn, which shows what the
 * runtime does by itself.
 */
import { runtimeEnvironment } from "../../scripts/runtime_environment.ts";
import { ask } from "../helpers/admin.ts";
import { type Broker, startBroker } from "../helpers/broker.ts";
import { eventually } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import { inFrontendGroup, type Nginx, startNginx } from "../helpers/nginx.ts";
import { Process, repository, spawnStaps } from "../helpers/process.ts";
import type { Door } from "../chaos/crowd.ts";
import type { Target } from "../helpers/raw_client.ts";
import { clientBufferBytes } from "./bad_clients.ts";
import type { Subject } from "./subject.ts";

const probeScript = new URL("probe.ts", import.meta.url).pathname;

/** What the broker has, of which nothing may pile up. */
export interface BrokerObjects {
  readonly queues: number;
  readonly bindings: number;
}

/** Everything that runs. It is stopped on disposal. */
export class Cluster implements AsyncDisposable {
  readonly nodes: readonly [Subject, Subject];
  readonly relay: Subject;
  /** The ways to the first node (through nginx) and to the second one. */
  readonly doors: readonly Door[];
  /** The first and the second node's own socket. */
  readonly sockets: readonly Target[];
  readonly relayDoor: Door;
  readonly broker: Broker;
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    parts: {
      broker: Broker;
      nginx: Nginx;
      nodes: readonly [Node, Node];
      relay: Subject;
      folder: string;
    },
    resources: AsyncDisposableStack,
  ) {
    const { broker, nginx, nodes, relay, folder } = parts;
    this.broker = broker;
    this.nodes = [nodes[0].subject, nodes[1].subject];
    this.relay = relay;
    this.doors = [
      { name: "nginx", target: { port: nginx.port }, node: 0 },
      { name: "node 2", target: { socket: nodes[1].socket }, node: 1 },
    ];
    this.sockets = nodes.map(({ socket }) => ({ socket }));
    this.relayDoor = {
      name: "relay",
      target: { socket: `${folder}/relay.sock` },
    };
    this.#folder = folder;
    this.#resources = resources;
  }

  /** Resolves when everything answers. */
  static async start(): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const { path: folder } = stack.use(await TempFolder.make());
    const broker = stack.use(await startBroker());
    const first = await startNode("node 1, behind nginx", {
      broker,
      folder,
      stack,
    });
    const second = await startNode("node 2", { broker, folder, stack });
    const nginx = stack.use(
      await startNginx({
        socket: first.socket,
        replace: [
          // All clients have one address here.
          ["rate=50r/s", "rate=100000r/s"],
          ["staps_connections 1000;", "staps_connections 65535;"],
        ],
      }),
    );
    const relay = stack.use(await startRelay(folder));
    return new Cluster(
      {
        broker,
        nginx,
        nodes: [first, second],
        relay: {
          name: "the 20-line relay",
          process: relay,
          probe: `${folder}/relay.probe`,
        },
        folder,
      },
      stack.move(),
    );
  }

  /** All processes that are watched. */
  get subjects(): readonly Subject[] {
    return [...this.nodes, this.relay];
  }

  /** Asks the broker what it has. */
  async brokerObjects(): Promise<BrokerObjects> {
    const text = await this.broker.eval(
      `{length(rabbit_amqqueue:list(<<"/">>)), length(rabbit_binding:list(<<"/">>))}`,
    );
    const [queues, bindings] = text.match(/\d+/g)!.map(Number);
    return { queues: queues!, bindings: bindings! };
  }

  /** Empties the nodes' logs, which would fill the disk in the end. */
  async truncateLogs(): Promise<void> {
    for (const { name } of this.nodes) {
      await Deno.truncate(logOf(this.#folder, name));
    }
  }

  /**
   * Checks that everything still runs.
   *
   * @throws {Error} If a process has ended; with the last of what it said.
   */
  async checkAlive(): Promise<void> {
    for (const { name, process } of this.subjects) {
      if (!process.ended) continue;
      const log = await Deno.readTextFile(logOf(this.#folder, name))
        .catch(() => process.output);
      throw new Error(`${name} has ended:\n${log.slice(-2000)}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

interface Node {
  readonly subject: Subject;
  readonly socket: string;
}

async function startNode(
  name: string,
  { broker, folder, stack }: {
    broker: Broker;
    folder: string;
    stack: AsyncDisposableStack;
  },
): Promise<Node> {
  const admin = `${folder}/${name.replaceAll(/\W+/g, "-")}.sock`;
  const log = logOf(folder, name);
  const probe = `${log}.probe`;
  const staps = stack.use(
    await spawnStaps({
      // As in production: with everything logged that a default one logs.
      config: `
[staps]
amqp = ${broker.url()}
[admin]
socket = ${admin}
[limits]
client_buffer_bytes = ${clientBufferBytes}
message_bytes = 128K
[bridge]
# Who is let in during an outage may miss what was published in it.
on_outage = refuse
`,
      env: { ...runtimeEnvironment, SOAK_PROBE: probe },
      // The command begins with Deno's path and "run".
      through: [
        ...inFrontendGroup,
        "sh",
        "-c",
        `deno=$1; shift 2; exec "$deno" run --preload='${probeScript}' "$@" 2>>'${log}'`,
        "sh",
      ],
    }),
  );
  await eventually(
    async () => {
      if (staps.ended) throw new Error(await Deno.readTextFile(log));
      try {
        return (await ask(admin, "/readyz")).status === 200;
      } catch {
        return false;
      }
    },
    `${name} to be ready`,
  );
  return {
    subject: { name, process: staps, probe, admin },
    socket: staps.socket,
  };
}

async function startRelay(folder: string): Promise<Process> {
  const socket = `${folder}/relay.sock`;
  const relay = new Process(
    Deno.execPath(),
    [
      "run",
      "--allow-all",
      `--preload=${probeScript}`,
      `${repository}/bench/peers/relay.ts`,
      socket,
    ],
    { env: { ...runtimeEnvironment, SOAK_PROBE: `${folder}/relay.probe` } },
  );
  try {
    await eventually(async () => {
      if (relay.ended) throw new Error(relay.output);
      try {
        (await Deno.connect({ transport: "unix", path: socket })).close();
        return true;
      } catch {
        return false;
      }
    }, "the relay to answer");
  } catch (error) {
    await relay[Symbol.asyncDispose]();
    throw error;
  }
  return relay;
}

function logOf(folder: string, name: string): string {
  return `${folder}/${name.replaceAll(/\W+/g, "-")}.log`;
}
