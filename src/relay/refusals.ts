/** Answers requests that staps doesn't serve: one line of text each, counted, and logged without the path. */
import { log } from "../common/log.ts";
import { type Refusal, refusal } from "./handshake.ts";
import type { HttpLimitName, LimitName, Limits } from "./limits.ts";
import type { Metrics } from "./metrics.ts";

/** How far apart warnings of full limits are at least, in milliseconds. */
const limitWarningIntervalMs = 10_000;

/** The refusals of one node. */
export class Refusals {
  readonly #limits: Limits;
  readonly #metrics: Metrics;
  #limitWarningDueMs = -Infinity;

  constructor({ limits, metrics }: { limits: Limits; metrics: Metrics }) {
    this.#limits = limits;
    this.#metrics = metrics;
  }

  /** Gets `refusal` as a response. */
  refuse({ status, message, headers }: Refusal): Response {
    const { refusals } = this.#metrics;
    refusals[status] = (refusals[status] ?? 0) + 1;
    log.debug("request refused", { status, message });
    return textResponse(status, message, headers);
  }

  /** Gets the answer to a request for which there is no room now. */
  refuseFor(limit: LimitName | HttpLimitName): Response {
    this.countHit(limit);
    return this.refuseForNow(`The limit "${limit}" is reached`);
  }

  /** Gets the answer to whoever comes while the node stops. */
  refuseStopping(): Response {
    return this.refuseForNow("staps is stopping");
  }

  /** Gets an answer that says when to come again. */
  refuseForNow(message: string): Response {
    const { retryAfterS } = this.#limits;
    return this.refuse(
      refusal(503, message, { "Retry-After": String(retryAfterS) }),
    );
  }

  /** Counts that somebody is refused, and logs it; not for each one, for there may be very many. */
  countHit(limit: LimitName | HttpLimitName): void {
    this.#metrics.limitHits[limit]++;
    const nowMs = performance.now();
    if (nowMs < this.#limitWarningDueMs) return;
    this.#limitWarningDueMs = nowMs + limitWarningIntervalMs;
    log.warn("limit reached, clients are refused", { limit });
  }
}

/** Gets a response with one line of text. */
export function textResponse(
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${message}\n`, {
    status,
    headers: {
      ...headers,
      "Content-Type": "text/plain; charset=utf-8",
      // No further request is expected here; a kept connection is one more to watch.
      "Connection": "close",
    },
  });
}
