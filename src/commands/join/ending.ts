/** What the end of a connection means: an exit status, or a wait before the next one. */
import { closes } from "../../relay/close.ts";
import type { Ended } from "./connection.ts";

/** The first wait before connecting again, and the longest, in milliseconds. */
const minRetryMs = 500;
const maxRetryMs = 30_000;
/** By how much of the time that a refusal asks for to come later, as it asks everybody for the same. */
const askedSpread = 0.2;
/** The longest wait that a server may ask for, in milliseconds. */
const maxAskedRetryMs = 600_000;

/** The exit statuses of `staps join`, by what ended it; the table in docs/commands.md. */
export const joinStatus = {
  /** It ended as asked: at the end of the input, or after `-n` messages. */
  done: 0,
  /** It couldn't connect, or not print what came. */
  failed: 1,
  /** The server goes, or a frontend does, or asks to come back: 1001, 1012, 1013. */
  comeBack: 3,
  /** What was published is refused: 1003, 1007, 1008, 1009. */
  refused: 4,
  /** Messages may have been missed: 4000, 4001. */
  missed: 5,
  /** The connection was lost, which staps may have noticed first (1001, no answer to a ping), or closed with any other code. */
  lost: 6,
} as const;

/** Gets the exit status for how a connection ended, as far as staps join didn't end it itself. */
export function statusOfClose({ code, reason }: Ended): number {
  const { idle } = closes;
  if (code === idle.code && reason === idle.reason) return joinStatus.lost;
  if ([1001, 1012, 1013].includes(code)) return joinStatus.comeBack;
  if ([1003, 1007, 1008, 1009].includes(code)) return joinStatus.refused;
  if ([4000, 4001].includes(code)) return joinStatus.missed;
  return joinStatus.lost;
}

/** What {@linkcode retryDelayMs} goes by. */
export interface RetryOptions {
  /** How often connecting has failed in a row. */
  readonly failures: number;
  /** What a refusal asked for, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** From 0 to 1, for tests. */
  readonly random?: number;
}

/**
 * Gets how long to wait before connecting again, in milliseconds: what the
 * server asks for (`retry=MILLISECONDS` in a close's reason, or `Retry-After`
 * of a refusal, and up to 20 % more), else 500 ms doubling with every failure
 * to 30 s, ± 20 % so that many don't come at once.
 */
export function retryDelayMs(
  reason: string,
  { failures, retryAfterMs, random = Math.random() }: RetryOptions,
): number {
  const asked = /(?:^|[ ,;])retry=([0-9]{1,9})\b/.exec(reason)?.[1];
  if (asked !== undefined) return Math.min(Number(asked), maxAskedRetryMs);
  if (retryAfterMs !== undefined) {
    const delayMs = Math.min(retryAfterMs, maxAskedRetryMs);
    return Math.round(delayMs * (1 + askedSpread * random));
  }
  const delayMs = Math.min(maxRetryMs, minRetryMs * 2 ** failures);
  return Math.round(delayMs * (0.8 + 0.4 * random));
}
