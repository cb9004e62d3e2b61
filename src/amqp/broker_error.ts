/** What goes wrong between a node and its broker. */
import { within } from "../common/timing.ts";

/** What was being done when the broker refused it. */
export interface Access {
  readonly right: "configure" | "write" | "read";
  readonly kind: "exchange" | "queue";
  readonly name: string;
}

/** What is known of a {@linkcode BrokerError} beside its message. */
export interface BrokerErrorDetail {
  /** AMQP's reply code, if the broker gave one. */
  readonly code?: number | undefined;
  readonly access?: Access | undefined;
  readonly cause?: unknown;
  /** During the login, when the broker's refusals have no code of their own. */
  readonly opening?: boolean;
  /** Something that came from the queue can't be read, and would come again. */
  readonly unreadable?: boolean;
}

/** The broker said no, or can't be talked to. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";

  constructor(message: string, readonly detail: BrokerErrorDetail = {}) {
    super(message, { cause: detail.cause });
  }
}

/** AMQP 0-9-1 reply codes, and RabbitMQ's use of them. */
export const replyCodes = {
  accessRefused: 403,
  notFound: 404,
  preconditionFailed: 406,
} as const;

/** Gets a {@linkcode BrokerError} for what was thrown; one that says what it was about stays as it is. */
export function toBrokerError(
  error: unknown,
  { access, opening = false }: Pick<BrokerErrorDetail, "access" | "opening"> =
    {},
): BrokerError {
  if (error instanceof BrokerError && (error.detail.access || !access)) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof BrokerError
    ? error.detail.code
    : (error as { code?: unknown } | null)?.code;
  return new BrokerError(message, {
    code: typeof code === "number" ? code : undefined,
    access,
    cause: error,
    opening,
  });
}

/**
 * Gets what the broker answers.
 *
 * @param what What it is waited for, such as `to answer`.
 * @throws {BrokerError} If that takes longer than `timeoutMs`.
 */
export function answerWithin<T>(
  answer: Promise<T>,
  { timeoutMs, what }: { timeoutMs: number; what: string },
): Promise<T> {
  return within(answer, timeoutMs, () => {
    throw new BrokerError(
      `Waited ${timeoutMs / 1000} s for the broker ${what}`,
    );
  });
}
