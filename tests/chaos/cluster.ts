/**
 * What the chaos happens to: three nodes of staps, each with a network of its
 * own to one RabbitMQ or a cluster of three, and nginx in front of them. Everything is real; only
 * ports, folders and a few time-outs are the run's own.
 */
import type { Status } from "../../src/admin/status.ts";
import { ask } from "../helpers/admin.ts";
import {
  type Broker,
  type BrokerKind,
  startBroker,
} from "../helpers/broker.ts";
import { BrokerCluster, startCluster } from "../helpers/broker_cluster.ts";
import { eventually, within } from "../helpers/eventually.ts";
import { FaultyProxy } from "../helpers/faulty_proxy.ts";
import { freePort } from "../helpers/folder.ts";
import { writeNginxConfig } from "../helpers/nginx.ts";
import { ensurePackages } from "../helpers/packages.ts";
import {
  denoDir,
  Process,
  runProgram,
  stapsCommand,
} from "../helpers/process.ts";
import { BrokerWays } from "./broker_ways.ts";
import type { Door } from "./crowd.ts";
import type { Brokers } from "./excuses.ts";
import { SmallDisk } from "./small_disk.ts";

/** How many nodes there are. */
export const nodeCount = 3;

/** Seconds between signs of life on a node's connections to the broker. */
const heartbeatS = 2;

/** Seconds for which the broker keeps what waits for a node that is away. */
const queueExpiresS = 20;

/** How many files a node may have open: few, so that the limit can be reached. */
const openFiles = 512;

const startTimeoutMs = 60_000;

/** The header in which the frontend says where a client got to. */
const nodeHeader = "x-node";

/** A channel's path, as every client here has it: no log may tell it. */
const secretPath = "/[0-9a-f]{8}-[0-9a-f]{4}-";

/** What may be left of memory after everybody has left, beside what there was after the warm-up. */
const extraBytes = 256 * 1024 * 1024;

/** Descriptors that come and go by themselves: a connection that is being renewed, a file being read. */
const extraDescriptors = 4;

/** Settings of {@linkcode Cluster.start}. */
export interface ClusterOptions {
  /** An empty folder for everything that is to be kept. Short: sockets are in it. */
  readonly folder: string;
  /** Which RabbitMQ; if left out, as tests have it that don't choose. */
  readonly broker?: BrokerKind;
  /** One of it, or three with this kind of queues. Default `one`. */
  readonly brokers?: Brokers;
}

/** What a run wants of the nodes. */
export interface NodeSettings {
  /** `[bridge] on_outage`. Default `refuse`: so the promise to newcomers holds in an outage, too. */
  readonly onOutage?: "local" | "refuse";
  /** Lines for the section `[bridge]`, such as `on_gap = continue`. */
  readonly bridge?: string;
  /**
   * Lines for the section `[limits]`. By default three slow readers that fall
   * behind one after the other are all still there to read their 4000.
   */
  readonly limits?: string;
}

/** What a process holds. */
export interface Holdings {
  readonly residentBytes: number;
  readonly descriptors: number;
  readonly sockets: number;
}

/** One node: it keeps its folder, sockets and configuration over restarts. */
export class Node {
  readonly name: string;
  readonly folder: string;
  readonly socket: string;
  readonly adminSocket: string;
  readonly logFile: string;
  /** Its ways to the brokers. */
  readonly network: BrokerWays;
  /** The broker's user that this node alone logs in as, so that its queue can be told from others. */
  readonly user: string;
  /** Where its folder is; or why that isn't a file system of its own. */
  readonly disk: SmallDisk | string;
  #settings: Required<NodeSettings> = withDefaults({});
  #process: Process | undefined;
  /** What the present process held at its first warm look. */
  #warm: Holdings | undefined;

  constructor(
    { name, folder, network, disk }: {
      name: string;
      folder: string;
      network: BrokerWays;
      disk: SmallDisk | string;
    },
  ) {
    this.name = name;
    this.user = name;
    this.folder = folder;
    this.socket = `${folder}/staps.sock`;
    this.adminSocket = `${folder}/admin.sock`;
    this.logFile = `${folder}/staps.log`;
    this.network = network;
    this.disk = disk;
  }

  /** The process id, of the present process or of the last one. */
  get pid(): number {
    if (!this.#process) throw new Error(`${this.name} was never started`);
    return this.#process.pid;
  }

  /** Whether its process has ended. */
  get ended(): boolean {
    return this.#process?.ended ?? true;
  }

  /** Writes its configuration, and remembers the settings for {@linkcode reconfigure}. */
  async configure(settings: NodeSettings): Promise<void> {
    this.#settings = withDefaults(settings);
    await this.reconfigure(this.#settings.limits);
  }

  /** Writes its configuration with other lines for the section `[limits]`. */
  async reconfigure(limits: string): Promise<void> {
    const { onOutage, bridge } = this.#settings;
    await Deno.writeTextFile(
      `${this.folder}/staps.conf`,
      `[staps]
socket = ${this.socket}
# nginx's workers have another user.
mode = 0666
amqp = amqp://${this.user}:secret@${this.network.hosts[0]}/
[daemon]
dir = ${this.folder}
pid_file = ${this.folder}/staps.pid
[limits]
close_timeout_s = 20
shutdown_timeout_s = 5
shutdown_spread_ms = 1000
retry_after_s = 1
${limits}
[bridge]
on_outage = ${onOutage}
heartbeat_s = ${heartbeatS}
queue_expires_s = ${queueExpiresS}
hosts = ${this.network.hosts.join(", ")}
${bridge}
[admin]
socket = ${this.adminSocket}
mode = 0600
[log]
level = debug
format = text
`,
    );
  }

  /** Starts it, and resolves when it is ready. */
  async start(): Promise<void> {
    const started = new Process("sh", [
      // The shell becomes prlimit, which becomes staps: one process id for all.
      "-c",
      `exec prlimit --nofile=${openFiles}:${openFiles} "$@" 2>>"$0"`,
      this.logFile,
      Deno.execPath(),
      ...stapsCommand,
      `--config=${this.folder}/staps.conf`,
    ], { env: { HOME: this.folder, DENO_DIR: denoDir() } });
    this.#process = started;
    this.#warm = undefined;
    await this.ready();
  }

  /** Resolves when it says that it does its work. */
  async ready(): Promise<void> {
    let last = "";
    await eventually(
      async () => {
        if (this.ended) {
          throw new Error(
            `${this.name} has ended:\n${await this.#lastLines()}`,
          );
        }
        try {
          const answer = await within(ask(this.adminSocket, "/readyz"), "", {
            timeoutMs: 5_000,
          });
          last = answer.text;
          return answer.status === 200;
        } catch (error) {
          last = (error as Error).message;
          return false;
        }
      },
      () => `${this.name} to be ready: ${last.trim()}`,
      { timeoutMs: startTimeoutMs },
    );
  }

  /** Gets what it says of itself. */
  async status(): Promise<Status> {
    const { text } = await within(
      ask(this.adminSocket, "/status"),
      `the status of ${this.name}`,
    );
    return JSON.parse(text);
  }

  /** Sends `signal` to it. */
  signal(signal: Deno.Signal): void {
    this.#process?.signal(signal);
  }

  /** Sends `signal`, waits for its end, and gets the exit status. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    return (await this.#process!.stop(signal)).code;
  }

  /** How long its log is by now, for {@linkcode logged}. */
  async logBytes(): Promise<number> {
    return (await Deno.stat(this.logFile)).size;
  }

  /** Resolves when its log has something that `pattern` matches after the byte `from`. */
  async logged(pattern: RegExp, from: number): Promise<void> {
    await eventually(
      async () => pattern.test(await this.#logFrom(from)),
      `${pattern} in the log of ${this.name}`,
    );
  }

  /** Gets what its process holds now (proc(5)). */
  async holdings(): Promise<Holdings> {
    const status = await Deno.readTextFile(`/proc/${this.pid}/status`);
    let descriptors = 0;
    let sockets = 0;
    for await (const { name } of Deno.readDir(`/proc/${this.pid}/fd`)) {
      try {
        const target = await Deno.readLink(`/proc/${this.pid}/fd/${name}`);
        descriptors++;
        if (target.startsWith("socket:")) sockets++;
      } catch (error) {
        // Closed since.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return {
      residentBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024,
      descriptors,
      sockets,
    };
  }

  /** Remembers the memory of the present process, unless that is done, as what it takes when warm. */
  async rememberWarm(): Promise<void> {
    if (!this.ended) this.#warm ??= await this.holdings();
  }

  /** What {@linkcode rememberWarm} saw. */
  get warm(): Holdings | undefined {
    return this.#warm;
  }

  /** Ends it whatever state it is in. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process is killed all the same.
    await this.#process?.[Symbol.asyncDispose]();
  }

  async #logFrom(from: number): Promise<string> {
    using file = await Deno.open(this.logFile);
    await file.seek(from, Deno.SeekMode.Start);
    return await new Response(file.readable).text();
  }

  async #lastLines(): Promise<string> {
    const { stdout } = await runProgram("tail", ["-n", "5", this.logFile]);
    return stdout;
  }
}

/** nginx with the configuration that we ship, over all nodes in turn. */
export class Frontend implements AsyncDisposable {
  readonly port = freePort();
  readonly #folder: string;
  #process: Process | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes its configuration for the nodes' sockets. */
  async configure(sockets: readonly string[]): Promise<void> {
    const [first, ...others] = sockets;
    const servers = others.map((socket) =>
      `\n    server unix:${socket} max_fails=0;`
    );
    await writeNginxConfig(this.#folder, this.port, {
      socket: `${first}`,
      replace: [
        [
          `    server unix:${first} max_fails=0;\n}`,
          `    server unix:${first} max_fails=0;${servers.join("")}\n}`,
        ],
        // All clients have one address here.
        [
          "limit_conn staps_connections 1000;",
          "limit_conn staps_connections 65535;",
        ],
        ["rate=50r/s", "rate=5000r/s"],
        [
          "add_header Retry-After $staps_retry_after always;",
          "add_header Retry-After $staps_retry_after always;" +
          `add_header ${nodeHeader} $upstream_addr always;`,
        ],
      ],
    });
  }

  /** Starts it, and resolves when it accepts connections. */
  async start(): Promise<void> {
    const started = new Process("nginx", [
      "-p",
      this.#folder,
      "-c",
      `${this.#folder}/nginx.conf`,
    ]);
    this.#process = started;
    await eventually(async () => {
      if (started.ended) throw new Error(`nginx has ended: ${started.output}`);
      return await this.accepts();
    }, "nginx to accept connections");
  }

  /** Whether it accepts connections now. */
  async accepts(): Promise<boolean> {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port: this.port })).close();
      return true;
    } catch {
      return false;
    }
  }

  /** Reads its configuration again, and resolves when it has new workers. */
  async reload(): Promise<void> {
    const before = new Set(await this.workers());
    this.#process!.signal("SIGHUP");
    await eventually(
      async () => (await this.workers()).some((pid) => !before.has(pid)),
      "new workers of nginx",
    );
  }

  /** Stops it at once, which cuts every connection. */
  async stop(): Promise<void> {
    await this.#process?.stop("SIGTERM");
  }

  /** The process ids of its workers, those that wait for their last client among them. */
  async workers(): Promise<number[]> {
    const { pid } = this.#process!;
    const text = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
    return text.trim().split(" ").filter((each) => each !== "").map(Number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Killed, the master would leave its workers behind.
    await this.stop();
  }
}

/** The whole of it, running. */
export class Cluster implements AsyncDisposable {
  /** The only broker, or three. */
  readonly brokers: BrokerCluster;
  /** Whether there is one, or which kind of queues is on three. */
  readonly kind: Brokers;
  readonly nodes: readonly Node[];
  readonly frontend: Frontend;
  /** A network that some clients are in, to the frontend. */
  readonly clientNetwork: FaultyProxy;
  /** What the nodes held right after their start. */
  readonly #idle = new Map<Node, Holdings>();
  readonly #resources: AsyncDisposableStack;

  private constructor(
    { brokers, kind, nodes, frontend, clientNetwork, resources }: {
      brokers: BrokerCluster;
      kind: Brokers;
      nodes: readonly Node[];
      frontend: Frontend;
      clientNetwork: FaultyProxy;
      resources: AsyncDisposableStack;
    },
  ) {
    this.brokers = brokers;
    this.kind = kind;
    this.nodes = nodes;
    this.frontend = frontend;
    this.clientNetwork = clientNetwork;
    this.#resources = resources;
  }

  /** Starts everything but the nodes. */
  static async start(
    { folder, broker: chosen, brokers: kind = "one" }: ClusterOptions,
  ): Promise<Cluster> {
    await ensurePackages(["nginx"]);
    // nginx's workers have another user.
    await Deno.chmod(folder, 0o755);
    await using stack = new AsyncDisposableStack();
    const brokers = stack.use(
      kind === "one"
        ? new BrokerCluster([await startBroker(chosen)])
        : await startCluster(chosen),
    );
    const { members } = brokers;
    const nodes: Node[] = [];
    for (let i = 1; i <= nodeCount; i++) {
      const name = `node${i}`;
      await brokers.running.addUser(name, {
        password: "secret",
        permissions: { configure: ".*", write: ".*", read: ".*" },
      });
      // Each begins with another one.
      const first = members[i % members.length]!;
      const network = stack.use(
        await BrokerWays.start([first, ...brokers.others(first)]),
      );
      const home = `${folder}/${name}`;
      await Deno.mkdir(home);
      await Deno.chmod(home, 0o755);
      const disk = await SmallDisk.mount(home);
      if (typeof disk !== "string") {
        stack.defer(async () => {
          // What is in memory is kept.
          await using _disk = disk;
          await Deno.mkdir(`${folder}/logs`, { recursive: true });
          await Deno.copyFile(
            `${home}/staps.log`,
            `${folder}/logs/${name}.log`,
          ).catch(() => {});
        });
      }
      nodes.push(stack.use(new Node({ name, folder: home, network, disk })));
    }
    const nginx = `${folder}/nginx`;
    await Deno.mkdir(nginx);
    await Deno.chmod(nginx, 0o755);
    const frontend = stack.use(new Frontend(nginx));
    await frontend.configure(nodes.map(({ socket }) => socket));
    await frontend.start();
    return new Cluster({
      brokers,
      kind,
      nodes,
      frontend,
      clientNetwork: stack.use(await FaultyProxy.start(frontend.port)),
      resources: stack.move(),
    });
  }

  /** Starts the nodes, and resolves when all are ready. {@linkcode leftovers} ends them, for another run. */
  async startNodes(settings: NodeSettings = {}): Promise<void> {
    const { bridge = "" } = settings;
    const queueType = this.kind === "one" ? "" : `queue_type = ${this.kind}\n`;
    for (const node of this.nodes) {
      await node.configure({ ...settings, bridge: queueType + bridge });
    }
    await Promise.all(this.nodes.map((node) => node.start()));
    for (const node of this.nodes) {
      this.#idle.set(node, await node.holdings());
    }
  }

  /** A broker that runs, to ask for what all of them know. */
  get broker(): Broker {
    return this.brokers.running;
  }

  /** Gets the nodes that are connected to `broker`. */
  async nodesOn(broker: Broker): Promise<Node[]> {
    const nodes = await Promise.all(this.nodes.map(async (node) => {
      const { bridge } = await node.status();
      return node.network.leadsTo(broker, bridge?.broker) ? [node] : [];
    }));
    return nodes.flat();
  }

  /** The ways to all nodes through the frontend. */
  get frontendDoors(): Door[] {
    const node = (headers: Headers): number | undefined => {
      const address = headers.get(nodeHeader);
      const index = this.nodes.findIndex(({ socket }) =>
        address === `unix:${socket}`
      );
      return index < 0 ? undefined : index;
    };
    const { frontend: { port }, clientNetwork } = this;
    return [
      { name: "nginx", target: { port }, node, weight: 2 },
      {
        name: "nginx, through a network of its own",
        target: { port: clientNetwork.port },
        node,
      },
    ];
  }

  /** The ways straight to each node. */
  get nodeDoors(): Door[] {
    return this.nodes.map(({ name, socket }, node) => ({
      ...{ name, target: { socket }, node },
    }));
  }

  /** Resolves when every node does its work. */
  async ready(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.ready()));
  }

  /**
   * Ends the nodes, and gets what was left behind by clients that have all
   * gone, and by the nodes.
   */
  async leftovers(): Promise<string[]> {
    const problems: string[] = [];
    const expect = async (
      look: () => Promise<boolean>,
      what: () => string | Promise<string>,
      timeoutMs = 30_000,
    ): Promise<void> => {
      let trouble = "";
      try {
        // A question that a busy broker doesn't answer is asked again.
        const tryToLook = (): Promise<boolean> =>
          look().catch((error) => {
            trouble = `, ${(error as Error).message}`;
            return false;
          });
        await eventually(tryToLook, async () => await what() + trouble, {
          timeoutMs,
        });
      } catch (error) {
        problems.push((error as Error).message);
      }
    };
    for (const node of this.nodes) await this.#checkNode(node, expect);
    await this.#checkBroker(expect);
    for (const node of this.nodes) {
      const code = await node.stop();
      if (code !== 0) problems.push(`${node.name} ended with ${code}`);
      const left = Array.from(Deno.readDirSync(node.folder), ({ name }) => name)
        .filter((name) => name !== "staps.conf" && name !== "staps.log");
      // Deno's own cache isn't ours.
      const files = left.filter((name) => !name.startsWith("."));
      if (files.length > 0) {
        problems.push(`${node.name} left ${files.join(", ")}`);
      }
      const { stdout } = await runProgram("grep", [
        ...["-E", "-i", "-m", "3"],
        `uncaught|unhandled|a bug|^ +at |${secretPath}`,
        node.logFile,
      ]);
      if (stdout !== "") problems.push(`${node.name} logged ${stdout.trim()}`);
    }
    let queues: string[] = [];
    await expect(
      async () => (queues = await this.queues()).length === 0,
      () => `the end of the queues ${queues.join(", ")}`,
      queueExpiresS * 1000 + 30_000,
    );
    return problems;
  }

  /** Gets the names of all queues on the broker. */
  async queues(): Promise<string[]> {
    const text = await this.broker.eval(
      `[binary_to_list(element(4, amqqueue:get_name(Q))) || ` +
        `Q <- rabbit_amqqueue:list(<<"/">>)]`,
    );
    return [...text.matchAll(/staps\.node\.[0-9a-f.]+/g)].map(([name]) => name);
  }

  /** Deletes the queue of `node` as an administrator might by mistake, and gets whether there was one. */
  async deleteQueue({ user }: Node): Promise<boolean> {
    const text = await this.broker.eval(
      `length([rabbit_amqqueue:delete(Q, false, false, <<"by hand">>) || ` +
        `Q <- rabbit_amqqueue:list(<<"/">>), ` +
        `maps:get(user, amqqueue:get_options(Q), none) =:= <<"${user}">>, ` +
        // Asked where it is led, which `info` isn't.
        `element(3, rabbit_amqqueue:stat(Q)) > 0])`,
    );
    return Number(text) > 0;
  }

  /** Copies what isn't in the run's folder yet; ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async #checkNode(node: Node, expect: Expect): Promise<void> {
    const idle = this.#idle.get(node)!;
    let status = await node.status();
    await expect(
      async () => {
        status = await node.status();
        return status.clients === 0 && status.channels === 0 &&
          status.buffered_bytes === 0;
      },
      () =>
        `nothing of clients on ${node.name}: ${status.clients} clients, ` +
        `${status.channels} channels, ${status.buffered_bytes} buffered bytes`,
    );
    let now = await node.holdings();
    await expect(
      async () => {
        now = await node.holdings();
        return now.descriptors <= idle.descriptors + extraDescriptors &&
          now.sockets <= idle.sockets + extraDescriptors;
      },
      () =>
        `${node.name} to close what it opened: ${now.descriptors} descriptors ` +
        `(${now.sockets} sockets), expected ${idle.descriptors} (${idle.sockets})`,
    );
    const warm = node.warm ?? idle;
    await expect(
      async () => {
        now = await node.holdings();
        return now.residentBytes <= warm.residentBytes + extraBytes;
      },
      () =>
        `${node.name} to give memory back: ${mib(now.residentBytes)}, ` +
        `after its warm-up ${mib(warm.residentBytes)}`,
    );
  }

  /** Nodes that were killed leave queues, which expire; clients that left leave no bindings. */
  async #checkBroker(expect: Expect): Promise<void> {
    let bindings = "";
    await expect(
      async () => {
        // A binding's key is its third field; queues have one to themselves each from the start.
        bindings = await this.broker.eval(
          `lists:usort([binary_to_list(element(3, B)) || ` +
            `B <- rabbit_binding:list(<<"/">>), ` +
            `element(4, element(2, B)) =/= <<>>])`,
        );
        const keys = [...bindings.matchAll(/"([^"]*)"/g)].map(([, key]) =>
          key!
        );
        return keys.every((key) => key === "all" || key.startsWith("node."));
      },
      () => `the end of the channels' bindings: ${bindings.slice(0, 500)}`,
      queueExpiresS * 1000 + 30_000,
    );
    let queues: string[] = [];
    await expect(
      async () => (queues = await this.queues()).length === nodeCount,
      () => `one queue for each node, got ${queues.join(", ")}`,
      queueExpiresS * 1000 + 30_000,
    );
  }
}

function withDefaults(settings: NodeSettings): Required<NodeSettings> {
  const limits = "slow_after_s = 5";
  return { onOutage: "refuse", bridge: "", limits, ...settings };
}

type Expect = (
  look: () => Promise<boolean>,
  what: () => string | Promise<string>,
  timeoutMs?: number,
) => Promise<void>;

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`;
}
