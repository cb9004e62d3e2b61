/**
 * What a node has for the others and the broker hasn't confirmed: in order,
 * bounded in bytes. It knows nothing of AMQP.
 *
 * An entry becomes one AMQP message: it has a message of a client, or a batch
 * of them, or is a notice in place of messages that had to be given up; see
 * `Kind` in `envelope.ts`. Entries are numbered over the whole node, and each
 * names the number of the one before it in its channel, so that a receiver sees
 * duplicates and gaps. Messages are added to their channel's entry until it is sent.
 */
import { retain } from "../common/large_memory.ts";
import type { Message } from "../relay/message.ts";
import { headerBytes } from "./batch.ts";
import { type Entry, isNotice, type Numbered } from "./entry.ts";
import { Shares, type SharesOptions } from "./shares.ts";

/** Entries of one channel, by number. */
interface Range {
  low: number;
  high: number;
  /** The largest of them. */
  bytes: number;
}

/** The routing key that every node listens to. */
export const everyNode = "all";

/** What an entry costs beside its payload: an estimate of the memory it takes. */
const entryBytes = 256;

/** The same for a message in an entry with others. */
const messageBytes = 64;

/** An entry with several messages grows up to here; the smallest `queue_bytes` is twice that. */
const maxBatch = { messages: 256, bytes: 32 * 1024 } as const;

/** More notices than this are replaced by one that concerns every channel. */
const maxNotices = 10_000;

/** Entries towards the broker, the oldest first. */
export class Outbox {
  readonly #shares: Shares;
  /** From #head on; those before are gone. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #next = 0;
  #messages = 0;
  #notices = 0;
  #sequence = 0;
  /** See {@linkcode limitEntries}. */
  #maxEntryBytes = Infinity;
  /** What wasn't sent yet and may be extended, by routing key. */
  readonly #open = {
    /** Entries that weren't sent yet and may get more messages. */
    batch: new Map<string, Entry>(),
    lost: new Map<string, Entry>(),
    rejected: new Map<string, Entry>(),
  };
  /** Numbers of messages that the broker rejected, by routing key. */
  #rejected = new Map<string, Range>();

  constructor(options: SharesOptions) {
    this.#shares = new Shares(options);
  }

  /** What waits here, in bytes, with an estimate of the overhead. */
  get bytes(): number {
    return this.#shares.bytes;
  }

  /** How many messages of clients wait here. */
  get messages(): number {
    return this.#messages;
  }

  /** How many entries weren't sent yet, or have to be sent again. */
  get unsent(): number {
    return this.#entries.length - this.#next;
  }

  /** Tells whether so much of the channel with the routing key `key` waits here that no more should come for now. */
  isBehind(key: string): boolean {
    return this.#shares.isBehind(key);
  }

  /** Whether nothing waits here. */
  get isEmpty(): boolean {
    return this.#head === this.#entries.length;
  }

  /** Tells whether {@linkcode add} would take a message of the channel with the routing key `key`. */
  hasRoom(key: string, { payload: { length } }: Message): boolean {
    return this.#shares.hasRoom(key, length + entryBytes) &&
      length <= this.#maxEntryBytes;
  }

  /**
   * Adds a client's message. Gets `false` if there is no room for more of its
   * channel: then the message is given up, and a notice tells the other nodes.
   */
  add(
    channel: Numbered,
    message: Message,
    { isPosted = false } = {},
  ): boolean {
    const { key, lastSequence: since } = channel;
    const bytes = message.payload.length;
    retain(message.frame);
    if (this.#extend(channel, message, isPosted)) return true;
    const cost = bytes + entryBytes;
    const sequence = ++this.#sequence;
    channel.lastSequence = sequence;
    const hasRoom = this.#shares.hasRoom(key, cost);
    if (!hasRoom || bytes > this.#maxEntryBytes) {
      this.#open.batch.delete(key);
      this.#note("lost", key, { low: sequence, high: sequence, bytes });
      return false;
    }
    // A notice stands where the lost messages would; what follows this one
    // needs another.
    this.#open.lost.delete(key);
    if (this.#open.lost.size > 0) this.#open.lost.delete(everyNode);
    const entry: Entry = {
      key,
      channel,
      kind: message.isText ? "text" : "binary",
      sequence,
      since,
      messages: [message],
      bytes,
      cost,
      isPosted,
      state: "waiting",
    };
    this.#open.batch.set(key, entry);
    this.#messages++;
    this.#push(entry);
    return true;
  }

  /** Gets the next entry to send, and takes it as sent. */
  take(): Entry | undefined {
    while (this.#next < this.#entries.length) {
      const entry = this.#entries[this.#next++]!;
      if (entry.state !== "waiting") continue;
      // Once it may have been received it stays as it is.
      const { key, kind, sequence } = entry;
      const open = this.#open[isNotice(kind) ? kind : "batch"];
      if (open.get(key) === entry) open.delete(key);
      if (entry.channel) entry.channel.lastSent = sequence;
      return entry;
    }
    return undefined;
  }

  /**
   * Gets the number of the last message that was sent in a channel, 0
   * if there was none; `undefined` if it has to be sent again, so that others
   * that come now may come before it.
   */
  lastOf({ key, lastSent }: Numbered): number | undefined {
    // What waits may be of an earlier membership.
    return lastSent === 0 && this.#shares.has(key) ? undefined : lastSent;
  }

  /**
   * Gets the number up to which everything was sent, in all channels: what is
   * sent from now on has a higher one.
   */
  get sentUpTo(): number {
    for (let i = this.#next; i < this.#entries.length; i++) {
      const { channel, state, sequence } = this.#entries[i]!;
      if (channel && state === "waiting") return sequence - 1;
    }
    return this.#sequence;
  }

  /** Takes note that every node concerned has `entry` in its queue; `isReturned`: that there is none. */
  confirm(entry: Entry, { isReturned = false } = {}): void {
    this.#settle(entry, isReturned ? "returned" : "confirmed");
  }

  /**
   * Takes note that at least one node's queue didn't take `entry`, be it a
   * message or a notice; {@linkcode addRejectedNotices} makes a notice of it.
   */
  reject(entry: Entry): void {
    if (entry.state !== "waiting") return;
    this.#settle(entry, "replaced");
    const { key, kind, since, sequence: high, bytes } = entry;
    const range = { low: isNotice(kind) ? since : high, high, bytes };
    const known = this.#rejected.get(key);
    if (known) widen(known, range);
    else if (this.#rejected.size < maxNotices) this.#rejected.set(key, range);
    else this.#rejected = new Map([[everyNode, everything]]);
  }

  /**
   * Makes no entry larger than `maxBytes` from now on, as the broker takes none,
   * and gives up those that are. `undefined`: it takes whatever there is.
   */
  limitEntries(maxBytes: number | undefined): void {
    this.#maxEntryBytes = maxBytes ?? Infinity;
    for (const entry of this.#entries.slice(this.#head)) {
      if (entry!.bytes > this.#maxEntryBytes) this.#giveUp(entry!);
    }
  }

  /** Gives up the largest message that was sent and not confirmed, as the broker can't take it. */
  giveUpLargest(): void {
    let largest: Entry | undefined;
    for (let i = this.#head; i < this.#next; i++) {
      const entry = this.#entries[i]!;
      if (entry.state === "waiting" && entry.cost > (largest?.cost ?? 0)) {
        largest = entry;
      }
    }
    if (largest) this.#giveUp(largest);
  }

  #giveUp(entry: Entry): void {
    const { key, kind, sequence, bytes, state } = entry;
    if (state !== "waiting" || isNotice(kind)) return;
    if (this.#open.batch.get(key) === entry) this.#open.batch.delete(key);
    this.#settle(entry, "replaced");
    this.#note("lost", key, { low: sequence, high: sequence, bytes });
  }

  /**
   * Adds notices of what was rejected. To be called from time to time:
   * a full queue takes a while to have room again, and one notice for many
   * messages does.
   */
  addRejectedNotices(): void {
    const rejected = this.#rejected;
    this.#rejected = new Map();
    // Nodes whose queue took the first copy of a notice know already, so
    // whatever it was, now only nodes with a full queue are concerned.
    for (const [key, range] of rejected) this.#note("rejected", key, range);
  }

  /**
   * Takes everything from the first unconfirmed entry on as unsent, after the
   * connection was lost: confirms come in any order, and without the later
   * entries a node that joined meanwhile would find a gap behind the first.
   */
  rewind(): void {
    for (let i = this.#head; i < this.#next; i++) {
      const entry = this.#entries[i]!;
      const { channel, state } = entry;
      // Notices, and what they tell of, stay as they are.
      if (!channel || state === "replaced" || state === "returned") continue;
      channel.lastSent = undefined;
      if (state === "waiting") continue;
      entry.state = "waiting";
      this.#shares.add(entry.key, entry.cost);
      this.#messages += entry.messages.length;
    }
    this.#next = this.#head;
  }

  /** Adds a message to the entry of its channel that wasn't sent, if there is one with room. */
  #extend(channel: Numbered, message: Message, isPosted: boolean): boolean {
    const { key } = channel;
    const bytes = message.payload.length;
    const entry = this.#open.batch.get(key);
    const cost = bytes + messageBytes;
    if (
      // What is posted to a channel that this node isn't in has no number in it.
      entry?.channel !== channel ||
      entry.messages.length >= maxBatch.messages ||
      entry.bytes + bytes + headerBytes >
        Math.min(maxBatch.bytes, this.#maxEntryBytes) ||
      !this.#shares.hasRoom(key, cost)
    ) return false;
    entry.messages.push(message);
    entry.isPosted ||= isPosted;
    entry.kind = "batch";
    entry.bytes += bytes + headerBytes;
    entry.cost += cost;
    this.#shares.add(key, cost);
    this.#messages++;
    return true;
  }

  #settle(entry: Entry, state: Entry["state"]): void {
    if (entry.state !== "waiting") return;
    entry.state = state;
    this.#shares.add(entry.key, -entry.cost);
    this.#messages -= entry.messages.length;
    if (isNotice(entry.kind)) this.#notices--;
    while (
      this.#head < this.#next && this.#entries[this.#head]!.state !== "waiting"
    ) {
      this.#entries[this.#head++] = undefined;
    }
    // Moving the rest costs as much as it frees.
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#next -= this.#head;
      this.#head = 0;
    }
  }

  /** Adds a notice, or extends the one that wasn't sent. */
  #note(kind: "lost" | "rejected", key: string, range: Range): void {
    const open = this.#open[kind];
    // One for every channel takes in all of them.
    if (open.has(everyNode)) return;
    const entry = open.get(key);
    if (entry) {
      entry.since = Math.min(entry.since, range.low);
      entry.sequence = Math.max(entry.sequence, range.high);
      entry.bytes = Math.max(entry.bytes, range.bytes);
      return;
    }
    if (this.#notices >= maxNotices && key !== everyNode) {
      this.#note(kind, everyNode, everything);
      return;
    }
    const notice: Entry = {
      key,
      kind,
      sequence: range.high,
      since: range.low,
      messages: [],
      bytes: range.bytes,
      // Their number is bounded; there must be room to tell that there is none.
      cost: 0,
      state: "waiting",
    };
    open.set(key, notice);
    this.#notices++;
    this.#push(notice);
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.#shares.add(entry.key, entry.cost);
  }
}

function widen(range: Range, { low, high, bytes }: Range): void {
  range.low = Math.min(range.low, low);
  range.high = Math.max(range.high, high);
  range.bytes = Math.max(range.bytes, bytes);
}

/** What a notice for every channel says of itself; nobody reads the numbers. */
const everything: Range = { low: 1, high: 1, bytes: Infinity };
