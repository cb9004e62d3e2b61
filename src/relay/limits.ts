/**
 * The limits that refuse or close clients, in one table. Their counters and
 * labels in the metrics are made from it.
 *
 * To add a limit: its setting in src/settings/table.ts, and here its value in
 * `Limits` and its entry in `limitTable`. One on what a client sends is checked
 * in `Allowance.spend()`.
 */
import type { CloseName } from "./close.ts";
import { Tokens } from "./tokens.ts";

/** The values of the section `[limits]`. A reload changes the object in place. */
export interface Limits {
  /** The largest message, in bytes of payload. */
  messageBytes: number;
  /** Maximum data queued for one client, in bytes, with the memory that each piece takes beside it. */
  clientBufferBytes: number;
  /** With more than this queued, in bytes, a client is behind, and its channel's senders wait. */
  brakeBytes: number;
  /** How long a client may be behind, and senders wait for it, in seconds. */
  slowAfterS: number;
  /** Maximum number of connections, handshakes and closing ones included. */
  clients: number;
  /** Maximum number of connections to one channel on this node. */
  channelClients: number;
  /** Maximum number of channels on this node. */
  channels: number;
  /** How many messages a client may send in a second, and in one burst. 0 for any number. */
  messagesPerSecond: number;
  /** How long a client may be silent until a ping, left without an answer, ends it; in seconds. */
  idleTimeoutS: number;
  /** How long a client may take to answer a close frame, in seconds. */
  closeTimeoutS: number;
  /** How long a request may take to be here, in seconds. */
  handshakeTimeoutS: number;
  /** How long a stop may take to say goodbye, in seconds. */
  shutdownTimeoutS: number;
  /** The window over which clients are asked to come back after a stop, in milliseconds. */
  shutdownSpreadMs: number;
  /** When a refused client may try again, in seconds. */
  retryAfterS: number;
}

/** What a node has when another client asks to join one of its channels. */
export interface Occupancy {
  readonly clients: number;
  /** For how many clients the process may open files. */
  readonly maxClients: number;
  /** Clients of that channel. */
  readonly channelClients: number;
  readonly channels: number;
}

/** A limit, and what happens to a client beyond it: it is closed, or its handshake is refused with 503. */
type Limit =
  & { readonly setting: keyof Limits }
  & (
    | { readonly close: CloseName }
    | { readonly isReached: (max: number, node: Occupancy) => boolean }
  );

/** The limits by their names in `[limits]`, which are also those in logs and metrics. */
export const limitTable = {
  message_bytes: { setting: "messageBytes", close: "too_big" },
  client_buffer_bytes: { setting: "clientBufferBytes", close: "slow" },
  slow_after_s: { setting: "slowAfterS", close: "slow" },
  clients: {
    setting: "clients",
    isReached: (max, { clients, maxClients }) =>
      clients >= Math.min(max, maxClients),
  },
  channel_clients: {
    setting: "channelClients",
    isReached: (max, { channelClients }) => channelClients >= max,
  },
  channels: {
    setting: "channels",
    isReached: (max, { channelClients, channels }) =>
      channelClients === 0 && channels >= max,
  },
  messages_per_second: { setting: "messagesPerSecond", close: "rate" },
} as const satisfies Record<string, Limit>;

/** The name of a limit. */
export type LimitName = keyof typeof limitTable;

/** The limits of `[http]`, by their names there: beyond them, messages that are posted get 503. */
export const httpLimitNames = [
  "requests_per_second",
  "waiting_requests",
  "waiting_bytes",
] as const;

/** The name of a limit of `[http]`. */
export type HttpLimitName = typeof httpLimitNames[number];

/** The name of a limit that closes clients. */
export type ClosingLimitName = {
  [Name in LimitName]: "close" extends keyof typeof limitTable[Name] ? Name
    : never;
}[LimitName];

/** Every limit, in the table's order. */
export const limitNames = Object.keys(limitTable) as readonly LimitName[];

/** Gets the limit by which a node refuses another client, or `undefined` if there is room for it. */
export function reachedLimit(
  limits: Limits,
  node: Occupancy,
): LimitName | undefined {
  return limitNames.find((name) => {
    const limit: Limit = limitTable[name];
    return "isReached" in limit && limit.isReached(limits[limit.setting], node);
  });
}

/** What one client may send. */
export class Allowance {
  readonly #limits: Limits;
  readonly #tokens = new Tokens();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Counts a message. Gets the limit that it is beyond, if there is one. */
  spend(): ClosingLimitName | undefined {
    const { messagesPerSecond } = this.#limits;
    return this.#tokens.take(messagesPerSecond)
      ? undefined
      : "messages_per_second";
  }
}
