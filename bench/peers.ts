/**
 * staps and what people would use instead, each set up as its users would for
 * the same job: what one client of a channel sends, all others get.
 */
import { join } from "node:path";
import { permissions } from "../scripts/permissions.ts";
import { runtimeEnvironment } from "../scripts/runtime_environment.ts";
import type { Generator } from "./generator.ts";
import { bunPath, cacheFolder, ensureNpmPackages } from "./install.ts";
import { startBehindNginx, startNchan } from "./nginx.ts";
import { olderStaps, type StapsVersion } from "./older.ts";
import { running, type RunningPeer, Server } from "./server.ts";

/** What can be measured. */
export interface Peer {
  /** What it is, for the table. */
  title: string;
  /** The publisher gets its own messages too, and can't choose. */
  echo?: boolean;
  start(context: PeerContext): Promise<RunningPeer>;
}

/** What a peer needs to start. */
export interface PeerContext {
  generator: Generator;
  /** A new folder for its socket and other files. */
  folder: string;
}

/** Gets the command that starts a server on `socket`, with files of its own in `folder`. */
type Command = (socket: string, folder: string) => string[];

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

/** Gets the command of a version of staps, with what its `deno task start` gives the runtime. */
function stapsOf(version: StapsVersion): Command {
  return (socket, folder) => {
    const config = join(folder, "staps.conf");
    Deno.writeTextFileSync(config, stapsConfig);
    return [
      "env",
      ...Object.entries(version.environment)
        .map(([name, value]) => `${name}=${value}`),
      ...[version.deno, "run", ...version.flags],
      ...[join(version.folder, "main.ts"), "serve"],
      ...["--config", config, "--socket", socket],
    ];
  };
}

const staps = stapsOf(thisStaps);
const stapsBefore: Command = (...args) => stapsOf(olderStaps())(...args);
const relay: Command = (socket) => {
  const script = new URL("../tools/relay.ts", import.meta.url).pathname;
  return [Deno.execPath(), "run", "--allow-all", script, socket];
};
const ws: Command = (socket) => ["node", join(cacheFolder(), "ws.mjs"), socket];
const bun: Command = (socket) => [
  bunPath(),
  join(cacheFolder(), "bun.mjs"),
  socket,
];

/** Starts a peer that is one process on a unix domain socket. */
function onSocket(command: Command): Peer["start"] {
  return ({ generator, folder }) => {
    const socket = join(folder, "s");
    const server = new Server(command(socket, folder), folder);
    return running([server], { address: { unix: socket }, generator });
  };
}

/** Starts a peer with nginx in front of it. */
function behindNginx(command: Command, processes = 1): Peer["start"] {
  return (context) => startBehindNginx(context, { command, processes });
}

/** Starts one of the peers from npm. */
function fromNpm(start: Peer["start"]): Peer["start"] {
  return async (context) => {
    await ensureNpmPackages();
    return start(context);
  };
}

/** The names of the peers. */
export type PeerName = keyof typeof table;

const table = {
  staps: { title: "staps", start: onSocket(staps) },
  "staps-before": { title: "staps before", start: onSocket(stapsBefore) },
  relay: { title: "20 lines of `Deno.serve`", start: onSocket(relay) },
  ws: { title: "Node `ws`", start: fromNpm(onSocket(ws)) },
  bun: { title: "Bun", start: fromNpm(onSocket(bun)) },
  nchan: {
    title: "nchan",
    echo: true,
    start: (context) => startNchan(context, "unix"),
  },
  "staps-nginx": { title: "staps behind nginx", start: behindNginx(staps) },
  "staps-nginx-2": {
    title: "two staps behind nginx",
    start: behindNginx(staps, 2),
  },
  "relay-nginx": {
    title: "20 lines of `Deno.serve` behind nginx",
    start: behindNginx(relay),
  },
  "ws-nginx": {
    title: "Node `ws` behind nginx",
    start: fromNpm(behindNginx(ws)),
  },
  "bun-nginx": { title: "Bun behind nginx", start: fromNpm(behindNginx(bun)) },
  "nchan-tcp": {
    title: "nchan over TCP",
    echo: true,
    start: (context) => startNchan(context, "TCP"),
  },
} satisfies Record<string, Peer>;

/** The peers. */
export const peers: Record<PeerName, Peer> = table;
