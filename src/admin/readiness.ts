/** Whether a node does its work, proven: with a bridge, by messages that come back through the broker. */
import { type Bridge, hasHealth } from "../relay/bridge.ts";

/** Why a node isn't ready. The names are for programs, and stay. */
export interface Reason {
  readonly reason:
    | "stopping"
    | "broker_unreachable"
    | "broker_blocked"
    | "broker_silent";
  /** One line for people. */
  readonly message: string;
}

/**
 * Gets why a node isn't ready; nothing if it is.
 *
 * A bridge sends itself a message each second. One that doesn't come back in
 * 5 s is late, whatever the connection looks like: a broker that hangs, or a
 * network that swallows everything, keeps its connections open for long.
 */
export function notReady(
  { isStopping, bridge }: { isStopping: boolean; bridge: Bridge },
): Reason[] {
  const reasons: Reason[] = [];
  if (isStopping) {
    reasons.push({ reason: "stopping", message: "staps is stopping" });
  }
  if (!hasHealth(bridge)) return reasons;
  const { connected, problem, blocked, roundTripMs } = bridge.state();
  if (!connected) {
    const why = problem === undefined ? "" : `: ${problem}`;
    reasons.push({
      reason: "broker_unreachable",
      message: `The broker can't be reached${why}`,
    });
  } else if (blocked !== undefined) {
    reasons.push({
      reason: "broker_blocked",
      message: `The broker takes no messages: ${blocked}`,
    });
  } else if (roundTripMs === undefined) {
    reasons.push({
      reason: "broker_silent",
      message: "The broker is connected, but returns no message",
    });
  }
  return reasons;
}
