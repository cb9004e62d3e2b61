/** What a receiver got from one publisher: whether it is all of it, in order. */
import type { Content } from "./history.ts";

/** A message as it was sent; one that is `named` carries its publisher and number. */
export interface Sent extends Content {
  readonly timeMs: number;
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

/** A receiver and a publisher of its channel. */
export class Pair {
  /** Numbers between the first and the last one that didn't come. */
  readonly missing = new Set<number>();
  /** What happened before the first of them was missed. */
  missedAfter: readonly string[] = [];
  /** The highest number that came. */
  last = 0;
  readonly #options: PairOptions;
  readonly #sent: readonly Sent[];
  /** The first number that came; 0 for none yet. */
  #first = 0;
  /** Unnamed messages that may be from before the receiver opened: the next named one tells their numbers. */
  #held: Content[] = [];

  constructor(options: PairOptions) {
    this.#options = options;
    this.#sent = options.sent;
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

  /** Takes a message without a name: the next one that it can be. */
  takeUnnamed(got: Content): void {
    const { floor, lateUntilMs } = this.#options;
    const isSure = this.last > 0 && this.last >= floor ||
      floor === 0 && lateUntilMs() === -Infinity;
    if (!isSure) {
      this.#held.push(got);
      return;
    }
    let number = this.last + 1;
    while (number <= this.#sent.length && !this.#fits(number, got)) number++;
    if (number <= this.#sent.length) this.#take(number);
    else this.#wrongUnnamed(got, this.last);
  }

  /** Notes what is missing up to the number `owed`, which had to come. */
  finish(owed: number): void {
    // Who got nothing with a name since it opened got these at least.
    const known = Math.max(this.last, this.#options.floor) + this.#held.length;
    this.#missBetween(known, owed + 1);
  }

  /** Takes a number: the next one, or something is wrong. */
  #take(number: number): void {
    const { floor } = this.#options;
    const name = this.#nameOf(number);
    if (number > this.last) {
      this.#missBetween(Math.max(this.last, floor), number);
      if (this.#first === 0) this.#first = number;
      this.last = number;
    } else if (this.missing.delete(number) || number < this.#first) {
      this.#wrong("order", `${name} in its place, got it after ${this.last}`);
    } else this.#wrong("twice", `${name} once, got it again`);
  }

  /** Gives the messages that are held the highest numbers before `end` that fit. */
  #placeHeld(end: number): void {
    const { floor } = this.#options;
    const numbers: number[] = [];
    let number = end;
    for (const got of this.#held.toReversed()) {
      number--;
      // Of those that were sent before it opened some may be missing in between.
      if (!this.#fits(number, got)) number = Math.min(number, floor);
      while (number > this.last && !this.#fits(number, got)) number--;
      if (number > this.last) numbers.unshift(number);
      else this.#wrongUnnamed(got, end);
    }
    this.#held = [];
    for (const number of numbers) this.#take(number);
  }

  /** Notes that numbers between these two didn't come, which they may still do: then in a wrong order. */
  #missBetween(from: number, to: number): void {
    const { lateUntilMs, linesBefore } = this.#options;
    const untilMs = this.last > 0 ? -Infinity : lateUntilMs();
    for (let number = from + 1; number < to; number++) {
      if (this.#sent[number - 1]!.timeMs <= untilMs) continue;
      if (this.missing.size === 0) this.missedAfter = linesBefore();
      if (this.missing.size < maxMissing) this.missing.add(number);
    }
  }

  /** Whether a message without a name can be the one with this number. */
  #fits(number: number, { kind, bytes, digest }: Content): boolean {
    const sent = this.#sent[number - 1];
    return sent?.named === false && sent.kind === kind &&
      sent.bytes === bytes && sent.digest === digest;
  }

  #nameOf(number: number): string {
    return `${number} of ${this.#options.publisher}`;
  }

  #wrongUnnamed({ kind, bytes }: Content, near: number): void {
    const name = this.#nameOf(near);
    const got = `got ${kind} of ${bytes} bytes without a name`;
    this.#wrong("invented", `what was sent about ${name}, ${got}`);
  }

  #wrong(kind: PairViolation, rest: string): void {
    this.#options.onWrong(kind, `Expected ${rest}`);
  }
}
