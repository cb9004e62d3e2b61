/** What each fault may do to clients: what excuses the end of a connection, or a handshake without a 101. */

/** What a fault may do to those whom it hits, from its begin until a while after its end. */
export interface Effects {
  /** The codes that connections may end with; 1006 stands for no close frame. */
  readonly closes?: readonly number[];
  /** Who has sent a close frame may not get the answer: a reset may overtake it (RFC 9293 section 3.10.7.4). */
  readonly losesAnswers?: boolean;
  /** The statuses that handshakes may be answered with; 0 stands for no answer. */
  readonly refusals?: readonly number[];
  /** Messages between this node and others may have to wait. */
  readonly parts?: boolean;
  /** Who joins may get messages of other nodes only from its end on (docs/bridge.md, "In an outage", `on_outage = local`). */
  readonly lateJoins?: boolean;
  /**
   * What clients of the node have published may reach its own clients only
   * (docs/protocol.md, "What isn't promised"): `always`, or while it is `parted`.
   */
  readonly forgets?: "always" | "parted";
  /** For how long after the end it has effects, in milliseconds. Default {@linkcode defaultGraceMs}. */
  readonly graceMs?: number;
}

/** For how long after its end a fault has effects, in milliseconds, if its entry doesn't say. */
export const defaultGraceMs = 5000;

/** A node finds its way back: connections dropped after 2 to 3 heartbeats of 5 s, and bindings asserted again. */
const reconnectMs = 30_000;

const shortage: Effects = { parts: true, graceMs: reconnectMs };
const outage: Effects = { ...shortage, lateJoins: true };
const loss: Effects = { ...outage, closes: [4001] };

/** The brokers of a run: one, or three with this kind of queues. */
export type Brokers = "one" | "classic" | "quorum";

/** What each fault may do to those who have one broker. Whatever isn't here is a violation. */
const effects = {
  // It may forget bindings that it has just confirmed.
  "broker-kill": loss,
  "broker-restart": outage,
  "broker-closes": outage,
  "broker-memory": shortage,
  "broker-disk": shortage,
  "broker-lost": outage,
  "queue-deleted": loss,
  "queue-limit": loss,
  "queue-loss": loss,
  "exchange-policy": {},
  "node-kill": { closes: [1006], refusals: [0, 502, 503], forgets: "always" },
  "node-pause": { ...outage, refusals: [0, 502, 504] },
  "node-stop": { closes: [1001], refusals: [0, 502, 503], forgets: "parted" },
  "node-reload": {},
  "bridge-reset": outage,
  "bridge-black-hole": outage,
  "bridge-half-open": outage,
  "bridge-delay": shortage,
  "frontend-reload": {},
  "frontend-restart": { closes: [1006], refusals: [0] },
  "clients-reset": { closes: [1006], refusals: [0] },
  "clients-black-hole": { closes: [1001, 1006, 4000], refusals: [0] },
  "clients-delay": { losesAnswers: true },
  "disk-full": {},
  "descriptors": { refusals: [0, 502, 503] },
  "slow-readers": {},
  "connection-flood": { refusals: [429, 503] },
  "message-flood": {},
  "bad-frames": {},
} as const satisfies Record<string, Effects>;

/** The faults that there are; `faults.ts` says what happens. */
export type FaultKind = keyof typeof effects;

/** What each fault may do, if there are such brokers. */
export function effectsWith(
  brokers: Brokers,
): Readonly<Record<FaultKind, Effects>> {
  if (brokers === "one") return effects;
  // Others have what one forgets, and quorum queues; a classic queue goes with its broker.
  const ofOne = brokers === "quorum" ? outage : loss;
  return {
    ...effects,
    "broker-kill": ofOne,
    "broker-restart": ofOne,
    "broker-lost": ofOne,
  };
}
