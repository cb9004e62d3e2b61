/** What goes wrong between a node and its broker. */
import { escapeControls } from "../common/terminal.ts";
import { within } from "../common/timing.ts";
import type { Validity } from "../common/certificate.ts";
import type { Voice } from "./opening.ts";

/** What was being done when the broker refused it. */
export interface Access {
  readonly right: "configure" | "write" | "read";
  readonly kind: "exchange" | "queue";
  readonly name: string;
}

/** What is known of an opening that failed. */
export interface FailedOpening {
  /** What the server had said by then. */
  readonly voice: Voice;
  /** The broker's certificate isn't trusted; or it ended a connection without TLS before it said anything. */
  readonly doubt?: "untrusted" | "hung up" | undefined;
  /** Where there is a doubt: the certificate that was shown, if one was. */
  readonly certificate?: Validity | undefined;
}

/** What is known of a {@linkcode BrokerError} beside its message. */
export interface BrokerErrorDetail {
  /** AMQP's reply code, if the broker gave one. */
  readonly code?: number | undefined;
  readonly access?: Access | undefined;
  readonly cause?: unknown;
  /** It went wrong while the connection was opened. */
  readonly opening?: FailedOpening | undefined;
  /** Something that came from the queue can't be read, and would come again. */
  readonly unreadable?: boolean;
  /** There was no answer in time. */
  readonly late?: boolean;
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
  notAllowed: 530,
} as const;

/** Gets a {@linkcode BrokerError} for what was thrown; one that says what it was about stays as it is. */
export function toBrokerError(
  error: unknown,
  { access }: Pick<BrokerErrorDetail, "access"> = {},
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
  });
}

/** More of the broker's words isn't shown; AMQP's limit is 255 bytes. */
const maxWords = 300;

/**
 * Gets what the broker said, as one line such as `404 NOT_FOUND - no queue 'x'`;
 * what amqplib or the system said if it wasn't the broker.
 */
export function wordsOf({ message, detail: { code } }: BrokerError): string {
  // amqplib puts the broker's words last.
  const said = /with message "(.*)"$/s.exec(message)?.[1];
  const text = escapeControls(said ?? message).slice(0, maxWords);
  return code === undefined || text.startsWith(`${code} `)
    ? text
    : `${code} ${text}`;
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
      { late: true },
    );
  });
}
