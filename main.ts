/** staps: temporary publish/subscribe channels over WebSocket. Wires everything, and is the only code that exits. */
import { resolve } from "node:path";
import { Admin, type AdminOptions } from "./src/admin/server.ts";
import { processFiles } from "./src/admin/process_figures.ts";
import { type Bridge, hasHealth, NoBridge } from "./src/relay/bridge.ts";
import { type Command, parseCommandLine } from "./src/commands/cli.ts";
import { completion } from "./src/commands/completion.ts";
import { join } from "./src/commands/join/join.ts";
import { status } from "./src/commands/status.ts";
import { freshUrl } from "./src/commands/url.ts";
import { type Config, configFiles, loadConfig } from "./src/settings/config.ts";
import { Daemon } from "./src/system/daemon.ts";
import { AdminError } from "./src/common/errors.ts";
import { clientsFor, fdLimit } from "./src/system/open_files.ts";
import { configureLog, log } from "./src/common/log.ts";
import { keepOnly, type Kept } from "./src/system/permissions.ts";
import { reload } from "./src/settings/reload.ts";
import { Server } from "./src/relay/server.ts";
import type { Environment } from "./src/settings/table.ts";
import { ServiceManager } from "./src/system/systemd.ts";
import { writeAll } from "./src/common/terminal.ts";
import { build, version } from "./src/common/version.ts";

/** What {@linkcode serve} was told on the command line. */
export type ServeCommand = Extract<Command, { kind: "serve" }>;

/**
 * Runs a node until it gets SIGTERM or SIGINT.
 *
 * A second signal ends the process at once.
 *
 * @param listening Called when clients are accepted.
 * @throws {AdminError} If it can't start.
 */
export async function serve(
  command: ServeCommand,
  listening: (server: Server) => void = () => {},
): Promise<void> {
  const environment = Deno.env.toObject();
  using manager = ServiceManager.connect(environment);
  try {
    await runNode({ command, environment, manager, listening });
  } catch (error) {
    if (error instanceof AdminError) await manager.failed(error.message);
    throw error;
  }
}

/** What {@linkcode runNode} needs. */
interface NodeOptions {
  readonly command: ServeCommand;
  readonly environment: Environment;
  readonly manager: ServiceManager;
  readonly listening: (server: Server) => void;
}

async function runNode(
  { command, environment, manager, listening }: NodeOptions,
): Promise<void> {
  // As any path on a command line, relative to the working folder, which
  // [daemon] may change.
  const options = {
    configFile: command.configFile && resolve(command.configFile),
    socket: command.socket && resolve(command.socket),
    adminSocket: command.adminSocket && resolve(command.adminSocket),
    environment,
  };
  const onHangUp = hangUps();
  const { config, sources } = loadConfig(options);
  configureLog(config.log);
  const stopSignal = nextStopSignal();
  endOnBug("error", (event) => event.error);
  endOnBug("unhandledrejection", (event) => event.reason);

  const { socket, mode, amqp } = config.staps;
  log.info("starting", { version, config: sources.join(", ") || "defaults" });
  if (manager.problem !== undefined) log.warn(manager.problem);
  using daemon = Daemon.prepare(config.daemon, {
    hasServiceManager: manager.isPresent,
  });
  const bridge = await makeBridge(config);
  const maxClients = clientsFor(fdLimit() ?? Infinity);
  if (maxClients < config.limits.clients) {
    log.warn("the limit of open files leaves room for fewer clients", {
      clients: maxClients,
      configured: config.limits.clients,
    });
  }
  const starting = Server.start({
    socket,
    mode,
    owner: daemon.owner,
    listen: command.listen,
    limits: config.limits,
    maxClients,
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
  await using admin = await startAdmin({
    ...config.admin,
    owner: daemon.owner,
    server,
    bridge,
  });
  daemon.settle();
  await giveUpPermissions({
    read: [
      ...configFiles(options),
      ...daemon.files,
      ...admin === undefined ? [] : processFiles,
    ],
    write: [...manager.files, ...daemon.files],
    net: amqp !== undefined,
  });

  let notice: string | undefined;
  const status = (): string => statusText({ server, bridge, notice });
  for (const address of server.addresses) {
    log.info(`listening on ${addressText(address)}`);
  }
  await manager.ready(status());
  manager.watch(status);
  onHangUp(async () => {
    await manager.reloading();
    notice = reload({
      running: config,
      load: () => loadConfig(options).config,
      changed: () => configureLog(config.log),
    });
    await manager.ready(status());
  });
  listening(server);

  const end = await Promise.race([stopSignal, server.failure]);
  const failure = typeof end === "string" ? undefined : end;
  if (failure === undefined) log.info("stopping", { signal: end as string });
  else log.error("stopping", { reason: failure.message });
  await manager.stopping((config.limits.shutdownTimeoutS + 5) * 1000);
  await server.stop();
  log.info("stopped");
  if (failure !== undefined) throw failure;
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

/** Gets what `systemctl status` says of the node: one line. */
function statusText(
  { server, bridge, notice }: {
    server: Server;
    bridge: Bridge;
    notice: string | undefined;
  },
): string {
  const parts = [
    `${server.channels.size} channels, ${server.clientCount} clients`,
  ];
  if (hasHealth(bridge)) {
    const { connected, problem, blocked } = bridge.state();
    if (!connected) {
      parts.push(`The broker is out of reach: ${problem ?? "trying"}`);
    } else if (blocked !== undefined) {
      parts.push(`The broker takes no messages: ${blocked}`);
    }
  }
  if (notice !== undefined) parts.push(notice);
  return parts.join(". ");
}

async function giveUpPermissions(kept: Kept): Promise<void> {
  const wide = await keepOnly(kept);
  if (wide.length === 0) return;
  log.debug("permissions are wider than needed", {
    permissions: wide.join(", "),
  });
}

/**
 * Listens for SIGHUP from now on, and gets what sets the action for it; one that
 * came before that counts too. Actions don't overlap. A terminal sends the
 * signal when it goes away: then it keeps its meaning, and ends the process.
 */
function hangUps(): (action: () => Promise<void>) => void {
  if (Deno.stdin.isTerminal()) return () => {};
  const { promise: ready, resolve: set } = Promise.withResolvers<
    () => Promise<void>
  >();
  let last = ready.then(() => {});
  Deno.addSignalListener("SIGHUP", () => {
    last = last.then(async () => await (await ready)());
  });
  return set;
}

/** Gets the bridge to other nodes, if there are to be any. Only those pay for loading it. */
async function makeBridge({ staps, bridge }: Config): Promise<Bridge> {
  if (staps.amqp === undefined) return new NoBridge();
  const { AmqpBridge } = await import("./src/amqp/bridge.ts");
  return new AmqpBridge({ amqp: staps.amqp, ...bridge });
}

/**
 * Ctrl-C reaches a staps that `deno task` runs twice, from the terminal and from
 * `deno task`: in so many milliseconds it is the same one. `INIT_CWD` is what
 * `deno task` sets; without it, two signals are two.
 */
const sameInterruptMs = Deno.env.has("INIT_CWD") ? 500 : 0;

/** Gets the first signal to stop, when it comes; the second one ends the process. */
function nextStopSignal(): Promise<Deno.Signal> {
  const { promise, resolve } = Promise.withResolvers<Deno.Signal>();
  let first: { signal: Deno.Signal; timeMs: number } | undefined;
  for (const [signal, number] of [["SIGTERM", 15], ["SIGINT", 2]] as const) {
    Deno.addSignalListener(signal, () => {
      const timeMs = performance.now();
      if (first === undefined) {
        first = { signal, timeMs };
        resolve(signal);
      } else if (
        signal !== "SIGINT" || first.signal !== "SIGINT" ||
        timeMs - first.timeMs > sameInterruptMs
      ) Deno.exit(128 + number);
    });
  }
  return promise;
}

/**
 * Ends the process when `type` tells of an error that nobody caught, and logs
 * where it comes from, but not its message: that may quote a channel's path.
 */
function endOnBug<T extends "error" | "unhandledrejection">(
  type: T,
  cause: (event: WindowEventMap[T]) => unknown,
): void {
  globalThis.addEventListener(type, async (event) => {
    event.preventDefault();
    const error = cause(event);
    const { name, stack } = error instanceof Error ? error : new Error();
    const frames = stack?.split("\n").map((line) => line.trim())
      .filter((line) => line.startsWith("at ")).join(" ");
    log.error("this is a bug in staps", { error: name, frames });
    await log.flush();
    Deno.exit(70); // EX_SOFTWARE, sysexits.h
  });
}

/** Gets a signal that SIGINT or SIGTERM aborts, with the exit status that shells give it. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  void nextStopSignal().then((signal) =>
    controller.abort(signal === "SIGINT" ? 130 : 143)
  );
  return controller.signal;
}

function addressText(address: Deno.Addr): string {
  return address.transport === "tcp"
    ? `ws://${address.hostname}:${address.port}`
    : (address as Deno.UnixAddr).path;
}

/** Runs the command that `args` mean, and gets the exit status. */
async function main(args: string[]): Promise<number> {
  const command = parseCommandLine(args);
  switch (command.kind) {
    case "help":
      await writeAll(Deno.stdout, command.text);
      return 0;
    case "version":
      await writeAll(Deno.stdout, `staps ${version} (${build()})\n`);
      return 0;
    case "url":
      await writeAll(Deno.stdout, `${freshUrl(command.base)}\n`);
      return 0;
    case "check": {
      // Only who checks pays for loading the broker's client.
      const { check } = await import("./src/commands/check/check.ts");
      return await check(command, {
        stdout: Deno.stdout,
        environment: Deno.env.toObject(),
      });
    }
    case "status":
      return await status(command, {
        stdout: Deno.stdout,
        environment: Deno.env.toObject(),
        interrupted: interruption(),
      });
    case "completion":
      await writeAll(Deno.stdout, completion(command.shell));
      return 0;
    case "join":
      return await join(command, {
        stdin: Deno.stdin,
        stdout: Deno.stdout,
        stderr: Deno.stderr,
        environment: Deno.env.toObject(),
        interrupted: interruption(),
      });
    case "serve":
      await serve(command);
      return 0;
  }
}

/** Writes an error as the administrator gets to see it, and gets the exit status. */
async function report(error: AdminError): Promise<number> {
  const { message, hint, exitCode } = error;
  const lines = message.split("\n").map((line) => `staps: error: ${line}\n`);
  for (const line of hint?.split("\n") ?? []) {
    lines.push(`staps: hint: ${line}\n`);
  }
  await writeAll(Deno.stderr, lines.join(""));
  return exitCode;
}

if (import.meta.main) {
  let status;
  try {
    status = await main(Deno.args);
  } catch (error) {
    await log.flush();
    if (!(error instanceof AdminError)) throw error;
    status = await report(error);
  }
  await log.flush();
  Deno.exit(status);
}
