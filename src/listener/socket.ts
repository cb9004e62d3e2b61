/**
 * What a WebSocket is to whoever uses one, whichever listener it comes from:
 * the own one (`websocket.ts`), or the runtime's (`runtime.ts`).
 *
 * Messages stay bytes: a message comes as the frame that it is sent on with.
 */

/** A message of a client, whole and checked: UTF-8 if it is text, not larger than the limit. */
export interface Message {
  readonly isText: boolean;
  /** What the client sent; a part of `frame`. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /**
   * The message as one unmasked frame (RFC 6455 section 5.2), ready for
   * {@linkcode Socket.send}. The frames of messages that one read brought in
   * lie one behind the other in the same buffer, where that was possible. Who
   * keeps a frame has to retain its memory, see `large_memory.ts`.
   */
  readonly frame: Uint8Array<ArrayBuffer>;
}

/** How far a socket is. */
export type SocketState = "open" | "closing" | "closed";

/** One WebSocket connection, from its 101 on. */
export interface Socket {
  readonly state: SocketState;

  /** Whether {@linkcode SocketHandler.message} may answer `false`: the runtime's socket can't wait. */
  readonly canWait: boolean;

  /**
   * What was sent and the kernel hasn't taken yet, in bytes: frames, and the
   * memory that each piece in the queue takes beside them. Exact, also while
   * the socket is closing; 0 once it is closed.
   */
  readonly queuedBytes: number;

  /**
   * Sends `frames`, one or more whole ones, without copying them: they must not
   * change any more. Returns at once; what is sent after {@linkcode close} is
   * ignored.
   */
  send(frames: Uint8Array<ArrayBuffer>): void;

  /**
   * Sends a close frame behind what is queued, and gives the peer the
   * configured time to answer; then the connection is closed from here, and
   * what was queued is gone. Nothing that the peer sends after this is handed
   * over. Does nothing the second time.
   *
   * @param reason At most 123 bytes (RFC 6455 section 5.5).
   */
  close(code: number, reason: string): void;

  /**
   * Goes on after {@linkcode SocketHandler.message} did not take a message:
   * hands over the same one again, then what follows.
   */
  resume(): void;

  /** Asks for one call of {@linkcode SocketHandler.caughtUp} when no more than `bytes` are queued. */
  tellBelow(bytes: number): void;
}

/** Whoever uses a socket. No call may throw: one that does ends the connection with 1011. */
export interface SocketHandler {
  /** The 101 is written. */
  opened(): void;
  /**
   * A message came. Gets whether it was taken. One that wasn't waits in the
   * socket, which hands over no further message and reads no further, so that
   * what the peer sends waits in the kernel, until {@linkcode Socket.resume}.
   * Control frames before that message are answered as ever; no pong is
   * expected meanwhile. This is how a fast sender is slowed down to its
   * channel's readers.
   */
  message(message: Message): boolean;
  /** See {@linkcode Socket.tellBelow}. */
  caughtUp(): void;
  /**
   * The peer's close frame came, and no other went before: nothing more is
   * handed over or sent, and {@linkcode closed} follows when the answer is
   * written behind what is queued, or in the configured time. Called once at
   * most; never by the runtime's listener, which tells of the end only.
   */
  saidGoodbye(): void;
  /** The connection is about to be ended from here, because of `why`. Called once at most, before {@linkcode closed}. */
  faulted(why: SocketFault): void;
  /**
   * The connection is no more, and its queue is gone. Called once, also without
   * {@linkcode opened} if the client hung up before.
   *
   * @param code The close code that the peer sent or answered with, 1005 for a
   * close frame without one; `undefined` if the connection broke.
   */
  closed(code: number | undefined): void;
}

/** The limits of sockets. The object is looked at each time: a reload may change it. */
export interface SocketLimits {
  /** The largest message, in bytes of payload. */
  readonly messageBytes: number;
  /** After half of this without a byte from the peer it gets a ping, after all of it the connection ends; in seconds. */
  readonly idleTimeoutS: number;
  /** How long a peer has to answer a close frame, in seconds. */
  readonly closeTimeoutS: number;
}

/** Why a socket ended a connection by itself; for counting. */
export type SocketFault =
  | "protocol"
  | "not_utf8"
  | "too_big"
  | "idle"
  | "handler";
