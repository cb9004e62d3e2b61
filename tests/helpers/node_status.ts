/** What a node says of itself. */
import type { BridgeStatus, Status } from "../../src/admin/status.ts";
import { Metrics } from "../../src/relay/metrics.ts";

/** A bridge that works. */
export const bridgeStatus: BridgeStatus = {
  connected: true,
  broker: "rabbit:5672",
  round_trip_ms: 1.2,
  outbox_messages: 0,
  outbox_bytes: 0,
  messages_sent: 1_234_567,
  messages_received: 345_678,
  gaps: 0,
  connects: 1,
};

/** The status of a node that works, alone: docs/commands.md shows it, with {@linkcode bridgeStatus}. */
export const nodeStatus: Status = {
  version: "0.1.0",
  pid: 4711,
  socket: { path: "/run/staps/staps.sock", file: "64768:4711" },
  started: "2026-01-01T00:00:00.000Z",
  uptime_s: 2 * 86_400 + 3 * 3600,
  ready: true,
  reasons: [],
  clients: 1234,
  clients_limit: 10_000,
  channels: 321,
  channels_limit: 10_000,
  connects: 45_678,
  messages_received: 1_234_567,
  received_bytes: 75.3 * 2 ** 20,
  deliveries: 9_876_543,
  delivered_bytes: 603 * 2 ** 20,
  buffered_bytes: 0,
  closes: { ...new Metrics().closes, too_big: 1, slow: 2 },
  limit_hits: { message_bytes: 1, client_buffer_bytes: 2 },
  event_loop_lag_ms: 2.1,
  memory_bytes: 151 * 2 ** 20,
  cpu_s: 412,
  open_fds: 1300,
  bridge: null,
};
