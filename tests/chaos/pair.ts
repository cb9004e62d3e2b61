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
  /** A message with other bytes, or text as binary, or the other way round. */
  | "changed"
  /** A message that nobody sent. */
  | "invented";

/** Settings of {@linkcode Pair}. */
export interface PairOptions {
  /** The publisher's messages so far, the first of which has the number 1. */
  readonly sent: readonly Sent[];
  /** How many messages had been sent when the receiver opened: of these any may be missing. */
  readonly floor: number;
  /** Gets the time after which messages have to come even if they are the first ones. */
  readonly lateUntilMs: () => number;
  /** Gets the time of the history. */
  readonly nowMs: () => number;
  /** Told what was expected and came, if something is wrong. */
  readonly onWrong: (kind: PairViolation, message: string) => void;
}

/** How many missing numbers are kept. */
const maxMissing = 1000;

/** A receiver and a publisher of its channel. */
export class Pair {
  /** Numbers between the first and the last one that didn't come. */
  readonly missing = new Set<number>();
  /** When the first of them was missed. */
  missedMs = 0;
  /** The highest number that came. */
  last = 0;
  /** The first number that came; 0 for none yet. */
  #first = 0;
  /** Messages without a name, whose numbers the next one with a name tells. */
  #held: Content[] = [];

  constructor(readonly options: PairOptions) {}

  /** Takes a message that carries its number. */
  takeNamed(number: number, got: Content): void {
    const { sent: { [number - 1]: sent }, onWrong } = this.options;
    if (sent?.named !== true) {
      const message = `expected messages that were sent, got ${number}`;
      return onWrong("invented", message);
    }
    if (!isSame(sent, got)) {
      onWrong("changed", `expected ${textOf(sent)}, got ${textOf(got)}`);
    }
    this.#takeHeld(number);
    this.#take(number);
  }

  /** Takes a message without a name. */
  takeUnnamed(got: Content): void {
    this.#held.push(got);
  }

  /** Notes what is missing up to the number `owed`, which had to come. */
  finish(owed: number): void {
    this.#missBetween(Math.max(this.last, this.options.floor), owed + 1);
  }

  /** Takes a number: the next one, or something is wrong. */
  #take(number: number): void {
    const { floor, onWrong } = this.options;
    if (number > this.last) {
      this.#missBetween(Math.max(this.last, floor), number);
      if (this.#first === 0) this.#first = number;
      this.last = number;
    } else if (this.missing.delete(number) || number < this.#first) {
      onWrong("order", `expected ${number} before ${this.last}`);
    } else onWrong("twice", `expected ${number} once, got it again`);
  }

  /**
   * Takes the messages without a name that came before the one with the number
   * `end`: the last ones of those that were sent right before it. Of those that
   * were sent before it opened others may be missing in between.
   */
  #takeHeld(end: number): void {
    const { sent, floor, onWrong } = this.options;
    const held = this.#held;
    this.#held = [];
    let begin = end;
    while (
      begin > this.last + 1 && sent[begin - 2]!.named === false &&
      end - begin < held.length
    ) begin--;
    const run = sent.slice(begin - 1, end - 1);
    const isRight = run.length === held.length &&
      run.every((each, i) => isSame(each, held[i]!));
    if (!isRight && this.last >= floor) {
      const expected = run.map(textOf).join(", ") || "nothing";
      const got = held.map(textOf).join(", ");
      onWrong("invented", `expected ${expected} before ${end}, got ${got}`);
    }
    for (let number = begin; number < end; number++) this.#take(number);
  }

  /** Notes that numbers between these two didn't come, which they may still do: then in a wrong order. */
  #missBetween(from: number, to: number): void {
    const { sent, lateUntilMs, nowMs } = this.options;
    const untilMs = this.last > 0 ? -Infinity : lateUntilMs();
    for (let number = from + 1; number < to; number++) {
      if (sent[number - 1]!.timeMs <= untilMs) continue;
      if (this.missing.size === 0) this.missedMs = nowMs();
      if (this.missing.size < maxMissing) this.missing.add(number);
    }
  }
}

function isSame(one: Content, other: Content): boolean {
  return one.kind === other.kind && one.bytes === other.bytes &&
    one.digest === other.digest;
}

function textOf({ kind, bytes, digest }: Content): string {
  return `${kind} of ${bytes} bytes with digest ${digest}`;
}
