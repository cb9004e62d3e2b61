/**
 * staps and what people would use instead, each set up as its users would for
 * the same job: what one client of a channel sends, all others get.
 */
import { join } from "node:path";
import { permissions } from "../scripts/permissions.ts";
import { runtimeEnvironment } from "../scripts/runtime_environment.ts";
import { npmPeer } from "./install.ts";
import type { Address } from "./load/libc.ts";
import { nchan, proxy } from "./nginx.ts";
import { olderStaps, type StapsVersion } from "./older.ts";

/** What can be measured. */
export interface Peer {
  /** The publisher gets its own messages too, and can't choose. */
  readonly echo?: boolean;
  /** Gets what to start, in this order, with all files in `folder`; clients connect to the last one. */
  programs(folder: string): Promise<Program[]>;
}

/** One of a peer's programs. */
export interface Program {
  readonly command: string[];
  readonly address: Address;
}

/** Gets the command that starts a server on `socket`. */
type Server = (socket: string) => string[] | Promise<string[]>;

/** Limits out of the way of the largest workload. */
const stapsConfig = `[limits]
clients = 50000
channels = 50000
channel_clients = 50000
`;

const thisStaps: StapsVersion = {
  folder: new URL("..", import.meta.url).pathname,
  deno: Deno.execPath(),
  environment: runtimeEnvironment,
  flags: permissions,
};

/** Gets the command of a version of staps, with what its `deno task start` gives the runtime. */
async function start(version: StapsVersion, socket: string): Promise<string[]> {
  const config = `${socket}.conf`;
  await Deno.writeTextFile(config, stapsConfig);
  return [
    "env",
    ...Object.entries(version.environment).map((pair) => pair.join("=")),
    ...[version.deno, "run", ...version.flags],
    ...[join(version.folder, "main.ts"), "serve"],
    ...["--config", config, "--socket", socket],
  ];
}

const staps: Server = (socket) => start(thisStaps, socket);
const stapsBefore: Server = (socket) => start(olderStaps!, socket);
const relay: Server = (socket) => [
  ...[Deno.execPath(), "run", "--allow-all"],
  ...[new URL("../tools/relay.ts", import.meta.url).pathname, socket],
];
const ws: Server = async (socket) => [...await npmPeer("ws"), socket];
const bun: Server = async (socket) => [...await npmPeer("bun"), socket];

/** A peer that is one process on a unix domain socket. */
function direct(server: Server): Peer {
  return {
    programs: async (folder) => {
      const socket = join(folder, "s");
      return [{ command: await server(socket), address: { unix: socket } }];
    },
  };
}

/** A peer of one process or more with nginx in front. */
function behindNginx(server: Server, processes = 1): Peer {
  return {
    programs: async (folder) => {
      const sockets = Array.from(
        { length: processes },
        (_, i) => join(folder, `s${i}`),
      );
      const servers = sockets.map(async (socket) => ({
        command: await server(socket),
        address: { unix: socket },
      }));
      return [...await Promise.all(servers), await proxy(folder, sockets)];
    },
  };
}

/** nchan, which is part of an nginx. */
function nchanOver(transport: "unix" | "TCP"): Peer {
  return {
    echo: true,
    programs: async (folder) => [await nchan(folder, transport)],
  };
}

const table = {
  staps: direct(staps),
  "staps-before": direct(stapsBefore),
  relay: direct(relay),
  ws: direct(ws),
  bun: direct(bun),
  nchan: nchanOver("unix"),
  "staps-nginx": behindNginx(staps),
  "staps-nginx-2": behindNginx(staps, 2),
  "relay-nginx": behindNginx(relay),
  "ws-nginx": behindNginx(ws),
  "bun-nginx": behindNginx(bun),
  "nchan-tcp": nchanOver("TCP"),
};

/** The names of the peers. */
export type PeerName = keyof typeof table;

/** The peers. */
export const peers: Record<PeerName, Peer> = table;
