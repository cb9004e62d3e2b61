/** Whether a node does its work, proven: with a bridge, by messages that come back through the broker. */
import type { FileRole, Loss } from "../system/outside.ts";
import {
  type Bridge,
  type BrokerProblem,
  brokerProblem,
  hasHealth,
} from "../relay/bridge.ts";

/** Why a node isn't ready. */
export interface Reason {
  /** For programs: these names stay. */
  readonly reason: "stopping" | BrokerProblem["reason"] | `${FileRole}_lost`;
  /** One line for people. */
  readonly message: string;
}

/** Gets why a node isn't ready; nothing if it is. */
export function notReady(
  { isStopping, bridge, losses = [] }: {
    isStopping: boolean;
    bridge: Bridge;
    /** The files that the node has made, and doesn't find any more. */
    losses?: readonly Loss[] | undefined;
  },
): Reason[] {
  const reasons: Reason[] = [];
  if (isStopping) {
    reasons.push({ reason: "stopping", message: "staps is stopping" });
  }
  for (const { role, message } of losses) {
    reasons.push({ reason: `${role}_lost`, message });
  }
  const problem = hasHealth(bridge) ? brokerProblem(bridge.state()) : undefined;
  if (problem !== undefined) reasons.push(problem);
  return reasons;
}
