/** What the clients of a soak found, all crowds together. */
import type { Verdict, Violation } from "../chaos/checker.ts";

/** What clients found. */
export interface Tally {
  connections: number;
  /** Handshakes broken off before their answer. */
  hangUps: number;
  messages: number;
  deliveries: number;
  /** Handshakes refused, all of them while the broker was away; others are violations. */
  refused: number;
  violationCount: number;
  /** The first of them, as text. */
  readonly violations: string[];
}

/** How many violations are told. */
const shownViolations = 5;

/** Gets a tally of nothing. */
export function emptyTally(): Tally {
  return {
    connections: 0,
    hangUps: 0,
    messages: 0,
    deliveries: 0,
    refused: 0,
    violationCount: 0,
    violations: [],
  };
}

/** Adds what a checker found on one crowd. */
export function addVerdict(tally: Tally, verdict: Verdict): void {
  tally.connections += verdict.connections;
  tally.messages += verdict.messages;
  tally.deliveries += verdict.deliveries;
  tally.refused += Object.values(verdict.refused)
    .reduce((sum, count) => sum + count, 0);
  tally.violationCount += verdict.violationCount;
  const room = shownViolations - tally.violations.length;
  tally.violations.push(...verdict.violations.slice(0, room).map(textOf));
}

function textOf({ kind, timeMs, connection, message }: Violation): string {
  const at = (timeMs / 1000).toFixed(1);
  return `${kind} at ${at} s, connection ${connection}: ${message}`;
}
