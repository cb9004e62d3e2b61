/**
 * What is to be known of a cell, from the history of its clients: chaos'
 * checker tells which promises were broken, and this counts who was closed for
 * nothing, and for how long nothing came.
 *
 * **Closed in vain** is a client to whose node everything came that was sent in
 * its channel on other nodes while it was open: before its close, or to others
 * after it, only late. What was sent right before the close may have been on
 * its way, and counts for neither. A node that has lost its queue can't know
 * what was in it, and closes everybody; on a node that has kept it nobody may
 * be closed in vain.
 */
import {
  Checker,
  type CheckerOptions,
  type ViolationKind,
} from "../chaos/checker.ts";
import type { Event } from "../chaos/history.ts";
import type { QueueType } from "./cells.ts";

/** A connection, from its `open` on. Times are the history's, in milliseconds. */
interface Stay {
  readonly channel: number;
  node: number;
  openMs: number;
  /** When its node closed it; absent for one that stayed. */
  endMs?: number;
  /** Its messages that carry their number. */
  readonly sent: { readonly number: number; readonly ms: number }[];
  /** The last of its messages that anybody got. */
  reached: number;
}

/** What a checker found. */
export interface Verdict {
  readonly messages: number;
  /** Messages that came from another node, each checked. */
  readonly deliveries: number;
  /** How many pairs of a client and one whom it missed something of there are. */
  readonly lost: number;
  /** How many of these clients weren't told, not even later. */
  readonly untold: number;
  /** The first of these, in words. */
  readonly losses: readonly string[];
  /** What else broke a promise, but for closes. */
  readonly wrong: number;
  /** How many of these are refused handshakes. */
  readonly refused: number;
  /** How many clients were closed, by code. */
  readonly closed: Readonly<Record<number, number>>;
  /** How many of them were closed in vain. */
  readonly closedInVain: number;
  /** How many of these were on a node that had kept its queue. */
  readonly closedWrongly: number;
  /** The longest time for which nothing came from a node to another one in a channel, in milliseconds. */
  readonly silenceMs: number;
}

/** How many losses are told in words. */
const shownLosses = 10;

/** What was sent so shortly before a close may have been on its way, in milliseconds. */
const onTheWayMs = 200;

/** Takes the events of a cell's history. */
export class CellChecker {
  /** Messages that came from another node so far. */
  deliveries = 0;
  readonly #checker: Checker;
  /** By connection. */
  readonly #stays = new Map<number, Stay>();
  /** What came to a node: by channel and node, then by sender and number. */
  readonly #arrived = new Map<string, Set<string>>();
  /** When something came last, by channel and both nodes. */
  readonly #heardMs = new Map<string, number>();
  readonly #closed: Record<number, number> = {};
  #silenceMs = 0;

  constructor(
    queueType: QueueType,
    { protocol }: Pick<CheckerOptions, "protocol">,
  ) {
    this.#checker = new Checker({
      ...{ protocol, brokers: queueType },
      // As nodes.ts configures its nodes.
      onOutage: "refuse",
    });
  }

  /** Takes the next event. */
  take(event: Event): void {
    this.#checker.take(event);
    if (event.event === "dial") {
      this.#stays.set(event.connection, {
        ...{ channel: event.channel, node: -1, openMs: Infinity },
        ...{ sent: [], reached: 0 },
      });
    }
    if (!("connection" in event)) return;
    const stay = this.#stays.get(event.connection)!;
    switch (event.event) {
      case "open":
        stay.node = event.node;
        stay.openMs = event.timeMs;
        return;
      case "send":
        if (!event.named) return;
        stay.sent.push({ number: event.number, ms: event.timeMs });
        return;
      case "receive":
        return this.#receive(stay, event);
      case "close":
        if (event.by === "client") return;
        stay.endMs = event.timeMs;
        this.#closed[event.code] = (this.#closed[event.code] ?? 0) + 1;
    }
  }

  /**
   * Gets the verdict on all events so far.
   *
   * @param lostQueues The nodes that lost their queue, as the brokers know.
   */
  finish(lostQueues: ReadonlySet<number>): Verdict {
    const { messages, violations } = this.#checker.finish();
    const lost = violations.filter(({ kind }) => kind === "missing");
    const count = (...kinds: ViolationKind[]): number =>
      violations.filter(({ kind }) => kinds.includes(kind)).length;
    const inVain = [...this.#stays.values()].filter((stay) =>
      stay.endMs !== undefined && !this.#hasMissed(stay, stay.endMs)
    );
    return {
      messages,
      deliveries: this.deliveries,
      lost: lost.length,
      untold:
        lost.filter(({ connection }) =>
          this.#stays.get(connection)!.endMs === undefined
        ).length,
      losses: lost.slice(0, shownLosses).map((
        { timeMs, connection, message },
      ) =>
        `${(timeMs / 1000).toFixed(3)} s, connection ${connection}: ${message}`
      ),
      wrong: violations.length - count("missing", "close"),
      refused: count("refused"),
      closed: this.#closed,
      closedInVain: inVain.length,
      closedWrongly: inVain.filter(({ node }) => !lostQueues.has(node)).length,
      silenceMs: this.#silenceMs,
    };
  }

  #receive(
    { channel, node }: Stay,
    { publisher, number, timeMs }: Event & { event: "receive" },
  ): void {
    const sender = this.#stays.get(publisher);
    if (sender === undefined) return;
    sender.reached = Math.max(sender.reached, number);
    if (sender.node === node) return;
    this.deliveries++;
    this.#arrivedAt(channel, node).add(`${publisher} ${number}`);
    const way = `${channel} ${sender.node} ${node}`;
    const lastMs = this.#heardMs.get(way) ?? timeMs;
    this.#silenceMs = Math.max(this.#silenceMs, timeMs - lastMs);
    this.#heardMs.set(way, timeMs);
  }

  #arrivedAt(channel: number, node: number): Set<string> {
    const key = `${channel} ${node}`;
    let arrived = this.#arrived.get(key);
    if (arrived === undefined) this.#arrived.set(key, arrived = new Set());
    return arrived;
  }

  /** Tells whether something that another node had for sure never came to a stay's node. */
  #hasMissed({ channel, node, openMs }: Stay, endMs: number): boolean {
    const arrived = this.#arrivedAt(channel, node);
    return [...this.#stays].some(([id, from]) =>
      from.channel === channel && from.node !== node &&
      from.sent.some(({ number, ms }) =>
        ms > openMs && ms <= endMs - onTheWayMs &&
        (from.endMs === undefined || number <= from.reached) &&
        !arrived.has(`${id} ${number}`)
      )
    );
  }
}
