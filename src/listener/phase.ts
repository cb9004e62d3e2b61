/** The life of a WebSocket connection. */

/** How far a connection is. */
export type Phase =
  /** Its 101 isn't written. */
  | "new"
  | "open"
  /** Our close frame is on its way, the client's is awaited. */
  | "closing"
  /** The client's close frame is there; the end comes when ours is written. */
  | "answering"
  /** The client broke a rule and gets a close frame; what it sends is dropped. */
  | "draining"
  /** Writing failed. What the client sent before is still read. */
  | "lost"
  | "closed";
