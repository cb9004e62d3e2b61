/**
 * Every way in which staps ends a connection, in one table.
 *
 * The same table stands in docs/protocol.md; a test compares them. Codes below
 * 4000 have the meaning that the WebSocket Close Code Number Registry (RFC 6455
 * section 11.7) gives them, 4000 to 4999 are private (section 7.4.2).
 */

/** A close frame's code and reason. */
export interface Close {
  /** RFC 6455 section 7.4. */
  readonly code: number;
  /** Lower case, 123 bytes at most (RFC 6455 section 5.5). */
  readonly reason: string;
}

/** The close frames that staps sends, by the name that logs and metrics use. */
export const closes = {
  /** The client sent what is no WebSocket frame (RFC 6455); the reason names the rule. */
  protocol: { code: 1002, reason: "protocol error" },
  /** The client sent a text message that isn't UTF-8. */
  not_text: { code: 1007, reason: "text message is not UTF-8" },
  /** The client sent more than `messages_per_second`. */
  rate: { code: 1008, reason: "too many messages per second" },
  /** The client sent a message of more than `message_bytes`, which the reason names. */
  too_big: { code: 1009, reason: "message over 1048576 bytes" },
  /** The client didn't answer a ping. */
  idle: { code: 1001, reason: "no answer to a ping" },
  /** staps failed in handling the client: a bug, which the log tells. */
  fault: { code: 1011, reason: "internal error" },
  /** staps stops or restarts; a reason with `retry=` follows, see {@linkcode restart}. */
  restart: { code: 1001, reason: "service restart" },
  /** More than `client_buffer_bytes` were queued for this client, or more than `brake_bytes` for `slow_after_s`. */
  slow: { code: 4000, reason: "reads too slowly" },
  /** The bridge lost messages of this channel, or can't exclude it. */
  gap: { code: 4001, reason: "messages may have been lost" },
} as const satisfies Record<string, Close>;

/** The name of an entry of {@linkcode closes}. */
export type CloseName = keyof typeof closes;

/**
 * Gets the close of a stopping server, which tells a client to come back in
 * `retryMs` milliseconds.
 */
export function restart(retryMs: number): Close {
  const { code, reason } = closes.restart;
  return { code, reason: `${reason}, retry=${Math.round(retryMs)}` };
}
