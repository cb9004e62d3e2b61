/** What `/status` tells: one object for people's programs, and for `staps status`. */
import { closes } from "../relay/close.ts";
import { type FigureSource, snapshot } from "./figures.ts";
import { startTimeSeconds } from "./process_figures.ts";
import type { Reason } from "./readiness.ts";
import { version } from "../common/version.ts";

/** An overview of a source. Counters run since its start; no field names a channel. */
export interface Status {
  readonly version: string;
  readonly pid: number;
  /** The socket that it has bound for clients; `null` where that isn't known. */
  readonly socket: BoundSocket | null;
  /** In ISO 8601. */
  readonly started: string;
  readonly uptime_s: number;
  readonly ready: boolean;
  /** Empty if it is ready. */
  readonly reasons: readonly Reason[];
  readonly clients: number;
  readonly clients_limit: number;
  readonly channels: number;
  readonly channels_limit: number;
  readonly connects: number;
  readonly messages_received: number;
  readonly received_bytes: number;
  readonly deliveries: number;
  readonly delivered_bytes: number;
  readonly buffered_bytes: number;
  /** Connections that staps ended, by the name of the close. */
  readonly closes: Readonly<Record<keyof typeof closes, number>>;
  readonly limit_hits: Readonly<Record<string, number>>;
  /** The largest of the last 10 seconds. */
  readonly event_loop_lag_ms: number;
  readonly memory_bytes: number;
  readonly cpu_s: number;
  readonly open_fds: number | null;
  /** `null` for a node that works alone. */
  readonly bridge: BridgeStatus | null;
}

/** A socket, and which file it was when it was bound. */
export interface BoundSocket {
  readonly path: string;
  /** `DEVICE:INODE`, as of stat(2). */
  readonly file: string;
}

/** How the bridge does. */
export interface BridgeStatus {
  readonly connected: boolean;
  /** `host:port`. */
  readonly broker: string | null;
  /** `null` while no message comes back. */
  readonly round_trip_ms: number | null;
  readonly outbox_messages: number;
  readonly outbox_bytes: number;
  readonly messages_sent: number;
  readonly messages_received: number;
  readonly gaps: number;
  readonly connects: number;
}

/** Gets the overview of the node that `source` tells of. */
export function statusOf(source: FigureSource): Status {
  const { process, bridge } = snapshot(source);
  const { metrics, socketFile } = source;
  const reasons = source.notReady();
  return {
    version,
    pid: Deno.pid,
    socket: socketFile?.identity === undefined
      ? null
      : { path: socketFile.path, file: socketFile.identity },
    started: new Date(startTimeSeconds * 1000).toISOString(),
    uptime_s: Math.round(performance.now() / 1000),
    ready: reasons.length === 0,
    reasons,
    clients: source.clientCount,
    clients_limit: source.limits.clients,
    channels: source.channelCount,
    channels_limit: source.limits.channels,
    connects: metrics.connects,
    messages_received: metrics.messagesReceived,
    received_bytes: metrics.bytesReceived,
    deliveries: metrics.deliveries,
    delivered_bytes: metrics.bytesDelivered,
    buffered_bytes: source.bufferedBytes(),
    closes: metrics.closes,
    limit_hits: metrics.limitHits,
    event_loop_lag_ms: tenths(source.lag.recentMs),
    memory_bytes: process.residentBytes,
    cpu_s: process.cpuSeconds,
    open_fds: process.openFds ?? null,
    bridge: bridge === undefined ? null : {
      connected: bridge.connected,
      broker: bridge.broker ?? null,
      round_trip_ms: bridge.roundTripMs === undefined
        ? null
        : tenths(bridge.roundTripMs),
      outbox_messages: bridge.outboxMessages,
      outbox_bytes: bridge.outboxBytes,
      messages_sent: bridge.published,
      messages_received: bridge.received,
      gaps: bridge.gaps,
      connects: bridge.connects,
    },
  };
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
