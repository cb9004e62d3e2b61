/**
 * The seam between a node and the others: what a node asks of a bridge, and
 * what a bridge tells its node. `NoBridge` is the single node, an ordinary
 * implementation.
 */
import type { Message } from "./message.ts";

/** What a bridge tells its node. Neither call may throw. */
export interface BridgeListener {
  /**
   * A client of another node published `message`, `bytes` long, in the channel
   * `path`. Called in the order of each publisher; never for this node's own.
   */
  deliver(path: string, message: Message, bytes: number): void;

  /**
   * Messages of these channels were lost, or it can't be excluded: on their
   * way to this node, or on their way from it. `"all"` means every channel.
   */
  gap(paths: Iterable<string> | "all"): void;
}

/** What a node asks of a bridge. */
export interface Bridge {
  /**
   * Connects, or begins to try.
   *
   * @throws {ConfigError} If it can never work as configured.
   */
  start(listener: BridgeListener): Promise<void>;

  /**
   * Makes this node receive what the others publish in the channel `path`.
   * When it resolves, everything published from then on arrives. Called once
   * when a channel begins; calls for one path may overlap with `leave`: the
   * last call counts.
   *
   * @throws {BridgeUnavailableError} If it can't be had now, and clients are to be refused.
   */
  join(path: string): Promise<void>;

  /** Ends what {@linkcode join} began, after the channel's last client left. Returns at once. */
  leave(path: string): void;

  /** Sends a message of a local client to the other nodes. Returns at once; order is kept. */
  publish(path: string, message: Message, bytes: number): void;

  /** Leaves the other nodes in good order; resolves when done, within a time limit of its own. */
  close(): Promise<void>;
}

/** How a bridge does. Asking costs nothing; counters run since its start. */
export interface BridgeState {
  /** Whether messages travel to and from the other nodes. */
  readonly connected: boolean;
  /** Whether the broker takes nothing for now, short of memory or disk (`connection.blocked`). */
  readonly blocked: boolean;
  /** Why it isn't connected, one line without secrets. */
  readonly problem: string | undefined;
  /** Messages that the broker hasn't confirmed yet. */
  readonly outboxMessages: number;
  /** Their size in bytes. */
  readonly outboxBytes: number;
  /** Messages of this node's clients that the broker has confirmed. */
  readonly messagesSent: number;
  /** Messages of other nodes' clients, duplicates left out. */
  readonly messagesReceived: number;
  /** Messages that came a second time, and were dropped. */
  readonly duplicates: number;
  /** How often messages were lost on the way, or it couldn't be excluded. */
  readonly gaps: number;
  /** How often a connection to the broker was established. */
  readonly connects: number;
}

/** What a bridge to other nodes can tell about itself beside its work. */
export interface BridgeHealth {
  state(): BridgeState;

  /**
   * Sends a probe to the broker, on the way that messages take, and back.
   * Resolves with the time it took, in milliseconds.
   *
   * @throws {Error} If it isn't back in `timeoutMs` milliseconds, or can't be sent.
   */
  probe(timeoutMs: number): Promise<number>;
}

/** Tells whether `bridge` can tell about itself; one that has nothing to cross can't. */
export function hasHealth(bridge: Bridge): bridge is Bridge & BridgeHealth {
  return "state" in bridge && "probe" in bridge;
}

/** Joining a channel isn't possible now: the client is told to come back later. */
export class BridgeUnavailableError extends Error {
  override readonly name = "BridgeUnavailableError";
}

/** The bridge of a node that works alone. */
export class NoBridge implements Bridge {
  start(): Promise<void> {
    return Promise.resolve();
  }

  join(): Promise<void> {
    return Promise.resolve();
  }

  leave(): void {}

  publish(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}
