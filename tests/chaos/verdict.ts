/** What a checker finds, and how people read it. */
import type { PairViolation } from "./pair.ts";

/** What can be wrong. */
export type ViolationKind =
  | PairViolation
  /** A client got its own message. */
  | "echo"
  /** A client missed a message. */
  | "missing"
  /** A client got a message of another channel. */
  | "foreign"
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
  /** How many promises were broken. */
  readonly violationCount: number;
  /** The first of them, 100 at most. */
  readonly violations: readonly Violation[];
}

/** Gets a broken promise as one line. */
export function lineOf(
  { kind, timeMs, channel, connection, message }: Violation,
): string {
  const at = (timeMs / 1000).toFixed(1);
  return `${kind} at ${at} s, channel ${channel}, connection ${connection}: ${message}`;
}
