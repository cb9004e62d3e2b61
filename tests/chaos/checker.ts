/**
 * Decides from a history alone, without the server's code, whether the promises
 * of docs/protocol.md were kept.
 *
 * The order of lines is the order of events. A *pair* is a receiver and a
 * publisher of its channel. These are the rules:
 *
 * - **Joined means joined.** The first message that a receiver must get from a
 *   publisher is the first one sent after the receiver's `open`. It may get
 *   some earlier ones, those that waited on the broker when its node was in the
 *   channel before. (Where its node was cut off from the broker when it opened,
 *   with `on_outage = local`: the first one sent after that was over, or of a
 *   publisher on its own node.)
 * - **In order, nothing missed, nothing twice.** From the first message that a
 *   receiver must get, numbers go up by one to the last that it gets, however
 *   its connection ends; before that they go up. So whoever is closed with a
 *   code has no gap before it.
 * - **To the end.** When a channel is `settled`, whoever is open and then leaves
 *   in good order must have got all messages of every publisher who is open,
 *   too, or has left in good order: its close frame came after its messages,
 *   and was answered. Of one who reset its connection, was closed, or was cut
 *   off, a *suffix* may be lost, never a message in the middle. The same goes
 *   for one who had left in good order when its node died, which takes along
 *   what it hadn't handed to the broker. (It may also be on its way yet, if a
 *   fault keeps the two nodes apart: nobody is there to be waited for.)
 * - **One node, one truth.** What any client of a node has got before another
 *   one, open since before it was sent, begins to leave in good order, that
 *   other one must have got, too. So a suffix is lost to all clients of a node,
 *   or to none.
 * - **Endings.** A connection ends as its client began it; or with a documented
 *   code and reason, while a fault or a stall of its own excuses that code.
 *   Handshakes end with 101, or with a documented status that a fault excuses.
 *   `excuses.ts` has the tables.
 *
 * Messages without a name come from one publisher per channel; their numbers
 * follow from the named ones around them. Nothing is kept of a channel that is
 * settled and has no connection left.
 */
import {
  type Brokers,
  defaultGraceMs,
  type Documented,
  type Effects,
  effectsWith,
  type FaultKind,
  readDocumented,
  stallCloses,
} from "./excuses.ts";
import {
  type Event,
  formatEvent,
  type MessageKind,
  readHistory,
} from "./history.ts";

/** What can be wrong. */
export type ViolationKind =
  /** A client got its own message. */
  | "echo"
  /** A client got a message twice. */
  | "twice"
  /** A client got messages of one publisher in another order than they were sent. */
  | "order"
  /** A client missed a message. */
  | "missing"
  /** Text came as binary, or the other way round. */
  | "kind"
  /** A message came with other bytes. */
  | "bytes"
  /** A client got a message of another channel. */
  | "foreign"
  /** A client got a message that nobody sent. */
  | "invented"
  /** A connection ended in a way that nothing excuses. */
  | "close"
  /** A handshake was refused in a way that nothing excuses. */
  | "refused"
  /** A connection has no end in the history. */
  | "unended";

/** A broken promise. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly timeMs: number;
  readonly channel: number;
  readonly connection: number;
  /** What was expected, and what came instead. */
  readonly message: string;
  /** Lines of the history: what happened in the channel before, and the faults of the time. */
  readonly before: readonly string[];
}

/** What a checker found. */
export interface Verdict {
  readonly channels: number;
  readonly connections: number;
  readonly messages: number;
  /** Messages that clients got, each checked. */
  readonly deliveries: number;
  /** Connections that ended, by code. */
  readonly closes: Readonly<Record<number, number>>;
  /** Handshakes that weren't answered with 101, by status. */
  readonly refused: Readonly<Record<number, number>>;
  /** Faults, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** How many promises were broken. */
  readonly violationCount: number;
  /** The first of them, 100 at most. */
  readonly violations: readonly Violation[];
}

/** Settings of {@linkcode Checker}. */
export interface CheckerOptions {
  /** The text of docs/protocol.md, whose tables say how connections may end. */
  readonly protocol: string;
  /** `[bridge] on_outage` of the nodes. Default "local". */
  readonly onOutage?: "local" | "refuse";
  /** What the nodes are connected by. Default "one". */
  readonly brokers?: Brokers;
  /** For how long after its end a fault excuses something, in milliseconds. Default: for each what `excuses.ts` says. */
  readonly graceMs?: number;
  /** Whether the nodes can't keep what an outage holds up, so that anybody may be told of a gap in one. */
  readonly hasGaps?: boolean;
}

/** A message as it was sent. */
interface Sent {
  readonly timeMs: number;
  readonly named: boolean;
  readonly kind: MessageKind;
  readonly bytes: number;
  readonly digest: number;
}

/** What came without a name. */
type Unnamed = Pick<Sent, "kind" | "bytes" | "digest">;

/** What a receiver got from one publisher. */
interface Pair {
  /** How many messages the publisher had sent when the receiver opened. */
  readonly floor: number;
  /** The first number that came; 0 for none yet. */
  first: number;
  /** The highest number that came. */
  last: number;
  /** Numbers between these that didn't come, and what happened before the first of them was missed. */
  missing: Set<number> | undefined;
  missingBefore: readonly string[];
  /** Unnamed messages whose numbers the next named one will tell. */
  held: Unnamed[];
}

interface Connection {
  readonly id: number;
  readonly channel: Channel;
  node: number;
  state: "dialing" | "open" | "ended";
  openMs: number;
  /** Whether it left in good order. */
  leftWell: boolean;
  /** How it left, if it did. */
  left: "close" | "reset" | undefined;
  /** Its longest stall ended then, or goes on (Infinity). */
  longStallEndMs: number;
  readonly sent: Sent[];
  /** By publisher. */
  readonly pairs: Map<number, Pair>;
  /** What it must have got when it has left in good order: a number by publisher. */
  owed: Map<number, number> | undefined;
}

interface Channel {
  readonly index: number;
  readonly connections: Map<number, Connection>;
  /** The highest number that clients of a node got: by node, then by publisher. */
  readonly reached: Map<number, Map<number, number>>;
  /** Who sends messages without a name. */
  whisperer: Connection | undefined;
  isSettled: boolean;
  /** Connections that haven't ended. */
  present: number;
  /** What happened last. */
  readonly recent: Event[];
}

interface Fault {
  readonly kind: FaultKind;
  readonly node: number;
  readonly beginMs: number;
  /** Infinity while it goes on. */
  endMs: number;
  readonly event: Event;
}

const maxViolations = 100;
/** How many events of its channel a violation shows. */
const shownEvents = 16;
/** How many missing numbers of a pair are kept. */
const maxMissing = 1000;
/** How far ahead an unnamed message is looked for, to tell a lost one from a changed one. */
const lookAhead = 8;
/** A client that stops reading for less must not be closed for it, in milliseconds. */
const survivableStallMs = 2000;
/** For how long after a stall that was too long a client may be closed for it. */
const stallGraceMs = 30_000;

/** Takes the events of a history one by one, while it is written or afterwards. */
export class Checker {
  readonly #documented: Documented;
  readonly #onOutage: "local" | "refuse";
  readonly #effects: Readonly<Record<FaultKind, Effects>>;
  readonly #graceMs: number | undefined;
  readonly #hasGaps: boolean;
  readonly #channels = new Map<number, Channel>();
  readonly #connections = new Map<number, Connection>();
  readonly #faults: Fault[] = [];
  readonly #faultsById = new Map<number, Fault>();
  readonly #violations: Violation[] = [];
  #violationCount = 0;
  #nowMs = 0;
  #lastConnection = 0;
  #channelCount = 0;
  #connectionCount = 0;
  #messageCount = 0;
  #deliveryCount = 0;
  readonly #closeCounts: Record<number, number> = {};
  readonly #refusedCounts: Record<number, number> = {};
  readonly #faultCounts: Record<string, number> = {};

  constructor(options: CheckerOptions) {
    this.#documented = readDocumented(options.protocol);
    this.#onOutage = options.onOutage ?? "local";
    this.#effects = effectsWith(options.brokers ?? "one");
    this.#graceMs = options.graceMs;
    this.#hasGaps = options.hasGaps ?? false;
  }

  /** The first broken promises so far, 100 at most. */
  get violations(): readonly Violation[] {
    return this.#violations;
  }

  /** How many channels something is kept of. */
  get channelsKept(): number {
    return this.#channels.size;
  }

  /**
   * Takes the next event.
   *
   * @throws {Error} If it can't follow those before it: then the history is wrong.
   */
  take(event: Event): void {
    this.#nowMs = event.timeMs;
    switch (event.event) {
      case "begin":
        return;
      case "fault":
        return this.#takeFault(event);
      case "healed":
        this.#faultsById.get(event.fault)!.endMs = event.timeMs;
        return;
      case "settled": {
        const channel = this.#channels.get(event.channel);
        if (channel === undefined) return;
        remember(channel, event);
        return this.#takeSettled(channel);
      }
      case "dial":
        return this.#takeDial(event);
    }
    const connection = this.#connections.get(event.connection);
    if (connection === undefined || connection.state === "ended") {
      throw new Error(`Expected a connection, got ${formatEvent(event)}`);
    }
    remember(connection.channel, event);
    switch (event.event) {
      case "open":
        return this.#takeOpen(connection, event.node);
      case "refused":
        return this.#takeRefused(connection, event);
      case "send":
        return this.#takeSend(connection, event);
      case "receive":
        this.#deliveryCount++;
        if (event.publisher === 0) this.#takeUnnamed(connection, event);
        else this.#takeNamed(connection, event);
        return;
      case "leave":
        return this.#takeLeave(connection, event.how);
      case "close":
        return this.#takeClose(connection, event);
      case "stall":
        if (event.ms >= survivableStallMs) {
          connection.longStallEndMs = Infinity;
        }
        return;
      case "resume":
        if (connection.longStallEndMs === Infinity) {
          connection.longStallEndMs = event.timeMs;
        }
    }
  }

  /** Gets the verdict on all events so far; call it after the last one. */
  finish(): Verdict {
    for (const connection of this.#connections.values()) {
      if (connection.state === "ended") continue;
      this.#reportMissing(connection);
      this.#report("unended", connection, "Expected an end, got none");
    }
    return {
      channels: this.#channelCount,
      connections: this.#connectionCount,
      messages: this.#messageCount,
      deliveries: this.#deliveryCount,
      closes: this.#closeCounts,
      refused: this.#refusedCounts,
      faults: this.#faultCounts,
      violationCount: this.#violationCount,
      violations: this.#violations,
    };
  }

  #takeFault(event: Event & { event: "fault" }): void {
    const { fault, kind, node, timeMs: beginMs } = event;
    const entry = { kind, node, beginMs, endMs: Infinity, event };
    this.#faults.push(entry);
    this.#faultsById.set(fault, entry);
    this.#faultCounts[kind] = (this.#faultCounts[kind] ?? 0) + 1;
  }

  #takeDial(event: Event & { event: "dial" }): void {
    let channel = this.#channels.get(event.channel);
    if (channel === undefined) {
      channel = {
        index: event.channel,
        connections: new Map(),
        reached: new Map(),
        whisperer: undefined,
        isSettled: false,
        present: 0,
        recent: [],
      };
      this.#channels.set(event.channel, channel);
      this.#channelCount++;
    }
    remember(channel, event);
    const connection: Connection = {
      id: event.connection,
      channel,
      node: -1,
      state: "dialing",
      openMs: 0,
      leftWell: false,
      left: undefined,
      longStallEndMs: -Infinity,
      sent: [],
      pairs: new Map(),
      owed: undefined,
    };
    this.#lastConnection = Math.max(this.#lastConnection, event.connection);
    this.#connections.set(event.connection, connection);
    channel.present++;
  }

  #takeOpen(connection: Connection, node: number): void {
    connection.state = "open";
    connection.node = node;
    connection.openMs = this.#nowMs;
    this.#connectionCount++;
    const { connections } = connection.channel;
    for (const { id, sent } of connections.values()) {
      if (sent.length > 0) connection.pairs.set(id, newPair(sent.length));
    }
    connections.set(connection.id, connection);
  }

  #takeRefused(
    connection: Connection,
    { status, reason }: Event & { event: "refused" },
  ): void {
    this.#refusedCounts[status] = (this.#refusedCounts[status] ?? 0) + 1;
    const excused = (status === 0 || this.#documented.statuses.has(status)) &&
      this.#isExcused(
        -1,
        ({ refusals, lateJoins }) =>
          refusals?.includes(status) === true ||
          this.#onOutage === "refuse" && lateJoins === true && status === 503,
      );
    if (!excused) {
      this.#report(
        "refused",
        connection,
        `Expected 101, got ${status} "${reason}", which nothing excuses`,
      );
    }
    this.#end(connection);
  }

  #takeSend(connection: Connection, event: Event & { event: "send" }): void {
    const { sent, channel } = connection;
    const { timeMs, number, named, kind, bytes, digest } = event;
    this.#messageCount++;
    sent.push({ timeMs, named, kind, bytes, digest });
    if (number !== sent.length) {
      throw new Error(`Expected ${sent.length}, got ${formatEvent(event)}`);
    }
    if (named) return;
    channel.whisperer ??= connection;
    if (channel.whisperer !== connection) {
      throw new Error(
        `Expected unnamed messages of ${channel.whisperer.id} only, got ${
          formatEvent(event)
        }`,
      );
    }
  }

  #takeNamed(
    receiver: Connection,
    event: Event & { event: "receive" },
  ): void {
    const { publisher: id, number, kind, bytes, digest } = event;
    if (id === receiver.id) {
      return this.#report(
        "echo",
        receiver,
        `Expected no message of its own, got ${number}`,
      );
    }
    const publisher = this.#connections.get(id);
    if (publisher?.channel !== receiver.channel) {
      return this.#report(
        id > this.#lastConnection ? "invented" : "foreign",
        receiver,
        `Expected messages of its channel, got ${number} of ${id}`,
      );
    }
    const sent = publisher.sent[number - 1];
    if (sent?.named !== true) {
      return this.#report(
        "invented",
        receiver,
        `Expected messages that were sent, got ${number} of ${id}`,
      );
    }
    if (sent.bytes !== bytes || sent.digest !== digest) {
      this.#report(
        "bytes",
        receiver,
        `Expected ${number} of ${id} with ${sent.bytes} bytes and digest ${sent.digest}, got ${bytes} and ${digest}`,
      );
    }
    if (sent.kind !== kind) {
      this.#report(
        "kind",
        receiver,
        `Expected ${number} of ${id} as ${sent.kind}, got ${kind}`,
      );
    }
    this.#takeNumber(receiver, publisher, number);
  }

  /** Takes a message without a name: its number is the next of the channel's whisperer. */
  #takeUnnamed(receiver: Connection, got: Event & { event: "receive" }): void {
    const { whisperer } = receiver.channel;
    const what = `${got.kind} of ${got.bytes} bytes without a name`;
    if (whisperer === undefined) {
      return this.#report(
        "invented",
        receiver,
        `Expected messages that were sent, got ${what}`,
      );
    }
    if (whisperer === receiver) {
      return this.#report(
        "echo",
        receiver,
        `Expected no message of its own, got ${what}`,
      );
    }
    const pair = pairOf(receiver, whisperer.id);
    // Of those sent before it opened any may be missing, so that what follows may be any.
    const isAligned = pair.last > 0 && pair.last >= pair.floor ||
      pair.floor === 0 && this.#lateUntilMs(receiver) < receiver.openMs;
    if (!isAligned) {
      pair.held.push(got);
      return;
    }
    const { sent } = whisperer;
    const next = sent[pair.last];
    if (isUnnamed(next) && isSame(next, got)) {
      return this.#takeNumber(receiver, whisperer, pair.last + 1);
    }
    const highest = Math.max(pair.last, pair.floor) + lookAhead;
    for (let i = pair.last + 1; i <= highest; i++) {
      const later = sent[i];
      if (isUnnamed(later) && isSame(later, got)) {
        return this.#takeNumber(receiver, whisperer, i + 1);
      }
    }
    const last = sent[pair.last - 1];
    if (isUnnamed(last) && isSame(last, got)) {
      return this.#report(
        "twice",
        receiver,
        `Expected ${pair.last} of ${whisperer.id} once, got it again`,
      );
    }
    for (const number of pair.missing ?? []) {
      const missed = sent[number - 1];
      if (isUnnamed(missed) && isSame(missed, got)) {
        return this.#takeNumber(receiver, whisperer, number);
      }
    }
    if (!isUnnamed(next)) {
      return this.#report(
        "invented",
        receiver,
        `Expected messages that were sent, got ${what}`,
      );
    }
    this.#report(
      next.bytes === got.bytes && next.digest === got.digest ? "kind" : "bytes",
      receiver,
      `Expected ${
        pair.last + 1
      } of ${whisperer.id} as ${next.kind} of ${next.bytes} bytes, got ${what}`,
    );
    this.#takeNumber(receiver, whisperer, pair.last + 1);
  }

  /** Takes a message's number: the next one, or something is wrong. */
  #takeNumber(
    receiver: Connection,
    publisher: Connection,
    number: number,
  ): void {
    const pair = pairOf(receiver, publisher.id);
    this.#placeHeld(receiver, { publisher, pair, number });
    if (pair.last === 0) {
      pair.first = number;
      const lateUntilMs =
        publisher.node === receiver.node && publisher.node >= 0
          ? -Infinity
          : this.#lateUntilMs(receiver);
      for (let missed = pair.floor + 1; missed < number; missed++) {
        if (publisher.sent[missed - 1]!.timeMs <= lateUntilMs) continue;
        this.#miss(receiver, pair, missed);
      }
      pair.last = number;
    } else if (number > pair.last) {
      // Of those sent before it opened it may get any.
      const known = Math.max(pair.last, pair.floor);
      for (let missed = known + 1; missed < number; missed++) {
        this.#miss(receiver, pair, missed);
      }
      pair.last = number;
    } else if (pair.missing?.delete(number) || number < pair.first) {
      this.#report(
        "order",
        receiver,
        `Expected ${number} of ${publisher.id} in its place, got it after ${pair.last}`,
      );
    } else {
      this.#report(
        "twice",
        receiver,
        `Expected ${number} of ${publisher.id} once, got it again`,
      );
    }
    const { node, channel: { reached } } = receiver;
    let byPublisher = reached.get(node);
    if (byPublisher === undefined) reached.set(node, byPublisher = new Map());
    if ((byPublisher.get(publisher.id) ?? 0) < number) {
      byPublisher.set(publisher.id, number);
    }
  }

  /** Gives the first unnamed messages of a pair the numbers before the first known one. */
  #placeHeld(
    receiver: Connection,
    { publisher, pair, number }: {
      publisher: Connection;
      pair: Pair;
      number: number;
    },
  ): void {
    const { held } = pair;
    if (held.length === 0) return;
    pair.held = [];
    const numbers = numbersOf(held, { publisher, pair, end: number }) ??
      held.map((_, i) => number - held.length + i);
    for (const [i, got] of held.entries()) {
      const number = numbers[i]!;
      const sent = publisher.sent[number - 1];
      if (isUnnamed(sent) && isSame(sent, got)) {
        this.#takeNumber(receiver, publisher, number);
      } else {
        this.#report(
          "bytes",
          receiver,
          `Expected ${number} of ${publisher.id}, got ${got.kind} of ${got.bytes} bytes without a name`,
        );
      }
    }
  }

  /** Gives numbers to unnamed messages that no named one followed: the highest that fit. */
  #placeLastHeld(
    receiver: Connection,
    publisher: Connection,
    pair: Pair,
  ): void {
    const { held, floor } = pair;
    const highest = floor + held.length;
    for (let end = highest + 1; end > held.length; end--) {
      const numbers = numbersOf(held, { publisher, pair, end });
      const isLast = numbers?.at(-1) === end - 1;
      if (!isLast && end > held.length + 1) continue;
      this.#placeHeld(receiver, { publisher, pair, number: end });
      return;
    }
  }

  /** Notes that a number didn't come, which it may still do: then in a wrong order. */
  #miss(receiver: Connection, pair: Pair, number: number): void {
    if (pair.missing === undefined) {
      pair.missing = new Set();
      pair.missingBefore = this.#linesBefore(receiver.channel);
    }
    if (pair.missing.size < maxMissing) pair.missing.add(number);
  }

  #takeLeave(connection: Connection, how: "close" | "reset"): void {
    connection.left = how;
    if (how === "reset") return;
    const { channel, node } = connection;
    if (node < 0) return;
    connection.owed ??= new Map();
    for (const [publisher, number] of channel.reached.get(node) ?? []) {
      if ((connection.owed.get(publisher) ?? 0) < number) {
        connection.owed.set(publisher, number);
      }
    }
  }

  #takeSettled(channel: Channel): void {
    channel.isSettled = true;
    for (const receiver of channel.connections.values()) {
      if (receiver.state !== "open" || receiver.left !== undefined) continue;
      receiver.owed = new Map();
      for (const publisher of channel.connections.values()) {
        if (publisher === receiver || publisher.sent.length === 0) continue;
        const isWhole = publisher.state === "open" ||
          publisher.leftWell && !this.#mayHaveForgotten(publisher) &&
            !this.#areApart(publisher, receiver);
        if (isWhole) receiver.owed.set(publisher.id, publisher.sent.length);
      }
    }
    this.#dropIfOver(channel);
  }

  #takeClose(
    connection: Connection,
    { by, code, reason }: Event & { event: "close" },
  ): void {
    this.#closeCounts[code] = (this.#closeCounts[code] ?? 0) + 1;
    if (by !== "client") this.#judgeClose(connection, { by, code, reason });
    connection.leftWell = by === "client" && code !== 1006;
    if (connection.leftWell) this.#collectOwed(connection);
    this.#reportMissing(connection);
    this.#end(connection);
  }

  #judgeClose(
    connection: Connection,
    { by, code, reason }: { by: string; code: number; reason: string },
  ): void {
    const what = `${code} "${reason}"${
      by === "server" ? "" : " without a close frame"
    }`;
    if (this.#documented.closes.get(code)?.test(reason) !== true) {
      return this.#report(
        "close",
        connection,
        `Expected a documented end, got ${what}`,
      );
    }
    if (
      stallCloses.includes(code) &&
      connection.longStallEndMs + stallGraceMs >= this.#nowMs
    ) return;
    // Whichever node can't keep something, all others are told.
    const isGap = this.#hasGaps && code === 4001;
    if (isGap && this.#isExcused(-1, ({ parts }) => parts === true)) return;
    const isAnswer = connection.left === "close" && code === 1006;
    if (
      this.#isExcused(
        connection.node,
        ({ closes, losesAnswers }) =>
          closes?.includes(code) === true ||
          isAnswer && losesAnswers === true,
      )
    ) return;
    this.#report(
      "close",
      connection,
      `Expected it to stay open, got ${what}, which nothing excuses`,
    );
  }

  /** Notes what a receiver that left in good order didn't get to the end. */
  #collectOwed(receiver: Connection): void {
    for (const [id, owed] of receiver.owed ?? []) {
      if (id === receiver.id) continue;
      const publisher = receiver.channel.connections.get(id)!;
      const pair = pairOf(receiver, id);
      this.#placeLastHeld(receiver, publisher, pair);
      const lateUntilMs = pair.last > 0 ||
          publisher.node === receiver.node && publisher.node >= 0
        ? -Infinity
        : this.#lateUntilMs(receiver);
      const last = Math.max(pair.last, pair.floor);
      for (let missed = last + 1; missed <= owed; missed++) {
        if (publisher.sent[missed - 1]!.timeMs <= lateUntilMs) continue;
        this.#miss(receiver, pair, missed);
      }
    }
  }

  #reportMissing(receiver: Connection): void {
    for (const [id, { missing, missingBefore, last }] of receiver.pairs) {
      if (missing === undefined || missing.size === 0) continue;
      const numbers = [...missing];
      const some = numbers.slice(0, 5).join(", ") +
        (numbers.length > 5 ? ` and ${numbers.length - 5} more` : "");
      this.#report(
        "missing",
        receiver,
        `Expected ${some} of ${id}, got none of them, and ${last} as the last`,
        missingBefore,
      );
    }
  }

  /** Tells whether a fault that hits this node now, or did a moment ago, has such an effect. */
  #isExcused(
    node: number,
    has: (effect: Effects) => boolean,
  ): boolean {
    return this.#faults.some((fault) => {
      return this.#nowMs <= this.#excusedUntilMs(fault) && hits(fault, node) &&
        has(this.#effects[fault.kind]);
    });
  }

  #excusedUntilMs({ kind, endMs }: Fault): number {
    const { graceMs = defaultGraceMs } = this.#effects[kind];
    return endMs + (this.#graceMs ?? graceMs);
  }

  /** Gets until when messages of other nodes may have been sent that a client missed, because it joined in an outage; -Infinity if it didn't. */
  #lateUntilMs({ node, openMs }: Connection): number {
    if (this.#onOutage === "refuse") return -Infinity;
    let untilMs = -Infinity;
    // Faults are in the order of their begin, so one that prolongs another comes behind it.
    for (const fault of this.#faults) {
      if (!this.#effects[fault.kind].lateJoins || !hits(fault, node)) continue;
      const endMs = this.#excusedUntilMs(fault);
      if (fault.beginMs <= Math.max(openMs, untilMs) && endMs >= openMs) {
        untilMs = Math.max(untilMs, endMs);
      }
    }
    return untilMs;
  }

  /** Tells whether messages between these two may still be on their way. */
  #areApart(publisher: Connection, receiver: Connection): boolean {
    if (publisher.node === receiver.node && publisher.node >= 0) return false;
    return [publisher, receiver].some(({ node }) =>
      this.#isExcused(node, ({ parts }) => parts === true)
    );
  }

  /** Tells whether a node may have died with messages that this client, which has left, had published on it. */
  #mayHaveForgotten({ node, openMs }: Connection): boolean {
    return this.#faults.some((fault) => {
      const { forgets } = this.#effects[fault.kind];
      if (forgets === undefined || !hits(fault, node)) return false;
      if (fault.endMs < openMs) return false;
      return forgets === "always" || this.#faults.some((other) => {
        return this.#effects[other.kind].parts === true && hits(other, node) &&
          other.beginMs <= fault.endMs &&
          this.#excusedUntilMs(other) >= fault.beginMs;
      });
    });
  }

  #end(connection: Connection): void {
    connection.state = "ended";
    connection.channel.present--;
    this.#dropIfOver(connection.channel);
    // Who never opened has nothing that anybody refers to.
    if (!connection.channel.connections.has(connection.id)) {
      this.#connections.delete(connection.id);
    }
  }

  #dropIfOver(channel: Channel): void {
    if (!channel.isSettled || channel.present > 0) return;
    this.#channels.delete(channel.index);
    for (const id of channel.connections.keys()) this.#connections.delete(id);
  }

  #report(
    kind: ViolationKind,
    { id, channel }: Connection,
    message: string,
    before: readonly string[] = this.#linesBefore(channel),
  ): void {
    this.#violationCount++;
    if (this.#violations.length >= maxViolations) return;
    this.#violations.push({
      kind,
      timeMs: this.#nowMs,
      channel: channel.index,
      connection: id,
      message,
      before,
    });
  }

  /** Gets the lines of the faults of the time, and of what happened in a channel. */
  #linesBefore(channel: Channel): string[] {
    if (this.#violations.length >= maxViolations) return [];
    const faults = this.#faults.filter(({ endMs }) =>
      endMs + defaultGraceMs >= this.#nowMs
    );
    return [
      ...faults.map(({ event }) => event),
      ...channel.recent,
    ].map(formatEvent);
  }
}

/** Gets the verdict on the history in a file. */
export async function checkFile(
  path: string,
  options: CheckerOptions,
): Promise<Verdict> {
  const checker = new Checker(options);
  for await (const event of readHistory(path)) checker.take(event);
  return checker.finish();
}

function remember({ recent }: Channel, event: Event): void {
  recent.push(event);
  // Cut now and then, for a shift each time would cost more.
  if (recent.length > 2 * shownEvents) recent.splice(0, shownEvents);
}

function newPair(floor: number): Pair {
  return {
    floor,
    first: 0,
    last: 0,
    missing: undefined,
    missingBefore: [],
    held: [],
  };
}

function pairOf(receiver: Connection, publisher: number): Pair {
  let pair = receiver.pairs.get(publisher);
  if (pair === undefined) {
    pair = newPair(0);
    receiver.pairs.set(publisher, pair);
  }
  return pair;
}

/**
 * Gets numbers below `end` for unnamed messages of a pair, the highest that fit,
 * so that only some of those are missing that were sent before the receiver
 * opened; `undefined` if there are none.
 */
function numbersOf(
  held: readonly Unnamed[],
  { publisher, pair, end }: {
    publisher: Connection;
    pair: Pair;
    end: number;
  },
): number[] | undefined {
  const numbers: number[] = [];
  let number = end;
  for (const got of held.toReversed()) {
    const fits = (): boolean => {
      const sent = publisher.sent[number - 1];
      return isUnnamed(sent) && isSame(sent, got);
    };
    number--;
    if (!fits()) number = Math.min(number, pair.floor);
    while (number > pair.last && !fits()) number--;
    if (number <= pair.last) return undefined;
    numbers.unshift(number);
  }
  return numbers;
}

function isUnnamed(sent: Sent | undefined): sent is Sent {
  return sent?.named === false;
}

function isSame(sent: Unnamed, got: Unnamed): boolean {
  return sent.kind === got.kind && sent.bytes === got.bytes &&
    sent.digest === got.digest;
}

/** Tells whether a fault hits a node; one of them may be unknown, or all. */
function hits(fault: Fault, node: number): boolean {
  return fault.node < 0 || node < 0 || fault.node === node;
}
