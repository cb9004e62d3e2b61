/**
 * Many real WebSocket clients who join, publish, pause, stall, leave and break
 * off as a seed says, and tell a history what they saw.
 */
import type { Random } from "../helpers/random.ts";
import type { Target } from "../helpers/raw_client.ts";
import type { History } from "./history.ts";

/** A way for clients to reach channels. */
export interface Door {
  /** For reports, such as "nginx" or "node 2". */
  readonly name: string;
  /** Where to connect to. */
  readonly target: Target;
  /**
   * The index of the node behind it, or how to get that from the headers of
   * the 101, such as from one that the frontend adds. Left out: unknown.
   */
  readonly node?: number | ((headers: Headers) => number | undefined);
  /** How often it is taken, compared with the other doors. Default 1. */
  readonly weight?: number;
}

/** Settings of {@linkcode Crowd.start}. */
export interface CrowdOptions {
  /** Where what happens is written down. */
  readonly history: History;
  /** Where all choices come from. */
  readonly random: Random;
  /** The ways in; at least one. */
  readonly doors: readonly Door[];
  /** How many channels there are at a time. Default 12. */
  readonly channels?: number;
  /** How many clients a channel has, about. Default 6. */
  readonly clientsPerChannel?: number;
  /** How many messages are published a second, by all together. Default 300. */
  readonly messagesPerSecond?: number;
  /** The largest message. Default 1 MiB. */
  readonly maxMessageBytes?: number;
  /** How long a channel lives, at least and at most, in milliseconds. Default 15 s to 60 s. */
  readonly channelLifeMs?: readonly [number, number];
  /** How long a client stays, at least and at most, in milliseconds. Default 2 s to 40 s. */
  readonly clientLifeMs?: readonly [number, number];
  /** How long a client stops reading without harm, at most, in milliseconds. Default 1.5 s. */
  readonly shortStallMs?: number;
  /** How long one stops that is to be closed for it, in milliseconds. 0 for never. Default 0. */
  readonly longStallMs?: number;
  /** How long it waits, when a channel is to end, for clients to have everything. Default 120 s. */
  readonly settleTimeoutMs?: number;
}

/** What a crowd counted, for a progress line. */
export interface CrowdCounts {
  /** Connections that are open. */
  open: number;
  /** Connections that were opened so far. */
  connections: number;
  /** Channels that began so far. */
  channels: number;
  messages: number;
  deliveries: number;
  /** Handshakes that weren't answered with 101, by status; 0 for no answer at all. */
  refused: Record<number, number>;
  /** Connections that ended, by code. */
  closes: Record<number, number>;
}

/** A crowd at work. Its disposal cuts every connection. */
export class Crowd implements AsyncDisposable {
  readonly counts: CrowdCounts = {
    open: 0,
    connections: 0,
    channels: 0,
    messages: 0,
    deliveries: 0,
    refused: {},
    closes: {},
  };

  /** Lets the clients of the first channels join, and begins to publish. Resolves when all are open. */
  static start(_options: CrowdOptions): Promise<Crowd> {
    throw new Error("Not there yet");
  }

  /**
   * Resolves when messages get through again between every two present clients
   * of each channel, with the milliseconds that took: everyone who isn't
   * stalled publishes one, and everyone else must get it. Clients that were
   * refused have come back by then.
   *
   * @throws {Error} If that takes more than `timeoutMs`, default 120 s; the message tells who waits for what.
   */
  flows(_options: { timeoutMs?: number } = {}): Promise<number> {
    throw new Error("Not there yet");
  }

  /** Stops publishing, but for what {@linkcode flows} needs. */
  pausePublishing(): void {}

  /** Ends {@linkcode pausePublishing}. */
  resumePublishing(): void {}

  /**
   * Ends in good order: nobody publishes any more, everyone who is open gets
   * everything, and leaves. Resolves when all connections have ended.
   */
  finish(): Promise<void> {
    throw new Error("Not there yet");
  }

  /** Breaks everything off. */
  async [Symbol.asyncDispose](): Promise<void> {
  }
}
