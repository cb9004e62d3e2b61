/**
 * What a receiver got from one publisher: whether it is all of it, in order.
 *
 * Messages without a name have no number. They are of the only one in their
 * channel who sends such, and follow each other as they were sent.
 */
import type { Content } from "./history.ts";

/** A message as it was sent. */
export interface Sent extends Content {
  readonly timeMs: number;
  /** Whether it carries its publisher and number. */
  readonly named: boolean;
}

/** What can be wrong with what somebody got of one publisher. */
export type PairViolation =
  /** A message twice. */
  | "twice"
  /** Messages in another order than they were sent. */
  | "order"
  /** Text as binary, or the other way round. */
  | "kind"
  /** A message with other bytes. */
  | "bytes"
  /** A message that nobody sent. */
  | "invented";

/** Settings of {@linkcode Pair}. */
export interface PairOptions {
  /** The publisher's connection. */
  readonly publisher: number;
  /** Its messages so far, the first of which has the number 1. */
  readonly sent: readonly Sent[];
  /** How many messages had been sent when the receiver opened: of these any may be missing. */
  readonly floor: number;
  /** Gets the time after which messages have to come even if they are the first ones. */
  readonly lateUntilMs: () => number;
  /** Gets what has happened up to now, as lines. */
  readonly linesBefore: () => readonly string[];
  /** Told what is wrong. */
  readonly onWrong: (kind: PairViolation, message: string) => void;
}

/** How many missing numbers are kept. */
const maxMissing = 1000;
/** How far ahead an unnamed message is looked for, to tell a lost one from a changed one. */
const lookAhead = 8;

/** A receiver and a publisher of its channel. */
export class Pair {
  /** Numbers between the first and the last one that didn't come. */
  readonly missing = new Set<number>();
  /** What happened before the first of them was missed. */
  missedAfter: readonly string[] = [];
  readonly #options: PairOptions;
  readonly #sent: readonly Sent[];
  readonly #floor: number;
  /** The first number that came; 0 for none yet. */
  #first = 0;
  /** The highest number that came. */
  #last = 0;
  /** Unnamed messages that may be from before the receiver opened: the next named one tells their numbers. */
  #held: Content[] = [];

  constructor(options: PairOptions) {
    this.#options = options;
    this.#sent = options.sent;
    this.#floor = options.floor;
  }

  /** The highest number that came. */
  get last(): number {
    return this.#last;
  }

  /** Takes a message that carries its number. */
  takeNamed(number: number, got: Content): void {
    const sent = this.#sent[number - 1];
    const what = this.#nameOf(number);
    if (sent?.named !== true) {
      return this.#wrong("invented", `messages that were sent, got ${what}`);
    }
    if (sent.bytes !== got.bytes || sent.digest !== got.digest) {
      this.#wrong(
        "bytes",
        `${what} with ${sent.bytes} bytes and digest ${sent.digest}, got ${got.bytes} and ${got.digest}`,
      );
    }
    if (sent.kind !== got.kind) {
      this.#wrong("kind", `${what} as ${sent.kind}, got ${got.kind}`);
    }
    this.#placeHeld(number);
    this.#take(number);
  }

  /** Takes a message without a name. */
  takeUnnamed(got: Content): void {
    const isSure = this.#last > 0 && this.#last >= this.#floor ||
      this.#floor === 0 && this.#options.lateUntilMs() === -Infinity;
    if (!isSure) {
      this.#held.push(got);
      return;
    }
    const next = this.#last + 1;
    for (let number = next; number <= next + lookAhead; number++) {
      if (this.#isUnnamed(number, got)) return this.#take(number);
    }
    const what = `${textOf(got)} without a name`;
    if (this.#isUnnamed(this.#last, got)) {
      return this.#wrong(
        "twice",
        `${this.#nameOf(this.#last)} once, got ${what} again`,
      );
    }
    const sent = this.#sent[next - 1];
    if (sent?.named !== false) {
      return this.#wrong("invented", `messages that were sent, got ${what}`);
    }
    const isKept = sent.bytes === got.bytes && sent.digest === got.digest;
    this.#wrong(
      isKept ? "kind" : "bytes",
      `${this.#nameOf(next)} as ${textOf(sent)}, got ${what}`,
    );
    this.#take(next);
  }

  /** Notes what is missing up to the number `owed`, which had to come. */
  finish(owed: number): void {
    // Who got nothing with a name since it opened got these at least.
    const known = Math.max(this.#last, this.#floor) + this.#held.length;
    this.#missBetween(known, owed + 1);
  }

  /** Takes a number: the next one, or something is wrong. */
  #take(number: number): void {
    if (number > this.#last) {
      this.#missBetween(Math.max(this.#last, this.#floor), number);
      if (this.#first === 0) this.#first = number;
      this.#last = number;
    } else if (this.missing.delete(number) || number < this.#first) {
      this.#wrong(
        "order",
        `${this.#nameOf(number)} in its place, got it after ${this.#last}`,
      );
    } else {
      this.#wrong("twice", `${this.#nameOf(number)} once, got it again`);
    }
  }

  /** Gives the messages that are held the highest numbers before `end` that fit. */
  #placeHeld(end: number): void {
    const numbers: number[] = [];
    let number = end;
    for (const got of this.#held.toReversed()) {
      number--;
      // Of those that were sent before it opened some may be missing in between.
      if (!this.#isUnnamed(number, got)) number = Math.min(number, this.#floor);
      while (number > this.#last && !this.#isUnnamed(number, got)) number--;
      if (number > this.#last) {
        numbers.unshift(number);
        continue;
      }
      const next = this.#nameOf(end);
      this.#wrong("bytes", `what came before ${next}, got ${textOf(got)}`);
    }
    this.#held = [];
    for (const number of numbers) this.#take(number);
  }

  /** Notes that numbers between these two didn't come, which they may still do: then in a wrong order. */
  #missBetween(from: number, to: number): void {
    const lateUntilMs = this.#last > 0
      ? -Infinity
      : this.#options.lateUntilMs();
    for (let number = from + 1; number < to; number++) {
      if (this.#sent[number - 1]!.timeMs <= lateUntilMs) continue;
      if (this.missing.size === 0) {
        this.missedAfter = this.#options.linesBefore();
      }
      if (this.missing.size < maxMissing) this.missing.add(number);
    }
  }

  #isUnnamed(number: number, got: Content): boolean {
    const sent = this.#sent[number - 1];
    return sent?.named === false && sent.kind === got.kind &&
      sent.bytes === got.bytes && sent.digest === got.digest;
  }

  #nameOf(number: number): string {
    return `${number} of ${this.#options.publisher}`;
  }

  #wrong(kind: PairViolation, rest: string): void {
    this.#options.onWrong(kind, `Expected ${rest}`);
  }
}

function textOf({ kind, bytes }: Content): string {
  return `${kind} of ${bytes} bytes`;
}
