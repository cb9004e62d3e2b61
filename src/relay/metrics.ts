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
import { httpLimitNames, limitNames } from "./limits.ts";

/** RFC 6455 section 7.4.1 (1005: none; 1006: dropped). */
const standardCodes = [1000, 1001, 1002, 1003, 1005, 1006, 1007] as const;
/** Close codes that are counted by themselves: these, and those that staps sends. */
const usualCodes: ReadonlySet<number> = new Set([
  ...standardCodes,
  ...Object.values(closes).map(({ code }) => code),
]);

/** Counters since the node's start. */
export class Metrics {
  /** Connections that became members: those that reached the 101, and event streams. */
  connects = 0;
  /** Handshakes answered with another status than 101, by that status; `none`: connections closed without an answer, since too many came at once. */
  readonly refusals = zeros<number | "none">([
    400,
    403,
    405,
    408,
    411,
    413,
    426,
    503,
    "none",
  ]);
  /** Requests that were answered without a WebSocket, by what they were for. */
  readonly httpRequests = zeros(["front_page", "post", "event_stream"]);
  /** What became of messages by POST; `held`: readers were too slow, `given_up`: whoever posted it had gone. */
  readonly posts = zeros([
    "delivered",
    "nobody",
    "unknown",
    "held",
    "given_up",
  ]);
  /** Messages received from clients of this node, and by POST. */
  messagesReceived = 0;
  /** Their payload in bytes. */
  bytesReceived = 0;
  /** Their payload in bytes. */
  bytesDelivered = 0;
  /** Clients whose next message waits for readers, or for the bridge. */
  sendersHeld = 0;
  /** How often a client began to wait so. */
  senderHolds = 0;
  /** For how long those waited that wait no more, in seconds. */
  senderHeldSeconds = 0;
  /** Connections that this node closed, by the name in `close.ts`. */
  readonly closes = zeros(Object.keys(closes) as CloseName[]);
  /** How often a limit refused or closed a client. */
  readonly limitHits = zeros([...limitNames, ...httpLimitNames]);
  /** Connections that reached the 101 and are no more, by the client's close code, else by ours; see {@linkcode countDisconnect}. */
  readonly disconnects = zeros<number | "other">([...usualCodes, "other"]);
  /** How many clients of this node a message went to: one count for each message published or bridged. */
  readonly fanOut = new PowersHistogram();
  /** How long handshakes took until the 101 could be sent, the bridge included; in seconds. */
  readonly joinSeconds = new Histogram([...durationBounds, 5]);

  /** Messages handed to clients of this node, each receiver counted. */
  get deliveries(): number {
    return this.fanOut.sum;
  }

  /**
   * Counts the end of a connection with close code `code`. Codes that clients
   * rarely send count as `other`: they may choose any of 1000 (RFC 6455 section 7.4.2).
   */
  countDisconnect(code: number): void {
    this.disconnects[usualCodes.has(code) ? code : "other"]++;
  }
}

/** Gets a counter at 0 for each of `names`. */
function zeros<const Name extends string | number>(
  names: readonly Name[],
): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<
    Name,
    number
  >;
}
