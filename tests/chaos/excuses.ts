/** What each fault may do to clients, which faults there were when, and so what is excused. */
import type { Event } from "./history.ts";

/** What a fault may do to those whom it hits, from its begin until a while after its end. */
interface Effects {
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
const defaultGraceMs = 5000;

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

/** The names of all faults. */
export const faultKinds = Object.keys(effects) as readonly FaultKind[];

/** How lenient the faults of a history are. */
export interface PastFaultsOptions {
  /** `[bridge] on_outage` of the nodes. Default "local". */
  readonly onOutage?: "local" | "refuse";
  /** What the nodes are connected by. Default "one". */
  readonly brokers?: Brokers;
  /** For how long after its end a fault excuses something, in milliseconds. Default: for each what `excuses.ts` says. */
  readonly graceMs?: number;
}

/** A connection, as far as a fault may hit it; `node` is -1 if it is unknown. */
export interface Place {
  readonly node: number;
  readonly openMs: number;
}

type FaultEvent = Event & { event: "fault" };

interface Fault {
  readonly event: FaultEvent;
  readonly effects: Effects;
  readonly beginMs: number;
  /** Infinity while it goes on. */
  endMs: number;
}

/** The faults of a history up to now. */
export class PastFaults {
  /** The time of the last event of the history. */
  nowMs = 0;
  readonly #options: PastFaultsOptions;
  readonly #effects: Readonly<Record<FaultKind, Effects>>;
  /** In the order of their begin. */
  readonly #all: Fault[] = [];

  constructor(options: PastFaultsOptions) {
    this.#options = options;
    const { brokers = "one" } = options;
    // Others have what one forgets, and quorum queues; a classic queue goes with its broker.
    const ofOne = brokers === "quorum" ? outage : loss;
    this.#effects = brokers === "one" ? effects : {
      ...effects,
      "broker-kill": ofOne,
      "broker-restart": ofOne,
      "broker-lost": ofOne,
    };
  }

  /** Takes a fault's begin. */
  begin(event: FaultEvent): void {
    const effects = this.#effects[event.kind];
    const beginMs = event.timeMs;
    this.#all.push({ event, effects, beginMs, endMs: Infinity });
  }

  /** Takes the end of the fault with this number. */
  heal(fault: number): void {
    this.#all.find(({ event }) => event.fault === fault)!.endMs = this.nowMs;
  }

  /** Gets the kinds of those that go on, or ended a moment ago. */
  get recent(): FaultKind[] {
    return this.#all
      .filter(({ endMs }) => endMs + defaultGraceMs >= this.nowMs)
      .map(({ event }) => event.kind);
  }

  /** Tells whether a fault that hits this node now, or did a moment ago, has such an effect. */
  excuse(
    node: number,
    has: (effects: Effects) => boolean | undefined,
  ): boolean {
    return this.#all.some((fault) =>
      this.nowMs <= this.#untilMs(fault) && hits(fault, node) &&
      has(fault.effects)
    );
  }

  /** Tells whether a handshake may be answered with this status now. */
  excuseRefusal(status: number): boolean {
    const isOutage = this.#options.onOutage === "refuse" && status === 503;
    return this.excuse(
      -1,
      ({ refusals, lateJoins }) =>
        refusals?.includes(status) || isOutage && lateJoins,
    );
  }

  /**
   * Gets until when messages may have been sent that a client missed, because
   * it joined in an outage, in which it gets those of its own node only;
   * -Infinity if it may have missed none.
   */
  lateUntilMs(receiver: Place, publisher: Place): number {
    const { node, openMs } = receiver;
    let untilMs = -Infinity;
    if (
      this.#options.onOutage === "refuse" || isSameNode(receiver, publisher)
    ) return untilMs;
    // One that prolongs another comes behind it.
    for (const fault of this.#all) {
      if (!fault.effects.lateJoins || !hits(fault, node)) continue;
      const endMs = this.#untilMs(fault);
      if (fault.beginMs <= Math.max(openMs, untilMs) && endMs >= openMs) {
        untilMs = Math.max(untilMs, endMs);
      }
    }
    return untilMs;
  }

  /** Tells whether messages between these two may still be on their way. */
  part(one: Place, other: Place): boolean {
    return !isSameNode(one, other) &&
      [one, other].some(({ node }) => this.excuse(node, ({ parts }) => parts));
  }

  /** Tells whether a node may have died with messages that this client, which has left, had published on it. */
  mayForget({ node, openMs }: Place): boolean {
    const dead = this.#all.filter((fault) =>
      fault.effects.forgets && hits(fault, node) && fault.endMs >= openMs
    );
    return dead.some(({ effects, beginMs, endMs }) =>
      effects.forgets === "always" ||
      this.#all.some((other) =>
        other.effects.parts && hits(other, node) &&
        other.beginMs <= endMs && this.#untilMs(other) >= beginMs
      )
    );
  }

  /** Until when it has effects. */
  #untilMs({ effects, endMs }: Fault): number {
    return endMs +
      (this.#options.graceMs ?? effects.graceMs ?? defaultGraceMs);
  }
}

/** Tells whether a fault hits a node; one of them may be unknown, or all. */
function hits({ event }: Fault, node: number): boolean {
  return event.node < 0 || node < 0 || event.node === node;
}

function isSameNode(one: Place, other: Place): boolean {
  return one.node === other.node && one.node >= 0;
}
