/** What a node says of itself. */
import type { Status } from "../../src/admin/status.ts";
import { Metrics } from "../../src/relay/metrics.ts";

/** The status of a node that works alone, and well. */
export const nodeStatus: Status = {
  version: "1.2.3",
  pid: 42,
  socket: { path: "/run/staps/staps.sock", file: "64768:4711" },
  started: "2026-01-01T00:00:00.000Z",
  uptime_s: 3723,
  ready: true,
  reasons: [],
  clients: 1234,
  clients_limit: 10_000,
  channels: 5,
  channels_limit: 10_000,
  connects: 2000,
  messages_received: 1_000_000,
  received_bytes: 64_000_000,
  deliveries: 5_000_000,
  delivered_bytes: 320_000_000,
  buffered_bytes: 0,
  closes: { ...new Metrics().closes, too_big: 2, slow: 1 },
  limit_hits: { message_bytes: 2 },
  event_loop_lag_ms: 1.5,
  memory_bytes: 100 << 20,
  cpu_s: 61.23,
  open_fds: 1300,
  bridge: null,
};
