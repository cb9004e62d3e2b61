/** A node: starts its parts in order, and stops them. */
import { resolve } from "node:path";
import { Admin, type AdminOptions } from "./admin/server.ts";
import { processFiles } from "./admin/process_figures.ts";
import { AdminError, StartupError } from "./common/errors.ts";
import { configureLog, log } from "./common/log.ts";
import { version } from "./common/version.ts";
import {
  type Bridge,
  brokerProblem,
  hasHealth,
  NoBridge,
} from "./relay/bridge.ts";
import type { Listener } from "./listener/http.ts";
import * as runtimeListener from "./listener/runtime.ts";
import * as ownListener from "./listener/serve.ts";
import { type Listen, Server } from "./relay/server.ts";
import {
  type Config,
  configFiles,
  type ConfigOptions,
  loadConfig,
  type LoadedConfig,
  settingVariables,
  valueFiles,
} from "./settings/config.ts";
import { exposedPasswordFile } from "./settings/exposure.ts";
import { brokerHosts } from "./settings/amqp_url.ts";
import { reload } from "./settings/reload.ts";
import { Daemon } from "./system/daemon.ts";
import { clientsFor, fdLimit, refusedFor } from "./system/open_files.ts";
import { type Loss, Outside } from "./system/outside.ts";
import { keepOnly, type Kept } from "./system/permissions.ts";
import { endOnBug, hangUps, nextStopSignal } from "./system/signals.ts";
import { SocketFile } from "./system/socket_file.ts";
import { ServiceManager } from "./system/systemd.ts";
import { bindUnixSocket, type Owner } from "./system/unix_socket.ts";

/** How long the bridge's first message to itself may take, in milliseconds, before its absence is told. */
const firstMessageMs = 5_000;

/** By their names in `[staps] listener`. */
export const listenerNamed: Readonly<Record<"own" | "runtime", Listener>> = {
  own: ownListener,
  runtime: runtimeListener,
};

/** A TCP address. */
export interface TcpAddress {
  readonly hostname: string;
  /** `0`: any free one. */
  readonly port: number;
}

/** What {@linkcode serve} takes. Paths are as on a command line: relative ones to the working folder. */
export interface NodeOptions
  extends Pick<ConfigOptions, "instanceFile" | "socket" | "adminSocket"> {
  /** The configuration file; otherwise those in the usual places. */
  readonly config?: string | undefined;
  /** A TCP address to listen on beside the socket, for development. */
  readonly listen?: TcpAddress | undefined;
  /** Called when clients are accepted. */
  readonly onListening?: (server: Server) => void;
}

/**
 * Runs a node until it gets SIGTERM or SIGINT.
 *
 * A second signal ends the process at once.
 *
 * @throws {AdminError} If it can't start.
 */
export async function serve(options: NodeOptions): Promise<void> {
  const environment = Deno.env.toObject();
  using manager = ServiceManager.connect(environment);
  try {
    await runNode(options, {
      manager,
      // The working folder is what [daemon] may change.
      configOptions: {
        configFile: options.config && resolve(options.config),
        instanceFile: options.instanceFile,
        socket: options.socket && resolve(options.socket),
        adminSocket: options.adminSocket && resolve(options.adminSocket),
        environment,
      },
    });
  } catch (error) {
    if (error instanceof AdminError) await manager.failed(error.message);
    throw error;
  }
}

async function runNode(
  { listen, onListening }: NodeOptions,
  { manager, configOptions }: {
    manager: ServiceManager;
    configOptions: ConfigOptions;
  },
): Promise<void> {
  const onHangUp = hangUps();
  const loaded = loadConfig(configOptions);
  const { config, sources } = loaded;
  configureLog(config.log);
  const stopSignal = nextStopSignal();
  endOnBug();

  log.info("starting", {
    version,
    config: sources.join(", ") || "defaults",
    environment: settingVariables(loaded).join(", ") || undefined,
  });
  for (const { name, near } of loaded.unknownVariables) {
    log.warn("nothing reads this environment variable", {
      variable: name,
      did_you_mean: near,
    });
  }
  if (manager.problem !== undefined) log.warn(manager.problem);
  warnOfExposure(loaded);
  using daemon = Daemon.prepare(config.daemon, {
    hasServiceManager: manager.isPresent,
  });
  const bridge = await makeBridge(config);
  const maxFiles = fdLimit() ?? Infinity;
  const maxClients = clientsFor(maxFiles);
  if (maxClients < config.limits.clients) {
    log.warn("the limit of open files leaves room for fewer clients", {
      clients: maxClients,
      configured: config.limits.clients,
    });
  }
  const listener = listenerNamed[config.staps.listener];
  const { socket, mode } = config.staps;
  const starting = Server.start({
    listen: listeners(listener, {
      ...{ socket, mode, tcp: listen },
      owner: daemon.owner,
    }),
    upgradeWebSocket: listener.upgradeWebSocket,
    limits: config.limits,
    http: config.http,
    maxClients,
    maxRefused: refusedFor(maxFiles),
    bridge,
  });
  // Brokers that don't answer may keep it for long.
  const early = await Promise.race([starting.then(() => {}), stopSignal]);
  if (early !== undefined) {
    log.info("stopping", { signal: early });
    // Makes the start fail, unless it is past the brokers.
    await bridge.close();
    const server = await starting.catch(() => undefined);
    await server?.stop();
    log.info("stopped");
    return;
  }
  await using server = await starting;
  const abandoned = Promise.withResolvers<StartupError>();
  using outside = new Outside((losses) => {
    // Nobody is here, and nobody can come: a start makes the socket again.
    const loss = losses.find(({ role, isFinal }) =>
      role === "socket" && isFinal
    );
    if (!loss || !manager.isPresent || server.clientCount > 0) return;
    abandoned.resolve(new StartupError(loss.message));
  });
  using socketFile = new SocketFile("socket", socket);
  await using admin = await startAdmin({
    ...config.admin,
    owner: daemon.owner,
    server,
    bridge,
    outside,
    socketFile,
  });
  using adminFile = admin && new SocketFile("admin_socket", admin.socket);
  for (const file of [socketFile, adminFile, daemon.pidFile]) {
    if (file !== undefined) outside.add(file);
  }
  daemon.settle();
  await giveUpPermissions({
    read: [
      ...configFiles(configOptions),
      ...valueFiles(loaded),
      ...outside.paths,
      ...admin === undefined ? [] : processFiles,
    ],
    write: outside.paths,
    net: config.staps.amqp !== undefined,
  });

  let notice: string | undefined;
  const listeningMs = performance.now();
  const status = (): string =>
    statusText({
      server,
      bridge,
      losses: outside.losses,
      notice,
      isNew: performance.now() - listeningMs < firstMessageMs,
    });
  for (const address of server.addresses) {
    log.info(`listening on ${addressText(address)}`);
  }
  await manager.ready(status());
  manager.watch(status);
  onHangUp(async () => {
    await manager.reloading();
    notice = reload({
      running: config,
      load: () => {
        const again = loadConfig({ ...configOptions, readBefore: sources });
        warnOfExposure(again);
        return again.config;
      },
      changed: () => configureLog(config.log),
    });
    await manager.ready(status());
  });
  onListening?.(server);

  const end = await Promise.race([
    stopSignal,
    server.failure,
    abandoned.promise,
  ]);
  if (typeof end === "string") log.info("stopping", { signal: end });
  else log.error("stopping", { reason: end.message });
  await manager.stopping((config.limits.shutdownTimeoutS + 5) * 1000);
  outside[Symbol.dispose]();
  await server.stop();
  log.info("stopped");
  if (typeof end !== "string") throw end;
}

/** Warns of a password that isn't secret. */
function warnOfExposure(loaded: LoadedConfig): void {
  const file = exposedPasswordFile(loaded);
  if (file === undefined) return;
  log.warn("every user of this machine can read the broker's password", {
    file,
  });
}

/** What {@linkcode listeners} needs. */
export interface ListenersOptions {
  /** The path of the unix socket. */
  readonly socket: string;
  /** The socket's permissions. */
  readonly mode: number;
  /** Whom the socket is to belong to, if not to this process's user and group. */
  readonly owner?: Owner | undefined;
  /** A TCP address beside it. */
  readonly tcp?: TcpAddress | undefined;
}

/** Gets where a node listens, for {@linkcode Server.start}: the unix socket, then the TCP address if there is one. */
export function listeners(
  { serve }: Listener,
  { socket, mode, owner, tcp }: ListenersOptions,
): Listen[] {
  const all: Listen[] = [
    (options, handler) =>
      bindUnixSocket(socket, {
        mode,
        owner,
        bind: () => serve({ ...options, address: { path: socket } }, handler),
      }),
  ];
  if (tcp !== undefined) {
    all.push((options, handler) => {
      try {
        return serve({ ...options, address: tcp }, handler);
      } catch (error) {
        throw new StartupError(
          `Cannot listen on ${tcp.hostname}:${tcp.port}: ${
            (error as Error).message
          }`,
          { cause: error },
        );
      }
    });
  }
  return all;
}

/** Gets the bridge to other nodes, if there are to be any. Only those pay for loading it. */
async function makeBridge({ staps, bridge }: Config): Promise<Bridge> {
  if (staps.amqp === undefined) return new NoBridge();
  const { AmqpBridge } = await import("./amqp/bridge.ts");
  return new AmqpBridge({
    amqp: staps.amqp,
    ...bridge,
    hosts: brokerHosts(staps.amqp, bridge.hosts),
  });
}

/**
 * Starts the admin socket's server, if there is to be one. It ends after that
 * of the clients, and says until then that staps is stopping.
 */
async function startAdmin(
  { socket, ...options }: Omit<AdminOptions, "socket"> & Config["admin"],
): Promise<Admin | undefined> {
  if (socket === undefined) return undefined;
  const admin = await Admin.start({ socket, ...options });
  log.info(`admin socket on ${socket}`);
  return admin;
}

async function giveUpPermissions(kept: Kept): Promise<void> {
  const wide = await keepOnly(kept);
  if (wide.length === 0) return;
  log.debug("permissions are wider than needed", {
    permissions: wide.join(", "),
  });
}

/** What {@linkcode statusText} is made from. */
export interface StatusTextOptions {
  readonly server: Server;
  readonly bridge: Bridge;
  /** Files that the node doesn't find any more. */
  readonly losses: readonly Loss[];
  /** What the last reload said. */
  readonly notice: string | undefined;
  /** Whether the broker may not have had the time to return a message. */
  readonly isNew: boolean;
}

/** Gets what `systemctl status` says of the node: one line. */
export function statusText(
  { server, bridge, losses, notice, isNew }: StatusTextOptions,
): string {
  const parts = [
    `${server.channels.size} channels, ${server.clientCount} clients`,
  ];
  for (const { message } of losses) parts.push(message);
  const problem = hasHealth(bridge) ? brokerProblem(bridge.state()) : undefined;
  if (problem !== undefined && !(isNew && problem.reason === "broker_silent")) {
    parts.push(problem.message);
  }
  if (notice !== undefined) parts.push(notice);
  return parts.join(". ");
}

function addressText(address: Deno.Addr): string {
  return address.transport === "tcp"
    ? `ws://${address.hostname}:${address.port}`
    : (address as Deno.UnixAddr).path;
}
