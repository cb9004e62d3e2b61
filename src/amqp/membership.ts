/** One channel that a node is in, and its binding on the broker. */
import { channelKey } from "../relay/channel_hash.ts";
import { Tracker } from "./tracker.ts";

/** One channel that this node is in, or about to join or leave. */
export interface Membership {
  readonly path: string;
  /** Its routing key. */
  readonly key: string;
  /** The number of the last message of this node in it, see `outbox.ts`; 0 before the first. */
  lastSequence: number;
  /** The number of the last one that was sent; `undefined` while that has to be sent again. */
  lastSent: number | undefined;
  /** Whether this node wants to be in it. */
  wanted: boolean;
  /**
   * What the broker has. `binding` and `unbinding` were begun, and it isn't
   * known whether they took effect: they are under way, or the connection was
   * lost before the answer. A bind after such an unbind leaves it `unbinding`
   * until the answer, as what came before the unbind may still come.
   */
  state: "unbound" | "binding" | "bound" | "unbinding";
  /** When it was bound last. */
  boundMs: number;
  /** The number of the node's latest message to itself then. */
  boundProbe: number;
  /** When the latest join was called. */
  joinedMs: number;
  tracker: Tracker;
  /** Messages were lost; its clients learn it as soon as new ones arrive again. */
  missed: boolean;
  /** The joins that wait for the broker. */
  joins: PromiseWithResolvers<void>[];
}

/** Makes a membership of the channel `path`, which is neither wanted nor bound. */
export function newMembership(path: string): Membership {
  return {
    path,
    key: channelKey(path),
    lastSequence: 0,
    lastSent: 0,
    wanted: false,
    state: "unbound",
    boundMs: -Infinity,
    boundProbe: 0,
    joinedMs: 0,
    tracker: new Tracker(),
    missed: false,
    joins: [],
  };
}

/** Tells whether the broker has what this node wants. */
export function isSettled({ wanted, state }: Membership): boolean {
  return state === (wanted ? "bound" : "unbound");
}
