/**
 * What a node counts. Plain numbers, so that counting costs an addition; their
 * text form is made only when somebody asks for it.
 */
import { type CloseName, closes } from "./close.ts";
import {
  durationBounds,
  Histogram,
  PowersHistogram,
} from "../common/histogram.ts";

/** The limits that refuse or close, as in the section `[limits]`. */
export type LimitName =
  | "message_bytes"
  | "client_buffer_bytes"
  | "clients"
  | "channel_clients"
  | "channels"
  | "messages_per_second";

/** RFC 6455 section 7.4.1 (1005: none; 1006: dropped), and those that staps sends. */
const usualCodes: ReadonlySet<number> = new Set([
  1000,
  1001,
  1002,
  1003,
  1005,
  1006,
  1007,
  ...Object.values(closes).map(({ code }) => code),
]);

/** Counters since the node's start. */
export class Metrics {
  /** Connections that reached the 101. */
  connects = 0;
  /** Handshakes answered with another status than 101, by that status. */
  readonly refusals: Record<number, number> = {
    400: 0,
    405: 0,
    426: 0,
    503: 0,
  };
  /** Messages received from clients of this node. */
  messagesReceived = 0;
  /** Their payload in bytes. */
  bytesReceived = 0;
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

  /** Connections that reached the 101 and are no more, by close code; see {@linkcode countDisconnect}. */
  readonly disconnects: Record<string, number> = Object.fromEntries(
    [...usualCodes, "other"].map((code) => [code, 0]),
  );
  /** How many clients of this node a message went to: one count for each message published or bridged. */
  readonly fanOut = new PowersHistogram();
  /** How long handshakes took until the 101 could be sent, the bridge included; in seconds. */
  readonly joinSeconds = new Histogram([...durationBounds, 5]);

  /** Messages handed to clients of this node, each receiver counted. */
  get deliveries(): number {
    return this.fanOut.sum;
  }

  constructor() {
    this.closes = Object.fromEntries(
      Object.keys(closes).map((name) => [name, 0]),
    ) as Record<CloseName, number>;
  }

  /**
   * Counts the end of a connection with close code `code`. Codes that clients
   * rarely send count as `other`: they may choose any of 1000 (RFC 6455 section 7.4.2).
   */
  countDisconnect(code: number): void {
    this.disconnects[usualCodes.has(code) ? code : "other"]!++;
  }
}
