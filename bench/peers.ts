/**
 * staps and what people would use instead, each set up as its users would for
 * the same job: what one client of a channel sends, all others get.
 */
import { join } from "node:path";
import { type Generator, withManyDescriptors } from "./generator.ts";
import { bunPath, cacheFolder, ensureNpmPackages } from "./install.ts";
import { ensurePackages } from "../tests/helpers/packages.ts";
import type { Address } from "./load/libc.ts";
import type { ProtocolName } from "./load/protocols.ts";
import { permissions } from "../scripts/permissions.ts";
import { olderStaps, type StapsVersion } from "./older.ts";
import { runtimeEnvironment } from "../scripts/runtime_environment.ts";
import { processTree } from "./processes.ts";

/** A server that runs. */
export interface RunningPeer extends AsyncDisposable {
  /** Where clients connect, in turn. */
  addresses: Address[];
  /** Gets all its processes, frontend and broker included. */
  pids(): number[];
  /** Milliseconds from its start to the first handshake that succeeded. */
  startUpMs: number;
}

/** What can be measured. */
export interface Peer {
  /** What it is, for the table. */
  title: string;
  protocol: ProtocolName;
  /** The publisher gets its own messages too, and can't choose. */
  echo?: boolean;
  /** How clients reach it. */
  transport: "unix" | "TCP";
  start(context: PeerContext): Promise<RunningPeer>;
}

/** What a peer needs to start. */
export interface PeerContext {
  generator: Generator;
  /** A new folder for its socket and other files. */
  folder: string;
}

/** A process with everything below it. */
class Server implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #startedAt = performance.timeOrigin + performance.now();
  readonly #stopSignal: Deno.Signal;

  constructor(
    command: string[],
    options: {
      folder: string;
      env?: Record<string, string>;
      stopSignal?: Deno.Signal;
    },
  ) {
    const [program, ...args] = withManyDescriptors(command);
    this.#stopSignal = options.stopSignal ?? "SIGTERM";
    const log = join(options.folder, "log");
    // Logs go to a file, as they would to the journal: never to a pipe that we would have to read.
    const quiet = [
      "sh",
      "-c",
      `exec "$@" >>'${log}' 2>&1`,
      "sh",
      program!,
      ...args,
    ];
    this.#process = new Deno.Command(quiet[0]!, {
      args: quiet.slice(1),
      env: options.env ?? {},
      stdin: "null",
      cwd: options.folder,
    }).spawn();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Gets the time from start to the first handshake. */
  async ready(
    generator: Generator,
    at: { address: Address; protocol: ProtocolName },
  ): Promise<number> {
    const answer = await generator.tell("await", at);
    return answer.at - this.#startedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pids = processTree(this.pid);
    this.#process.kill(this.#stopSignal);
    // What was measured doesn't matter any more: nobody gets time to say goodbye.
    const timer = setTimeout(() => {
      for (const pid of pids) {
        try {
          Deno.kill(pid, "SIGKILL");
        } catch {
          // Gone already.
        }
      }
    }, 3000);
    await this.#process.status;
    clearTimeout(timer);
  }
}

/** Starts one of the peers from npm. */
function fromNpm(start: Peer["start"]): Peer["start"] {
  return async (context) => {
    await ensureNpmPackages();
    return start(context);
  };
}

/** Starts a peer that is one process on a unix domain socket. */
function onSocket(
  protocol: ProtocolName,
  command: (socket: string, folder: string) => string[],
): Peer["start"] {
  return ({ generator, folder }) => {
    const socket = join(folder, "s");
    const server = new Server(command(socket, folder), { folder });
    return running([server], {
      addresses: [{ unix: socket }],
      protocol,
      generator,
    });
  };
}

/** Gets a running peer out of its processes; they are ready when the last one answers. */
async function running(
  servers: Server[],
  options: {
    addresses: Address[];
    protocol: ProtocolName;
    generator: Generator;
  },
): Promise<RunningPeer> {
  const { addresses, protocol, generator } = options;
  const stop = async (): Promise<void> => {
    for (const server of servers.toReversed()) {
      await server[Symbol.asyncDispose]();
    }
  };
  try {
    let startUpMs = 0;
    for (const address of addresses) {
      startUpMs = await servers.at(-1)!.ready(generator, { address, protocol });
    }
    const pids = (): number[] => servers.flatMap(({ pid }) => processTree(pid));
    return { addresses, startUpMs, pids, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Limits out of the way of the largest workload. */
const stapsConfig = `[limits]
clients = 50000
channels = 50000
channel_clients = 50000
`;

/** This version of staps. */
const thisStaps: StapsVersion = {
  folder: new URL("..", import.meta.url).pathname,
  deno: Deno.execPath(),
  environment: runtimeEnvironment,
  flags: permissions,
};

/** Gets the command that starts staps on `socket`. */
function stapsCommand(
  socket: string,
  folder: string,
  options: { config?: string; extra?: string[]; version?: StapsVersion } = {},
): string[] {
  const { version = thisStaps, extra = [] } = options;
  const config = join(folder, "staps.conf");
  Deno.writeTextFileSync(config, options.config ?? stapsConfig);
  return [
    ...stapsRuntime(version),
    ...[version.deno, "run", ...version.flags],
    ...[join(version.folder, "main.ts"), "serve"],
    ...["--config", config, "--socket", socket],
    ...extra,
  ];
}

/** Gets what `deno task start` and the packages put in front of the runtime. */
function stapsRuntime({ environment } = thisStaps): string[] {
  return [
    "env",
    ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
  ];
}

/** Gets the command that starts the 20-line relay on `socket`. */
function relayCommand(socket: string): string[] {
  return [
    Deno.execPath(),
    "run",
    "--allow-all",
    ownScript("relay.ts"),
    socket,
  ];
}

/** Gets the path of a script in `peers/`. */
function ownScript(name: string): string {
  return new URL(`peers/${name}`, import.meta.url).pathname;
}

const script = (name: string): string => join(cacheFolder(), name);
const wsCommand = (
  socket: string,
): string[] => ["node", script("ws.mjs"), socket];
const bunCommand = (
  socket: string,
): string[] => [bunPath(), script("bun.mjs"), socket];
/** The part of an nginx configuration that is the same for all; run in the foreground, with nothing of the system's. */
function nginxConfig(
  body: string,
  options: { folder: string; modules?: string },
): string {
  return `${options.modules ?? ""}
daemon off;
${Deno.uid() === 0 ? "user root;" : ""}
# With more of them, how the kernel spreads connections over them changes the
# cost from run to run.
worker_processes 1;
worker_rlimit_nofile 65536;
pid ${options.folder}/nginx.pid;
error_log ${options.folder}/error.log;
events { worker_connections 32768; }
http {
  access_log off;
  client_body_temp_path ${options.folder}/body;
  proxy_temp_path ${options.folder}/proxy;
  fastcgi_temp_path ${options.folder}/fastcgi;
  uwsgi_temp_path ${options.folder}/uwsgi;
  scgi_temp_path ${options.folder}/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
${body}
}
`;
}

/** Starts nginx and gets it with its port. */
async function startNginx(
  body: (port: number) => string,
  options: { folder: string; modules?: string },
): Promise<{ server: Server; port: number }> {
  await ensurePackages([
    "nginx",
    ...options.modules ? ["libnginx-mod-nchan" as const] : [],
  ]);
  const port = freePort();
  const file = join(options.folder, "nginx.conf");
  await Deno.writeTextFile(file, nginxConfig(body(port), options));
  const command = ["/usr/sbin/nginx", "-p", options.folder, "-c", file];
  return { server: new Server(command, { folder: options.folder }), port };
}

/** Gets a port that nobody listens on at the moment. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Gets the start of one or more servers behind an nginx. */
function behindNginx(
  protocol: ProtocolName,
  options: {
    command: (socket: string, folder: string) => string[];
    processes?: number;
    path?: string;
  },
): Peer["start"] {
  return async ({ generator, folder }) => {
    await using stack = new AsyncDisposableStack();
    const servers: Server[] = [];
    const sockets: string[] = [];
    for (let i = 0; i < (options.processes ?? 1); i++) {
      const own = join(folder, `${i}`);
      await Deno.mkdir(own);
      const socket = join(own, "s");
      const server = stack.use(
        new Server(options.command(socket, own), { folder: own }),
      );
      await server.ready(generator, { address: { unix: socket }, protocol });
      servers.push(server);
      sockets.push(socket);
    }
    const { server: nginx, port } = await startNginx(
      (port) => `
  upstream staps {
    ${sockets.length > 1 ? "hash $uri consistent;" : ""}
    ${sockets.map((socket) => `server unix:${socket};`).join(" ")}
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://staps;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
    }
  }`,
      { folder },
    );
    stack.use(nginx);
    const peer = await running([...servers, nginx], {
      addresses: [{ port }],
      protocol,
      generator,
    });
    stack.move();
    return peer;
  };
}

/** Starts nginx with nchan in it. */
function nchan(
  listen: (folder: string, port: number) => { text: string; address: Address },
): Peer["start"] {
  return async ({ generator, folder }) => {
    let address: Address | undefined;
    const { server } = await startNginx((port) => {
      const at = listen(folder, port);
      address = at.address;
      // Nothing for later: a newcomer gets what is published from now on. The
      // buffer is what a reader that falls behind a little can catch up with.
      return `
  nchan_shared_memory_size 512M;
  server {
    listen ${at.text} backlog=4096;
    location ~ ^/([-0-9a-f]+)$ {
      nchan_pubsub websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_message_buffer_length 100;
      nchan_message_timeout 10s;
    }
  }`;
    }, {
      folder,
      modules: "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;",
    });
    return running([server], {
      addresses: [address!],
      protocol: "raw",
      generator,
    });
  };
}

/** The names of the peers. */
export type PeerName = keyof typeof table;

const table = {
  staps: {
    title: "staps",
    protocol: "raw",
    transport: "unix",
    start: onSocket("raw", stapsCommand),
  },
  "staps-before": {
    title: "staps before",
    protocol: "raw",
    transport: "unix",
    start: onSocket(
      "raw",
      (socket, folder) =>
        stapsCommand(socket, folder, { version: olderStaps() }),
    ),
  },
  relay: {
    title: "20 lines of `Deno.serve`",
    protocol: "raw",
    transport: "unix",
    start: onSocket("raw", relayCommand),
  },
  ws: {
    title: "Node `ws`",
    protocol: "raw",
    transport: "unix",
    start: fromNpm(onSocket("raw", wsCommand)),
  },
  bun: {
    title: "Bun (uWebSockets)",
    protocol: "raw",
    transport: "unix",
    start: fromNpm(onSocket("raw", bunCommand)),
  },
  nchan: {
    title: "nchan in nginx",
    protocol: "raw",
    echo: true,
    transport: "unix",
    start: nchan((folder) => ({
      text: `unix:${folder}/s`,
      address: { unix: `${folder}/s` },
    })),
  },
  "staps-nginx": {
    title: "staps behind nginx",
    protocol: "raw",
    transport: "TCP",
    start: behindNginx("raw", { command: stapsCommand }),
  },
  "staps-nginx-2": {
    title: "two staps behind nginx",
    protocol: "raw",
    transport: "TCP",
    start: behindNginx("raw", { command: stapsCommand, processes: 2 }),
  },
  "relay-nginx": {
    title: "20 lines of `Deno.serve` behind nginx",
    protocol: "raw",
    transport: "TCP",
    start: behindNginx("raw", { command: relayCommand }),
  },
  "ws-nginx": {
    title: "Node `ws` behind nginx",
    protocol: "raw",
    transport: "TCP",
    start: fromNpm(behindNginx("raw", { command: wsCommand })),
  },
  "bun-nginx": {
    title: "Bun behind nginx",
    protocol: "raw",
    transport: "TCP",
    start: fromNpm(behindNginx("raw", { command: bunCommand })),
  },
  "nchan-tcp": {
    title: "nchan in nginx",
    protocol: "raw",
    echo: true,
    transport: "TCP",
    start: nchan((_folder, port) => ({
      text: `127.0.0.1:${port}`,
      address: { port },
    })),
  },
} satisfies Record<string, Peer>;

/** The peers. */
export const peers: Record<PeerName, Peer> = table;
