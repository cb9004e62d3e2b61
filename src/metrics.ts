/**
 * What a node counts. Plain numbers, so that counting costs an addition; their
 * text form is made only when somebody asks for it.
 */
import { type CloseName, closes } from "./close.ts";

/** The limits that refuse or close, as in the section `[limits]`. */
export type LimitName =
  | "message_bytes"
  | "client_buffer_bytes"
  | "clients"
  | "channel_clients"
  | "channels"
  | "messages_per_second";

/** Counters since the node's start. */
export class Metrics {
  /** Connections that reached the 101. */
  connects = 0;
  /** Handshakes answered with another status than 101, by that status. */
  readonly refusals: Record<number, number> = {};
  /** Messages received from clients of this node. */
  messagesReceived = 0;
  /** Their payload in bytes. */
  bytesReceived = 0;
  /** Messages handed to clients of this node, each receiver counted. */
  deliveries = 0;
  /** Their payload in bytes. */
  bytesDelivered = 0;
  /** Connections that this node closed, by the name in `close.ts`. */
  readonly closes: Record<CloseName, number>;
  /** How often a limit refused or closed a client. */
  readonly limitHits: Record<LimitName, number> = {
    message_bytes: 0,
    client_buffer_bytes: 0,
    clients: 0,
    channel_clients: 0,
    channels: 0,
    messages_per_second: 0,
  };

  constructor() {
    this.closes = Object.fromEntries(
      Object.keys(closes).map((name) => [name, 0]),
    ) as Record<CloseName, number>;
  }
}
