/** Decides from a history alone, without the server's code, whether the promises were kept. */
import type { Event } from "./history.ts";

/** What can be wrong. */
export type ViolationKind =
  /** A client got its own message. */
  | "echo"
  /** A client got a message twice. */
  | "twice"
  /** A client got messages of one publisher in another order than they were sent. */
  | "order"
  /** A client missed a message. */
  | "missing"
  /** Text came as binary, or the other way round. */
  | "kind"
  /** A message came with other bytes. */
  | "bytes"
  /** A client got a message of another channel. */
  | "foreign"
  /** A client got a message that nobody sent. */
  | "invented"
  /** A connection ended in a way that nothing excuses. */
  | "close"
  /** A handshake was refused in a way that nothing excuses. */
  | "refused"
  /** A connection has no end in the history. */
  | "unended";

/** A broken promise. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly timeMs: number;
  readonly channel: number;
  readonly connection: number;
  /** What was expected, and what came instead. */
  readonly message: string;
  /** Lines of the history: what happened in the channel before, and the faults of the time. */
  readonly before: readonly string[];
}

/** What a checker found. */
export interface Verdict {
  readonly channels: number;
  readonly connections: number;
  readonly messages: number;
  /** Messages that clients got, each checked. */
  readonly deliveries: number;
  /** Connections that ended, by code. */
  readonly closes: Readonly<Record<number, number>>;
  /** Handshakes that weren't answered with 101, by status. */
  readonly refused: Readonly<Record<number, number>>;
  /** Faults, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** How many promises were broken. */
  readonly violationCount: number;
  /** The first of them, 100 at most. */
  readonly violations: readonly Violation[];
}

/** Settings of {@linkcode Checker}. */
export interface CheckerOptions {
  /** The text of docs/protocol.md, whose tables say how connections may end. */
  readonly protocol: string;
  /** `[bridge] on_outage` of the nodes. Default "local". */
  readonly onOutage?: "local" | "refuse";
  /** A client that stops reading for less must not be closed for it, in milliseconds. Default 2 s. */
  readonly survivableStallMs?: number;
}

/** Takes the events of a history one by one, while it is written or afterwards. */
export class Checker {
  constructor(_options: CheckerOptions) {}

  /** Takes the next event. */
  take(_event: Event): void {}

  /** Gets the verdict on all events so far; call it after the last one. */
  finish(): Verdict {
    throw new Error("Not there yet");
  }
}

/** Gets the verdict on the history in a file. */
export function checkFile(
  _path: string,
  _options: CheckerOptions,
): Promise<Verdict> {
  throw new Error("Not there yet");
}
