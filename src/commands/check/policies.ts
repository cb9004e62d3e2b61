/** Whether the broker's policies let nodes keep their promises, docs/bridge.md. */
import { BrokerError, wordsOf } from "../../amqp/broker_error.ts";
import type { Endpoint } from "../../amqp/connect.ts";
import {
  fill,
  type PolicyTrial,
  type PolicyTrialOptions,
  restMsOf,
  tryPolicies,
} from "../../amqp/policy_trial.ts";
import type { Findings } from "./finding.ts";

/** What is tried, and where. */
export interface PolicyCheck extends PolicyTrialOptions {
  readonly endpoint: Endpoint;
  /** The broker, for people. */
  readonly place: string;
}

const hint =
  "an administrator sees them with: rabbitmqctl list_policies; rabbitmqctl list_operator_policies (with --vhost)";

/** Tries what policies do to exchange and queues, and tells what breaks a promise. */
export async function checkPolicies(
  findings: Findings,
  { endpoint, place, ...options }: PolicyCheck,
): Promise<void> {
  let trial;
  try {
    trial = await tryPolicies(endpoint, options);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    findings.warn(
      `Cannot try what policies do on the broker at ${place}: ${
        wordsOf(error)
      }`,
      "the broker is slow, or has no room for two more queues",
    );
    return;
  }
  const rest = `${restMsOf(options) / 1000} s`;
  const found = [
    ...aboutExchange(trial, options),
    ...aboutLength(trial),
    ...aboutRest(trial, rest),
  ];
  for (const what of found) {
    findings.fail(`The broker at ${place} ${what}`, hint);
  }
  if (found.length > 0) return;
  findings.ok(
    `the broker at ${place} keeps what queues of nodes get: ${trial.filling.sent} messages, and one for ${rest}`,
  );
}

function aboutExchange(
  { isReturned }: PolicyTrial,
  { exchange }: PolicyTrialOptions,
): string[] {
  return isReturned ? [] : [
    `keeps a message to the exchange "${exchange}" that has nowhere to go, expected it back: ` +
    "likely a policy sets alternate-exchange; clients' messages go there, " +
    "and clients whose binding is lost are closed (4001) only seconds later",
  ];
}

function aboutLength({ filling, rest }: PolicyTrial): string[] {
  const { sent, taken, left, keepsNewest } = filling;
  const size = `${sent} messages of ${fill.bytes} bytes`;
  if (taken < sent) {
    return [
      `rejects messages to queues of nodes: ${taken} of ${size} were taken, expected all: ` +
      "likely a policy sets max-length or max-length-bytes; " +
      "clients are closed (4001) when a node is that far behind",
    ];
  }
  // A short TTL shows here, too.
  if (left === taken || rest === "message gone") return [];
  return [
    `drops messages from queues of nodes: ${left} of ${size} were left${
      keepsNewest ? ", the newest" : ""
    }, expected all: likely a policy sets max-length or max-length-bytes, with the overflow drop-head; ` +
    "clients miss messages and are closed (4001) when a node is that far behind",
  ];
}

function aboutRest({ rest }: PolicyTrial, time: string): string[] {
  if (rest === "message gone") {
    return [
      `drops messages that wait in queues of nodes: one was gone after ${time}, expected it there: ` +
      "likely a policy sets message-ttl; clients miss messages and are closed (4001) when a node is away for that long",
    ];
  }
  if (rest === "queue gone") {
    return [
      `deletes queues of nodes: one was gone after ${time} without its node, expected it there for "queue_expires_s": ` +
      "likely a policy sets expires; all clients of a node that is away for that long are closed (4001)",
    ];
  }
  return [];
}
