/** Which faults there were when, and what they excuse. */
import {
  type Brokers,
  defaultGraceMs,
  type Effects,
  effectsWith,
  type FaultKind,
} from "./excuses.ts";
import type { Event } from "./history.ts";

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
    this.#effects = effectsWith(options.brokers ?? "one");
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
