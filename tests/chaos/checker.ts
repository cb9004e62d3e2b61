/**
 * Decides from a history alone, without the server's code, whether the promises
 * of docs/protocol.md were kept. The order of lines is the order of events. A
 * *pair* is a receiver and a publisher of its channel. These are the rules:
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
 *   what it hadn't handed to the broker, or while a fault keeps the two nodes
 *   apart: nobody is there to be waited for.
 * - **One node, one truth.** What any client of a node has got before another
 *   one, open since before it was sent, begins to leave in good order, that
 *   other one must have got, too. So a suffix is lost to all clients of a node,
 *   or to none.
 * - **Endings.** A connection ends as its client began it; or with a documented
 *   code and reason, while a fault excuses that code (`documented.ts`,
 *   `excuses.ts`). Handshakes end with 101, or with such a status.
 *
 * Messages without a name come from one publisher per channel; their numbers
 * follow from the named ones around them. Nothing is kept of a channel that is
 * settled and has no connection left.
 *
 * As a program it prints the verdict on a history once more, such as one that a
 * failed run kept, of which the second argument is its `--cluster`, if any:
 *
 *     deno run --allow-read tests/chaos/checker.ts FOLDER/history.jsonl
 */
import { protocol, readDocumented } from "./documented.ts";
import { type Brokers, PastFaults, type PastFaultsOptions } from "./excuses.ts";
import { type Event, readHistory } from "./history.ts";
import { Pair, type PairViolation, type Sent } from "./pair.ts";
import { print } from "./terminal.ts";

/** What can be wrong. */
export type ViolationKind =
  | PairViolation
  /** A client got its own message. */
  | "echo"
  /** A client missed a message. */
  | "missing"
  /** A client got a message of another channel. */
  | "foreign"
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
  /** The faults that went on then, or had ended a moment ago. */
  readonly faults: readonly string[];
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
  /** How many promises were broken. */
  readonly violationCount: number;
  /** The first of them, 100 at most. */
  readonly violations: readonly Violation[];
}

/** Settings of {@linkcode Checker}. */
export interface CheckerOptions extends PastFaultsOptions {
  /** The text of docs/protocol.md, whose tables say how connections may end. */
  readonly protocol: string;
  /** Whether the nodes can't keep what an outage holds up, so that anybody may be told of a gap in one. */
  readonly hasGaps?: boolean;
}

/** What is known of a connection. */
class Connection {
  node = -1;
  state: "dialing" | "open" | "ended" = "dialing";
  openMs = 0;
  /** How it left, if it did. */
  left: "close" | "reset" | undefined;
  leftInGoodOrder = false;
  readonly sent: Sent[] = [];
  /** By publisher. */
  readonly pairs = new Map<number, Pair>();
  /** What it must have got when it has left in good order: a number by publisher. */
  readonly owed = new Map<number, number>();

  constructor(readonly id: number, readonly channel: Channel) {}
}

/** What is known of a channel. */
class Channel {
  /** Those that opened. */
  readonly connections = new Map<number, Connection>();
  /** The highest number that clients of a node got: by node, then by publisher. */
  readonly reached = new Map<number, Map<number, number>>();
  /** Who sends messages without a name. */
  whisperer: Connection | undefined;
  isSettled = false;
  /** How many connections haven't ended. */
  present = 0;

  constructor(readonly index: number) {}
}

const maxViolations = 100;
/** How many missing numbers a violation tells. */
const shownMissing = 5;

/** Takes the events of a history one by one, while it is written or afterwards. */
export class Checker {
  readonly #documented;
  readonly #hasGaps: boolean;
  readonly #faults: PastFaults;
  readonly #channels = new Map<number, Channel>();
  readonly #connections = new Map<number, Connection>();
  #lastConnection = 0;
  readonly #verdict = {
    ...{ channels: 0, connections: 0, messages: 0, deliveries: 0 },
    closes: {} as Record<number, number>,
    refused: {} as Record<number, number>,
    violationCount: 0,
    violations: [] as Violation[],
  };

  constructor(options: CheckerOptions) {
    this.#documented = readDocumented(options.protocol);
    this.#hasGaps = options.hasGaps ?? false;
    this.#faults = new PastFaults(options);
  }

  /** The verdict on all events so far. */
  get verdict(): Verdict {
    return this.#verdict;
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
    this.#faults.nowMs = event.timeMs;
    switch (event.event) {
      case "begin":
        return;
      case "fault":
        return this.#faults.begin(event);
      case "healed":
        return this.#faults.heal(event.fault);
      case "dial":
        return this.#takeDial(event);
      case "settled":
        return this.#takeSettled(event);
    }
    const connection = this.#connections.get(event.connection);
    if (connection === undefined || connection.state === "ended") {
      throw wrongHistory("a connection", event);
    }
    switch (event.event) {
      case "open":
        return this.#takeOpen(connection, event.node);
      case "refused":
        return this.#takeRefused(connection, event);
      case "send":
        return this.#takeSend(connection, event);
      case "receive":
        return this.#takeReceive(connection, event);
      case "leave":
        return this.#takeLeave(connection, event.how);
      case "close":
        return this.#takeClose(connection, event);
    }
  }

  /** Gets the verdict on all events so far; call it after the last one. */
  finish(): Verdict {
    for (const connection of this.#connections.values()) {
      if (connection.state === "ended") continue;
      this.#reportMissing(connection);
      this.#report("unended", connection, "Expected an end, got none");
    }
    return this.#verdict;
  }

  #takeDial(event: Event & { event: "dial" }): void {
    const { connection: id, channel: index } = event;
    let channel = this.#channels.get(index);
    if (channel === undefined) {
      this.#channels.set(index, channel = new Channel(index));
      this.#verdict.channels++;
    }
    this.#lastConnection = Math.max(this.#lastConnection, id);
    this.#connections.set(id, new Connection(id, channel));
    channel.present++;
  }

  #takeOpen(connection: Connection, node: number): void {
    connection.state = "open";
    connection.node = node;
    connection.openMs = this.#faults.nowMs;
    this.#verdict.connections++;
    const { connections } = connection.channel;
    for (const other of connections.values()) {
      const { length } = other.sent;
      if (length > 0) this.#pairOf(connection, other, length);
    }
    connections.set(connection.id, connection);
  }

  #takeRefused(
    connection: Connection,
    { status, reason }: Event & { event: "refused" },
  ): void {
    count(this.#verdict.refused, status);
    const isDocumented = status === 0 || this.#documented.statuses.has(status);
    if (!isDocumented || !this.#faults.excuseRefusal(status)) {
      const message =
        `Expected 101, got ${status} "${reason}", which nothing excuses`;
      this.#report("refused", connection, message);
    }
    this.#end(connection);
  }

  #takeSend(connection: Connection, event: Event & { event: "send" }): void {
    const { sent, channel } = connection;
    this.#verdict.messages++;
    sent.push(event);
    if (event.number !== sent.length) {
      throw wrongHistory(`number ${sent.length}`, event);
    }
    if (event.named) return;
    channel.whisperer ??= connection;
    if (channel.whisperer !== connection) {
      throw wrongHistory("unnamed messages of one publisher only", event);
    }
  }

  #takeReceive(receiver: Connection, got: Event & { event: "receive" }): void {
    this.#verdict.deliveries++;
    const { publisher: id, number } = got;
    const what = id > 0 ? `${number} of ${id}` : "one without a name";
    const publisher = id > 0
      ? this.#connections.get(id)
      : receiver.channel.whisperer;
    if (publisher === receiver) {
      const message = `Expected no message of its own, got ${what}`;
      return this.#report("echo", receiver, message);
    }
    if (publisher?.channel !== receiver.channel) {
      const isForeign = id > 0 && id <= this.#lastConnection;
      return this.#report(
        isForeign ? "foreign" : "invented",
        receiver,
        `Expected messages of its channel, got ${what}`,
      );
    }
    const pair = this.#pairOf(receiver, publisher);
    if (id > 0) pair.takeNamed(number, got);
    else pair.takeUnnamed(got);
    const { node, channel: { reached } } = receiver;
    let byPublisher = reached.get(node);
    if (byPublisher === undefined) reached.set(node, byPublisher = new Map());
    raise(byPublisher, publisher.id, pair.last);
  }

  /** Notes what others on its node got before it began to leave: it must have got that, too. */
  #takeLeave(connection: Connection, how: "close" | "reset"): void {
    connection.left = how;
    const { channel, node, owed } = connection;
    if (how === "reset" || node < 0) return;
    for (const [publisher, number] of channel.reached.get(node) ?? []) {
      raise(owed, publisher, number);
    }
  }

  /** Notes for all who are open what is whole, and so has to have reached them. */
  #takeSettled(event: Event & { event: "settled" }): void {
    const channel = this.#channels.get(event.channel);
    if (channel === undefined) return;
    channel.isSettled = true;
    for (const receiver of channel.connections.values()) {
      if (receiver.state !== "open" || receiver.left !== undefined) continue;
      for (const publisher of channel.connections.values()) {
        if (publisher.sent.length === 0) continue;
        const isWhole = publisher.state === "open" ||
          publisher.leftInGoodOrder && !this.#faults.mayForget(publisher) &&
            !this.#faults.part(publisher, receiver);
        if (isWhole) raise(receiver.owed, publisher.id, publisher.sent.length);
      }
    }
    this.#dropIfOver(channel);
  }

  #takeClose(connection: Connection, event: Event & { event: "close" }): void {
    const { by, code } = event;
    count(this.#verdict.closes, code);
    if (by !== "client") this.#judgeClose(connection, event);
    connection.leftInGoodOrder = by === "client" && code !== 1006;
    if (connection.leftInGoodOrder) {
      for (const [id, owed] of connection.owed) {
        if (id === connection.id) continue;
        const publisher = connection.channel.connections.get(id)!;
        this.#pairOf(connection, publisher).finish(owed);
      }
    }
    this.#reportMissing(connection);
    this.#end(connection);
  }

  #judgeClose(
    connection: Connection,
    { by, code, reason }: Event & { event: "close" },
  ): void {
    const how = by === "server" ? "" : " without a close frame";
    const got = `got ${code} "${reason}"${how}`;
    if (this.#documented.closes.get(code)?.test(reason) !== true) {
      const message = `Expected a documented end, ${got}`;
      return this.#report("close", connection, message);
    }
    // Whichever node can't keep something, all others are told.
    const isGap = this.#hasGaps && code === 4001;
    if (isGap && this.#faults.excuse(-1, ({ parts }) => parts)) return;
    const isAnswer = connection.left === "close" && code === 1006;
    const isExcused = this.#faults.excuse(
      connection.node,
      ({ closes, losesAnswers }) =>
        closes?.includes(code) || isAnswer && losesAnswers,
    );
    if (isExcused) return;
    const message = `Expected it to stay open, ${got}, which nothing excuses`;
    this.#report("close", connection, message);
  }

  #reportMissing(receiver: Connection): void {
    for (const [id, { missing, missedMs, last }] of receiver.pairs) {
      if (missing.size === 0) continue;
      const more = missing.size - shownMissing;
      const some = [...missing].slice(0, shownMissing).join(", ") +
        (more > 0 ? ` and ${more} more` : "");
      const message =
        `Expected ${some} of ${id}, got none of them, and ${last} as the last`;
      this.#report("missing", receiver, message, missedMs);
    }
  }

  /** Gets a pair, made if it is missing; `floor` is what had been sent when the receiver opened. */
  #pairOf(receiver: Connection, publisher: Connection, floor = 0): Pair {
    let pair = receiver.pairs.get(publisher.id);
    if (pair === undefined) {
      pair = new Pair({
        sent: publisher.sent,
        floor,
        lateUntilMs: () => this.#faults.lateUntilMs(receiver, publisher),
        nowMs: () => this.#faults.nowMs,
        onWrong: (kind, message) =>
          this.#report(kind, receiver, `Of ${publisher.id}: ${message}`),
      });
      receiver.pairs.set(publisher.id, pair);
    }
    return pair;
  }

  #end(connection: Connection): void {
    const { channel, id } = connection;
    connection.state = "ended";
    channel.present--;
    this.#dropIfOver(channel);
    // Who never opened has nothing that anybody refers to.
    if (!channel.connections.has(id)) this.#connections.delete(id);
  }

  #dropIfOver(channel: Channel): void {
    if (!channel.isSettled || channel.present > 0) return;
    this.#channels.delete(channel.index);
    for (const id of channel.connections.keys()) this.#connections.delete(id);
  }

  #report(
    kind: ViolationKind,
    { id: connection, channel }: Connection,
    message: string,
    timeMs = this.#faults.nowMs,
  ): void {
    this.#verdict.violationCount++;
    const { violations } = this.#verdict;
    if (violations.length >= maxViolations) return;
    const faults = this.#faults.recent;
    violations.push({
      ...{ kind, timeMs, channel: channel.index, connection, message, faults },
    });
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

/** Sets a number by a key, unless it is as high already. */
function raise(
  numbers: Map<number, number>,
  key: number,
  number: number,
): void {
  if ((numbers.get(key) ?? 0) < number) numbers.set(key, number);
}

function count(counts: Record<number, number>, what: number): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

function wrongHistory(expected: string, event: Event): Error {
  return new Error(`Expected ${expected}, got ${JSON.stringify(event)}`);
}

/** Gets a broken promise as one line. */
export function lineOf(
  { kind, timeMs, channel, connection, message, faults }: Violation,
): string {
  const at = (timeMs / 1000).toFixed(3);
  const where = `channel ${channel}, connection ${connection}`;
  const during = faults.length > 0 ? ` (${faults.join(", ")})` : "";
  return `${kind} at ${at} s, ${where}: ${message}${during}`;
}

if (import.meta.main) {
  const [path = "history.jsonl", brokers = "one"] = Deno.args;
  const verdict = await checkFile(path, {
    protocol,
    // As node.ts configures its nodes.
    ...{ onOutage: "refuse", brokers: brokers as Brokers },
  });
  print(`${JSON.stringify(verdict, undefined, 2)}\n`);
}
