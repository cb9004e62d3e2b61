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
