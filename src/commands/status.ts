/** `staps status`: how a node does, for people. */
import type { Status } from "../admin/status.ts";
import type { StatusCommand } from "./cli.ts";
import { loadConfig } from "../settings/config.ts";
import { AdminError, StartupError } from "../common/errors.ts";
import type { Environment } from "../settings/table.ts";
import { harmless, type Paint, painter, writeAll } from "../common/terminal.ts";
import { askAdmin } from "./ask_admin.ts";

/** What {@linkcode status} works with. */
export interface StatusContext {
  readonly stdout: {
    write(bytes: Uint8Array): Promise<number>;
    isTerminal(): boolean;
  };
  readonly environment: Environment;
  /** Aborted by SIGINT or SIGTERM; the reason is the exit status. */
  readonly interrupted: AbortSignal;
}

/** The exit statuses of `staps status`; those of the table in docs/commands.md. */
export const statusStatus = { ready: 0, notReady: 3 } as const;

/** How often `--watch` asks, in milliseconds. */
const watchMs = 1000;

/**
 * Prints how a node does, with `--watch` again and again. Gets the exit status,
 * one of {@linkcode statusStatus} or that of the signal that ended it.
 *
 * @throws {StartupError} If the node can't be asked.
 */
export async function status(
  command: StatusCommand,
  context: StatusContext,
): Promise<number> {
  const socket = adminSocket(command, context.environment);
  const { stdout, environment, interrupted } = context;
  const paint = painter(stdout, environment.NO_COLOR);
  if (!command.watch) {
    const now = await askAdmin(socket);
    await writeAll(stdout, table(now, { paint }));
    return now.ready ? statusStatus.ready : statusStatus.notReady;
  }
  let before: Sample | undefined;
  let shownLines = 0;
  const inPlace = stdout.isTerminal();
  while (!interrupted.aborted) {
    let text;
    try {
      const sample = { status: await askAdmin(socket), ms: performance.now() };
      text = table(sample.status, {
        paint,
        rates: before && ratesOf(before, sample),
      });
      before = sample;
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      text = `${paint("bad", error.message)}\n`;
      before = undefined;
    }
    await writeAll(stdout, again(text, { shownLines, inPlace }));
    shownLines = text.split("\n").length - 1;
    await pause(watchMs, interrupted);
  }
  return interrupted.reason;
}

/**
 * Gets what shows `text` after `shownLines` lines of it were shown before: on a
 * terminal in their place, with long lines cut, as a wrapped one would count as
 * two (ECMA-48 CUU and ED; DECAWM).
 */
export function again(
  text: string,
  { shownLines, inPlace }: { shownLines: number; inPlace: boolean },
): string {
  if (!inPlace) return shownLines > 0 ? `\n${text}` : text;
  const up = shownLines > 0 ? `\x1b[${shownLines}A\x1b[J` : "";
  return `${up}\x1b[?7l${text}\x1b[?7h`;
}

/** Gets the socket to ask. @throws {StartupError} If the configuration has none. */
function adminSocket(
  { socket, configFile }: StatusCommand,
  environment: Environment,
): string {
  if (socket !== undefined) return socket;
  const { config } = loadConfig({ configFile, environment });
  if (config.admin.socket !== undefined) return config.admin.socket;
  throw new StartupError("Cannot ask: the configuration has no admin socket", {
    hint:
      'set "socket" in [admin] and restart staps, or name one with --socket',
  });
}

interface Sample {
  readonly status: Status;
  readonly ms: number;
}

/** What changes per second. */
interface Rates {
  readonly received: number;
  readonly delivered: number;
  readonly connects: number;
  /** In cores. */
  readonly cpu: number;
}

function ratesOf(before: Sample, after: Sample): Rates | undefined {
  const seconds = (after.ms - before.ms) / 1000;
  // Another process has other counters.
  if (before.status.pid !== after.status.pid) return undefined;
  const rate = (read: (status: Status) => number): number =>
    (read(after.status) - read(before.status)) / seconds;
  return {
    received: rate((status) => status.messages_received),
    delivered: rate((status) => status.deliveries),
    connects: rate((status) => status.connects),
    cpu: rate((status) => status.cpu_s),
  };
}

/** Gets the table of one answer. */
export function table(
  now: Status,
  { paint, rates }: { paint: Paint; rates?: Rates | undefined },
): string {
  const per = (rate: number | undefined): string =>
    rate === undefined ? "" : ` (${count(rate)}/s)`;
  const reasons = now.reasons.map(({ reason, message }) =>
    `${paint("bad", reason)}: ${harmless(message)}`
  );
  const nonZero = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts).filter(([, value]) => value > 0)
      .map(([name, value]) => `${count(value)} ${name}`).join(", ") || "none";
  const rows: [string, string][] = [
    [
      "ready",
      now.ready
        ? paint("good", "yes")
        : `${paint("bad", "no")}, ${reasons.join("; ")}`,
    ],
    ["clients", `${count(now.clients)} of ${count(now.clients_limit)}`],
    ["channels", `${count(now.channels)} of ${count(now.channels_limit)}`],
    ["connects", `${count(now.connects)}${per(rates?.connects)}`],
    [
      "received",
      `${count(now.messages_received)} messages${per(rates?.received)}, ${
        bytes(now.received_bytes)
      }`,
    ],
    [
      "delivered",
      `${count(now.deliveries)} messages${per(rates?.delivered)}, ${
        bytes(now.delivered_bytes)
      }`,
    ],
    ["waiting", `${bytes(now.buffered_bytes)} for clients to read`],
    ["closed", nonZero(now.closes)],
    ["limits hit", nonZero(now.limit_hits)],
    ...bridgeRows(now, paint),
    [
      "process",
      `${bytes(now.memory_bytes)} of memory, ${
        rates === undefined
          ? `${count(now.cpu_s)} s of processor time`
          : `${Math.round(rates.cpu * 100)} % of a core`
      }, event loop up to ${now.event_loop_lag_ms} ms late`,
    ],
  ];
  const heading = `staps ${now.version}, process ${now.pid}, up ${
    duration(now.uptime_s)
  }`;
  return [
    paint("strong", heading),
    ...rows.map(([name, value]) => `${name.padEnd(10)}  ${value}`),
    "",
  ].join("\n");
}

function bridgeRows(
  { bridge }: Status,
  paint: Paint,
): [string, string][] {
  if (bridge === null) return [["bridge", "none, this node works alone"]];
  const state = bridge.connected
    ? `${paint("good", "connected")} to ${bridge.broker}, ${
      bridge.round_trip_ms === null
        ? paint("bad", "no message comes back")
        : `round trip ${bridge.round_trip_ms} ms`
    }`
    : paint("bad", "not connected");
  return [
    ["bridge", state],
    [
      "outbox",
      `${count(bridge.outbox_messages)} messages, ${
        bytes(bridge.outbox_bytes)
      }`,
    ],
    [
      "bridged",
      `${count(bridge.messages_sent)} messages sent, ${
        count(bridge.messages_received)
      } received, ${count(bridge.gaps)} gaps`,
    ],
  ];
}

/** `1,234`, and `0.5` below ten. */
export function count(value: number): string {
  return new Intl.NumberFormat("en", {
    maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);
}

/** `1.5 MiB` */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = new Intl.NumberFormat("en", { maximumFractionDigits: digits })
    .format(value);
  return `${text} ${units[unit]}`;
}

/** `2 h 5 min`: the two largest units. */
export function duration(seconds: number): string {
  const units: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [
    1,
    "s",
  ]];
  const parts = [];
  for (const [length, name] of units) {
    const value = Math.floor(seconds / length);
    seconds -= value * length;
    if (value > 0 || parts.length > 0) parts.push(`${value} ${name}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

async function pause(ms: number, interrupted: AbortSignal): Promise<void> {
  if (interrupted.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      interrupted.removeEventListener("abort", end);
      resolve();
    }
    interrupted.addEventListener("abort", end);
  });
}
