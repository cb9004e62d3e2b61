/**
 * The seam between a node and the others: what a node asks of a bridge, and
 * what a bridge tells its node. `NoBridge` is the single node, an ordinary
 * implementation.
 */
import type { Message } from "./message.ts";

/** What a bridge tells its node. No call may throw. */
export interface BridgeListener {
  /**
   * A client of another node published `message` in the channel `path`. Called in the order of each publisher; never for this node's own.
   */
  deliver(path: string, message: Message): void;

  /**
   * Messages of these channels were lost, or it can't be excluded: on their
   * way to this node, or on their way from it. `"all"` means every channel.
   */
  gap(paths: Iterable<string> | "all"): void;

  /**
   * The bridge takes the messages of the channel `path` more slowly than they
   * come, or, `false`, keeps up again. The first may be said again and again.
   */
  congested(path: string, isCongested: boolean): void;

  /** Gets how many members the channel `path` has here that get what is delivered. */
  openCount(path: string): number;
}

/** What became of a message for the other nodes. */
export interface Posted {
  /** Whether the broker has it; `undefined` where there is none. */
  readonly isConfirmed: boolean | undefined;
  /** Whether members on other nodes got it; `undefined` if that isn't known. */
  readonly reachedOthers: boolean | undefined;
  /** Whether nobody on another node got it or will, so that it may be posted again. */
  readonly isGone: boolean;
}

/** What a node asks of a bridge. */
export interface Bridge {
  /**
   * Connects, or begins to try.
   *
   * @throws {ConfigError} If it can never work as configured.
   * @throws {BridgeUnavailableError} If {@linkcode close} is called meanwhile.
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

  /**
   * Sends a message of a local client to the other nodes. Returns at once; order
   * is kept. The message's memory has to be retained while it is needed.
   */
  publish(path: string, message: Message): void;

  /**
   * Sends a message of somebody who isn't a client to the other nodes, and finds
   * out what became of it; this node need not be in the channel. Resolves
   * within a time limit of its own.
   *
   * @param isReached Whether members here got it: then other nodes aren't waited for.
   */
  post(
    path: string,
    message: Message,
    { isReached }: { isReached: boolean },
  ): Promise<Posted>;

  /** Leaves the other nodes in good order; resolves when done, within a time limit of its own. */
  close(): Promise<void>;
}

/** What a bridge is doing, and what it counted since its start. Asking costs next to nothing. */
export interface BridgeState {
  /** Whether messages go to the broker and come from it. */
  readonly connected: boolean;
  /** Where the broker is that this node is connected to, as `host:port`. */
  readonly broker: string | undefined;
  /** Why it isn't connected, if it knows: one line without secrets. */
  readonly problem: string | undefined;
  /** Why the broker takes no messages at the moment: it is short of memory or disk. */
  readonly blocked: string | undefined;
  readonly outboxBytes: number;
  readonly outboxMessages: number;
  /** Messages sent to the broker and not confirmed. */
  readonly unconfirmed: number;
  /** Channels that this node is in. */
  readonly channels: number;
  /** Joins and leaves that wait for the broker. */
  readonly joinsWaiting: number;
  /** Joins in a cluster of brokers that some other node didn't answer in time. */
  readonly unanswered: number;
  /** How long the latest message to ourselves took; `undefined` while none comes back. */
  readonly roundTripMs: number | undefined;
  /** How many other nodes were heard in the last minutes, and didn't leave. */
  readonly nodes: number;
  /** Whether none of them can be heard now, on a broker that can't reach their queues. */
  readonly isCutOff: boolean;
  /** Messages of clients given to the bridge. */
  readonly published: number;
  /** Messages of other nodes given to clients' channels. */
  readonly received: number;
  /** Copies that were dropped. */
  readonly duplicates: number;
  /** How often messages of a channel were lost, or may have been. */
  readonly gaps: number;
  /** Messages given up because the outbox was full. */
  readonly dropped: number;
  /** Messages that the full queue of some node didn't take. */
  readonly rejected: number;
  /** How often a connection was made. */
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

/** Why messages don't cross the broker, or may not. */
export interface BrokerProblem {
  /** For programs: these names stay. */
  readonly reason:
    | "broker_unreachable"
    | "broker_blocked"
    | "broker_silent"
    | "broker_split";
  /** One line for people, without secrets. */
  readonly message: string;
}

/**
 * Gets what is wrong with the broker; nothing if messages come back from it.
 *
 * A bridge sends itself a message each second. One that isn't back after 5 s is
 * late, whatever the connection looks like: a broker that hangs, or a network
 * that swallows everything, keeps its connections open for long. Right after a
 * connect no message can be back, which is `broker_silent` too.
 *
 * Where a cluster of brokers is split, each side works; so a node that hears none
 * of the others and finds their queues out of reach says `broker_split`.
 */
export function brokerProblem(
  { connected, problem, blocked, roundTripMs, nodes, isCutOff }: BridgeState,
): BrokerProblem | undefined {
  if (!connected) {
    const why = problem === undefined ? "" : `: ${problem}`;
    return {
      reason: "broker_unreachable",
      message: `The broker can't be reached${why}`,
    };
  }
  if (blocked !== undefined) {
    return {
      reason: "broker_blocked",
      message: `The broker takes no messages: ${blocked}`,
    };
  }
  if (roundTripMs === undefined) {
    return {
      reason: "broker_silent",
      message: "The broker is connected, but returns no message",
    };
  }
  if (!isCutOff) return undefined;
  return {
    reason: "broker_split",
    message:
      `None of ${nodes} other nodes is heard, and this broker can't reach their queues: ` +
      "likely its cluster is split",
  };
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

  post(): Promise<Posted> {
    return Promise.resolve({
      isConfirmed: undefined,
      reachedOthers: false,
      isGone: true,
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
