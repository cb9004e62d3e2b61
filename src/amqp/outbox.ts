/**
 * What a node has for the others and the broker hasn't confirmed: in order,
 * bounded in bytes. It knows nothing of AMQP.
 *
 * Letters are numbered over the whole node, and each names the number of the
 * one before it in its channel, so that a receiver sees duplicates and gaps.
 * While letters wait, a channel's further messages join the one that waits.
 * Where a message has to be given up, a notice takes its place: see `Kind` in
 * `envelope.ts`.
 */
import type { Message } from "../relay/message.ts";
import { headerBytes } from "./batch.ts";
import type { Kind } from "./envelope.ts";

/** A channel as its sender sees it. */
export interface Outlet {
  /** The routing key. */
  readonly key: string;
  /** The number of the last letter in this channel, 0 before the first. */
  lastSequence: number;
}

/** Letters of one channel, by number. */
interface Range {
  low: number;
  high: number;
  /** The largest of them. */
  bytes: number;
}

/** Something to send; what the fields mean stands in `Envelope`. */
export interface Letter {
  readonly key: string;
  kind: Kind;
  sequence: number;
  since: number;
  /** What clients sent; a notice has none. */
  readonly messages: Message[];
  /** The size of the messages together; of a notice that of the largest letter concerned. */
  bytes: number;
  /** What it counts towards the limit. */
  cost: number;
  done: boolean;
  /** A notice tells of it, so that it isn't sent again. */
  told: boolean;
}

/** The routing key that every node listens to. */
export const everyNode = "all";

/** What a letter costs beside its payload: an estimate of the memory it takes. */
const letterBytes = 256;

/** The same for a message in a letter with others. */
const messageBytes = 64;

/** A letter with several messages grows up to here; the smallest `queue_bytes` is twice that. */
const maxBatch = { messages: 256, bytes: 32 * 1024 } as const;

/** More notices than this are replaced by one that concerns every channel. */
const maxNotices = 10_000;

/** Letters towards the broker, the oldest first. */
export class Outbox {
  readonly #maxBytes: number;
  /** From #head on; those before are gone. */
  #letters: (Letter | undefined)[] = [];
  #head = 0;
  #next = 0;
  #bytes = 0;
  #messages = 0;
  #notices = 0;
  #sequence = 0;
  /** What wasn't sent yet and may be extended, by routing key. */
  readonly #open = {
    /** Letters that weren't sent yet and may get more messages. */
    batch: new Map<string, Letter>(),
    lost: new Map<string, Letter>(),
    rejected: new Map<string, Letter>(),
  };
  /** Numbers of messages that the broker rejected, by routing key. */
  #rejected = new Map<string, Range>();

  /** Makes an empty outbox for up to `maxBytes` bytes. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** What waits here, in bytes, with an estimate of the overhead. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many messages of clients wait here. */
  get messages(): number {
    return this.#messages;
  }

  /** How many letters weren't sent yet, or have to be sent again. */
  get unsent(): number {
    return this.#letters.length - this.#next;
  }

  /** Whether nothing waits here. */
  get isEmpty(): boolean {
    return this.#head === this.#letters.length;
  }

  /**
   * Adds a client's message, `bytes` long. Gets `false` if there is no room:
   * then the message is given up, and a notice tells the other nodes.
   */
  add(
    outlet: Outlet,
    message: Message,
    { bytes }: { bytes: number },
  ): boolean {
    const { key, lastSequence: since } = outlet;
    if (this.#join(key, message, bytes)) return true;
    const cost = bytes + letterBytes;
    const sequence = ++this.#sequence;
    outlet.lastSequence = sequence;
    // One message always fits, so that none is too large for ever.
    if (this.#bytes > 0 && this.#bytes + cost > this.#maxBytes) {
      this.#open.batch.delete(key);
      this.#note("lost", key, { low: sequence, high: sequence, bytes });
      return false;
    }
    // A notice stands where the lost messages would; what follows this one
    // needs another.
    this.#open.lost.delete(key);
    if (this.#open.lost.size > 0) this.#open.lost.delete(everyNode);
    const kind = typeof message === "string" ? "text" : "binary";
    const letter: Letter = {
      key,
      kind,
      sequence,
      since,
      messages: [message],
      bytes,
      cost,
      done: false,
      told: false,
    };
    this.#open.batch.set(key, letter);
    this.#messages++;
    this.#push(letter);
    return true;
  }

  /** Gets the next letter to send, and takes it as sent. */
  take(): Letter | undefined {
    while (this.#next < this.#letters.length) {
      const letter = this.#letters[this.#next++]!;
      if (letter.done) continue;
      // Once it may have been received it stays as it is.
      const open = this.#open[isNotice(letter.kind) ? letter.kind : "batch"];
      if (open.get(letter.key) === letter) open.delete(letter.key);
      return letter;
    }
    return undefined;
  }

  /** Takes note that every node concerned has `letter` in its queue. */
  confirm(letter: Letter): void {
    if (letter.done) return;
    letter.done = true;
    this.#bytes -= letter.cost;
    this.#messages -= letter.messages.length;
    if (isNotice(letter.kind)) this.#notices--;
    while (
      this.#head < this.#next && this.#letters[this.#head]!.done
    ) {
      this.#letters[this.#head++] = undefined;
    }
    // Moving the rest costs as much as it frees.
    if (this.#head > 1024 && this.#head * 2 > this.#letters.length) {
      this.#letters = this.#letters.slice(this.#head);
      this.#next -= this.#head;
      this.#head = 0;
    }
  }

  /**
   * Takes note that at least one node's queue didn't take `letter`, be it a
   * message or a notice; {@linkcode tellRejected} makes a notice of it.
   */
  reject(letter: Letter): void {
    if (letter.done) return;
    this.confirm(letter);
    letter.told = true;
    const { key, kind, since, sequence: high, bytes } = letter;
    const range = { low: isNotice(kind) ? since : high, high, bytes };
    const known = this.#rejected.get(key);
    if (known) extend(known, range);
    else if (this.#rejected.size < maxNotices) this.#rejected.set(key, range);
    else this.#rejected = new Map([[everyNode, everything]]);
  }

  /** Gives up the largest message that was sent and not confirmed, as the broker can't take it. */
  giveUpLargest(): void {
    let largest: Letter | undefined;
    for (let i = this.#head; i < this.#next; i++) {
      const letter = this.#letters[i]!;
      if (!letter.done && letter.cost > (largest?.cost ?? 0)) largest = letter;
    }
    if (!largest) return;
    this.confirm(largest);
    largest.told = true;
    const { key, sequence, bytes } = largest;
    this.#note("lost", key, { low: sequence, high: sequence, bytes });
  }

  /**
   * Puts notices of what was rejected in line. To be called from time to time:
   * a full queue takes a while to have room again, and one notice for many
   * messages does.
   */
  tellRejected(): void {
    const rejected = this.#rejected;
    this.#rejected = new Map();
    // Nodes whose queue took the first copy of a notice know already, so
    // whatever it was, now only nodes with a full queue are concerned.
    for (const [key, range] of rejected) this.#note("rejected", key, range);
  }

  /**
   * Takes everything from the first unconfirmed letter on as unsent, after the
   * connection was lost: confirms come in any order, and without the later
   * letters a node that joined meanwhile would find a gap behind the first.
   */
  rewind(): void {
    for (let i = this.#head; i < this.#next; i++) {
      const letter = this.#letters[i]!;
      if (!letter.done || letter.told || isNotice(letter.kind)) continue;
      letter.done = false;
      this.#bytes += letter.cost;
      this.#messages += letter.messages.length;
    }
    this.#next = this.#head;
  }

  /** Adds a message to the letter of its channel that waits, if there is one with room. */
  #join(key: string, message: Message, bytes: number): boolean {
    const letter = this.#open.batch.get(key);
    const cost = bytes + messageBytes;
    if (
      !letter || letter.messages.length >= maxBatch.messages ||
      letter.bytes + bytes + headerBytes > maxBatch.bytes ||
      this.#bytes + cost > this.#maxBytes
    ) return false;
    letter.messages.push(message);
    letter.kind = "batch";
    letter.bytes += bytes + headerBytes;
    letter.cost += cost;
    this.#bytes += cost;
    this.#messages++;
    return true;
  }

  #note(
    kind: "lost" | "rejected",
    key: string,
    range: Range,
  ): void {
    const open = this.#open[kind];
    // One for every channel takes in all of them.
    if (open.has(everyNode)) return;
    const letter = open.get(key);
    if (letter) {
      letter.since = Math.min(letter.since, range.low);
      letter.sequence = Math.max(letter.sequence, range.high);
      letter.bytes = Math.max(letter.bytes, range.bytes);
      return;
    }
    if (this.#notices >= maxNotices && key !== everyNode) {
      this.#note(kind, everyNode, everything);
      return;
    }
    const notice: Letter = {
      key,
      kind,
      sequence: range.high,
      since: range.low,
      messages: [],
      bytes: range.bytes,
      // Their number is bounded; there must be room to tell that there is none.
      cost: 0,
      done: false,
      told: false,
    };
    open.set(key, notice);
    this.#notices++;
    this.#push(notice);
  }

  #push(letter: Letter): void {
    this.#letters.push(letter);
    this.#bytes += letter.cost;
  }
}

function isNotice(kind: Kind): kind is "lost" | "rejected" {
  return kind === "lost" || kind === "rejected";
}

function extend(range: Range, { low, high, bytes }: Range): void {
  range.low = Math.min(range.low, low);
  range.high = Math.max(range.high, high);
  range.bytes = Math.max(range.bytes, bytes);
}

/** What a notice for every channel says of itself; nobody reads the numbers. */
const everything: Range = { low: 1, high: 1, bytes: Infinity };
