/** What an answer has to be to be a status: whoever answers on a socket may be no staps at all. */
import type { BoundSocket, BridgeStatus, Status } from "./status.ts";
import type { Reason } from "./readiness.ts";

/** Gets what is wrong with `value`, which is called `name`; `undefined` if nothing is. */
type Check = (value: unknown, name: string) => string | undefined;

/** A check for each field, so that a new one can't be forgotten. */
type Shape<T> = Readonly<Record<keyof T, Check>>;

/**
 * Tells whether an answer to `/status` is a {@linkcode Status}: gets what is wrong
 * with it, such as `"clients" is a text, expected a number from 0 on`, without
 * quoting it; `undefined` if nothing is. Other fields may be there: a node may be newer.
 */
export function statusProblem(answer: unknown): string | undefined {
  return isObject(statusShape)(answer, "the answer");
}

const isText: Check = (value, name) =>
  typeof value === "string" ? undefined : wrong(name, value, "a text");

const isFlag: Check = (value, name) =>
  typeof value === "boolean" ? undefined : wrong(name, value, "true or false");

/** JSON has no others than finite ones, but for 1e999. */
const isCount: Check = (value, name) =>
  typeof value === "number" && value >= 0 && value < Infinity
    ? undefined
    : wrong(name, value, "a number from 0 on");

const isCounts: Check = (value, name) =>
  isRecord(value)
    ? firstProblem(Object.values(value).map((each) => isCount(each, name)))
    : wrong(name, value, "an object");

function isNullOr(check: Check): Check {
  return (value, name) => value === null ? undefined : check(value, name);
}

function isListOf(check: Check): Check {
  return (value, name) =>
    Array.isArray(value)
      ? firstProblem(value.map((each) => check(each, name)))
      : wrong(name, value, "a list");
}

function isObject<T>(shape: Shape<T>): Check {
  return (value, name) =>
    isRecord(value)
      ? firstProblem(
        Object.entries<Check>(shape).map(([key, check]) =>
          check(value[key], `"${key}"`)
        ),
      )
      : wrong(name, value, "an object");
}

const reasonShape: Shape<Reason> = { reason: isText, message: isText };

const socketShape: Shape<BoundSocket> = { path: isText, file: isText };

const bridgeShape: Shape<BridgeStatus> = {
  connected: isFlag,
  broker: isNullOr(isText),
  round_trip_ms: isNullOr(isCount),
  outbox_messages: isCount,
  outbox_bytes: isCount,
  messages_sent: isCount,
  messages_received: isCount,
  gaps: isCount,
  connects: isCount,
};

const statusShape: Shape<Status> = {
  version: isText,
  pid: isCount,
  socket: isNullOr(isObject(socketShape)),
  started: isText,
  uptime_s: isCount,
  ready: isFlag,
  reasons: isListOf(isObject(reasonShape)),
  clients: isCount,
  clients_limit: isCount,
  channels: isCount,
  channels_limit: isCount,
  connects: isCount,
  messages_received: isCount,
  received_bytes: isCount,
  deliveries: isCount,
  delivered_bytes: isCount,
  buffered_bytes: isCount,
  closes: isCounts,
  limit_hits: isCounts,
  event_loop_lag_ms: isCount,
  memory_bytes: isCount,
  cpu_s: isCount,
  open_fds: isNullOr(isCount),
  bridge: isNullOr(isObject(bridgeShape)),
};

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function firstProblem(
  problems: readonly (string | undefined)[],
): string | undefined {
  return problems.find((problem) => problem !== undefined);
}

/** Says what `value` is, not what is in it: nobody knows who wrote it. */
function wrong(name: string, value: unknown, expected: string): string {
  const found = value === undefined
    ? "nothing"
    : value === null
    ? "null"
    : Array.isArray(value)
    ? "a list"
    : typeof value === "string"
    ? "a text"
    : typeof value === "number"
    ? "another number"
    : typeof value === "boolean"
    ? "true or false"
    : "an object";
  return `${name} is ${found}, expected ${expected}`;
}
