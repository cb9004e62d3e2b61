/**
 * Everything that `/metrics` shows, in one table: the text form, the reference
 * in docs/watch.md and the tests of dashboard and alerts come from it.
 *
 * Names follow Prometheus's conventions: base units, `_total` for counters.
 * No figure names a channel, and no label has more values than the code lists.
 */
import { type Bridge, type BridgeState, hasHealth } from "../relay/bridge.ts";
import type { EventLoopLag } from "./event_loop_lag.ts";
import { Histogram } from "../common/histogram.ts";
import type { Metrics } from "../relay/metrics.ts";
import { processFigures, startTimeSeconds } from "./process_figures.ts";
import type { Reason } from "./readiness.ts";
import { version } from "../common/version.ts";

/** What the figures of a node are read from. */
export interface FigureSource {
  readonly metrics: Metrics;
  readonly clientCount: number;
  readonly channelCount: number;
  readonly limits: { readonly clients: number; readonly channels: number };
  readonly postsWaiting: number;
  readonly bridge: Bridge;
  /** The socket of the clients; `undefined`: it isn't looked after. */
  readonly socketFile:
    | { readonly path: string; readonly identity: string | undefined }
    | undefined;
  readonly lag: EventLoopLag;
  /** How many files the process may have open; `undefined` if that can't be found out. */
  readonly maxFds: number | undefined;
  bufferedBytes(): number;
  notReady(): readonly Reason[];
}

/** What is asked for once for all figures of one answer. */
export interface Snapshot {
  readonly source: FigureSource;
  readonly process: ReturnType<typeof processFigures>;
  /** `undefined` without other nodes. */
  readonly bridge: BridgeState | undefined;
}

/** A number, one for each value of the label, or a spread of values. */
export type Reading =
  | number
  | Readonly<Record<string, number>>
  | Histogram
  | undefined;

/** One figure. */
export interface Figure {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** One sentence without full stop. */
  readonly help: string;
  /** The label's name, if there is one; the label's values are the reading's keys. */
  readonly label?: string;
  /** `undefined`: this node has none. */
  readonly read: (snapshot: Snapshot) => Reading;
}

/** Asks `source` what takes more than reading a number. */
export function snapshot(source: FigureSource): Snapshot {
  const { bridge } = source;
  return {
    source,
    process: processFigures(),
    bridge: hasHealth(bridge) ? bridge.state() : undefined,
  };
}

/** The table. */
export const figures: readonly Figure[] = [
  {
    name: "staps_build_info",
    type: "gauge",
    help: "Always 1; the version is in the label",
    label: "version",
    read: () => ({ [version]: 1 }),
  },
  {
    name: "staps_ready",
    type: "gauge",
    help: "1 if the node does its work, as /readyz says, else 0",
    read: ({ source }) => source.notReady().length === 0 ? 1 : 0,
  },
  {
    name: "staps_clients",
    type: "gauge",
    help: "Open connections, with those that begin or end",
    read: ({ source }) => source.clientCount,
  },
  {
    name: "staps_clients_limit",
    type: "gauge",
    help: "The setting clients in [limits]",
    read: ({ source }) => source.limits.clients,
  },
  {
    name: "staps_channels",
    type: "gauge",
    help: "Channels with a client on this node",
    read: ({ source }) => source.channelCount,
  },
  {
    name: "staps_channels_limit",
    type: "gauge",
    help: "The setting channels in [limits]",
    read: ({ source }) => source.limits.channels,
  },
  {
    name: "staps_connects_total",
    type: "counter",
    help: "Connections that became a WebSocket or an event stream",
    read: ({ source }) => source.metrics.connects,
  },
  {
    name: "staps_handshakes_refused_total",
    type: "counter",
    help:
      "Handshakes and other requests answered with an error status; none: connections closed without an answer, too many at once to refuse in words",
    label: "status",
    read: ({ source }) => source.metrics.refusals,
  },
  {
    name: "staps_http_requests_total",
    type: "counter",
    help: "Requests answered without a WebSocket, by what they were for",
    label: "kind",
    read: ({ source }) => source.metrics.httpRequests,
  },
  {
    name: "staps_posts_total",
    type: "counter",
    help:
      "Messages by POST, by what became of them; unknown: other nodes couldn't be asked, held: readers were too slow, given_up: whoever posted it had gone",
    label: "outcome",
    read: ({ source }) => source.metrics.posts,
  },
  {
    name: "staps_posts_waiting",
    type: "gauge",
    help:
      "Messages by POST that wait for somebody, for slow readers or for the broker",
    read: ({ source }) => source.postsWaiting,
  },
  {
    name: "staps_disconnects_total",
    type: "counter",
    help:
      "Connections that ended, by the client's close code, else by that of staps; 1006 if they were lost, other for codes that clients made up",
    label: "code",
    read: ({ source }) => source.metrics.disconnects,
  },
  {
    name: "staps_closes_total",
    type: "counter",
    help: "Connections that staps ended, by its reason",
    label: "reason",
    read: ({ source }) => source.metrics.closes,
  },
  {
    name: "staps_limit_hits_total",
    type: "counter",
    help: "Times that a limit refused or ended a connection",
    label: "limit",
    read: ({ source }) => source.metrics.limitHits,
  },
  {
    name: "staps_messages_received_total",
    type: "counter",
    help: "Messages that clients of this node sent, and those by POST",
    read: ({ source }) => source.metrics.messagesReceived,
  },
  {
    name: "staps_received_bytes_total",
    type: "counter",
    help: "Their payload",
    read: ({ source }) => source.metrics.bytesReceived,
  },
  {
    name: "staps_deliveries_total",
    type: "counter",
    help: "Messages handed to clients of this node, each receiver counted",
    read: ({ source }) => source.metrics.deliveries,
  },
  {
    name: "staps_delivered_bytes_total",
    type: "counter",
    help: "Their payload",
    read: ({ source }) => source.metrics.bytesDelivered,
  },
  {
    name: "staps_fan_out_clients",
    type: "histogram",
    help: "How many clients of this node a message went to",
    read: ({ source }) => source.metrics.fanOut,
  },
  {
    name: "staps_buffered_bytes",
    type: "gauge",
    help: "Unsent data of all clients, with the memory that it takes beside it",
    read: ({ source }) => source.bufferedBytes(),
  },
  {
    name: "staps_senders_held",
    type: "gauge",
    help:
      "Clients whose next message waits for slow readers of their channel, or for the broker",
    read: ({ source }) => source.metrics.sendersHeld,
  },
  {
    name: "staps_sender_holds_total",
    type: "counter",
    help: "Times that a client began to wait so",
    read: ({ source }) => source.metrics.senderHolds,
  },
  {
    name: "staps_sender_held_seconds_total",
    type: "counter",
    help: "How long those waited that wait no more, all together",
    read: ({ source }) => source.metrics.senderHeldSeconds,
  },
  {
    name: "staps_join_duration_seconds",
    type: "histogram",
    help: "Time from a handshake to its 101, with the broker's part",
    read: ({ source }) => source.metrics.joinSeconds,
  },
  {
    name: "staps_event_loop_lag_seconds",
    type: "histogram",
    help:
      "How late a timer fires, measured twice a second: all clients wait as long",
    read: ({ source }) => source.lag.seconds,
  },
  ...bridgeFigures([
    [
      "staps_bridge_connected",
      "gauge",
      "1 while messages go to the broker and come from it, else 0",
      ({ connected }) => Number(connected),
    ],
    [
      "staps_bridge_blocked",
      "gauge",
      "1 while the broker takes no messages, short of memory or disk, else 0",
      ({ blocked }) => Number(blocked !== undefined),
    ],
    [
      "staps_bridge_round_trip_seconds",
      "gauge",
      "How long the latest message to the node itself took through the broker; absent while none comes back",
      ({ roundTripMs }) => roundTripMs && roundTripMs / 1000,
    ],
    [
      "staps_bridge_nodes",
      "gauge",
      "Other nodes that were heard in the last 5 minutes and didn't end",
      ({ nodes }) => nodes,
    ],
    [
      "staps_bridge_outbox_messages",
      "gauge",
      "Messages that the broker hasn't confirmed",
      ({ outboxMessages }) => outboxMessages,
    ],
    [
      "staps_bridge_outbox_bytes",
      "gauge",
      "Memory that they take; outbox_bytes in [bridge] is the limit",
      ({ outboxBytes }) => outboxBytes,
    ],
    [
      "staps_bridge_joins_waiting",
      "gauge",
      "Joins and leaves that wait for the broker",
      ({ joinsWaiting }) => joinsWaiting,
    ],
    [
      "staps_bridge_joins_unanswered_total",
      "counter",
      "Joins in a cluster of brokers that some other node didn't answer within a second",
      ({ unanswered }) => unanswered,
    ],
    [
      "staps_bridge_messages_sent_total",
      "counter",
      "Messages of clients given to the bridge",
      ({ published }) => published,
    ],
    [
      "staps_bridge_messages_received_total",
      "counter",
      "Messages of other nodes given to channels of this one",
      ({ received }) => received,
    ],
    [
      "staps_bridge_duplicates_total",
      "counter",
      "Messages that came twice, and were dropped the second time",
      ({ duplicates }) => duplicates,
    ],
    [
      "staps_bridge_gaps_total",
      "counter",
      "Times that messages of a channel were lost between nodes, or may have been",
      ({ gaps }) => gaps,
    ],
    [
      "staps_bridge_messages_dropped_total",
      "counter",
      "Messages given up because the outbox was full",
      ({ dropped }) => dropped,
    ],
    [
      "staps_bridge_messages_rejected_total",
      "counter",
      "Messages that the full queue of some node didn't take",
      ({ rejected }) => rejected,
    ],
    [
      "staps_bridge_connects_total",
      "counter",
      "Connections made to the broker",
      ({ connects }) => connects,
    ],
  ]),
  {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "Processor time, user and system",
    read: ({ process }) => process.cpuSeconds,
  },
  {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Memory in RAM",
    read: ({ process }) => process.residentBytes,
  },
  {
    name: "process_heap_bytes",
    type: "gauge",
    help: "JavaScript's own memory in use",
    read: ({ process }) => process.heapBytes,
  },
  {
    name: "process_open_fds",
    type: "gauge",
    help: "Open file descriptors; absent where the process may not ask",
    read: ({ process }) => process.openFds,
  },
  {
    name: "process_max_fds",
    type: "gauge",
    help: "How many it may open; absent where the process may not ask",
    read: ({ source }) => source.maxFds,
  },
  {
    name: "process_start_time_seconds",
    type: "gauge",
    help: "When the process started, since 1970-01-01 UTC",
    read: () => startTimeSeconds,
  },
];

/** Gets figures that only a node with a bridge has. */
function bridgeFigures(
  rows: readonly [
    name: string,
    type: "counter" | "gauge",
    help: string,
    read: (state: BridgeState) => number | undefined,
  ][],
): Figure[] {
  return rows.map(([name, type, help, read]) => ({
    name,
    type,
    help,
    read: ({ bridge }) => bridge && read(bridge),
  }));
}
