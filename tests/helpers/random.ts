/** Random choices that a seed repeats: a run that failed can be had again. */

/** A generator of random numbers: the same seed gives the same ones. */
export class Random {
  /** What the generator began with, for a report. */
  readonly seed: number;
  #state: number;

  /** @param seed A whole number, of which 32 bits count. */
  constructor(seed: number = randomSeed()) {
    this.seed = seed;
    this.#state = seed | 0;
  }

  /** Gets a number from 0 up to and without 1. */
  next(): number {
    // mulberry32 by Tommy Ettinger, in the public domain:
    // https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
    this.#state = this.#state + 0x6d2b79f5 | 0;
    let t = Math.imul(this.#state ^ this.#state >>> 15, this.#state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  }

  /** Gets a number from `min` up to and without `max`. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** Gets a whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return Math.floor(this.between(min, max + 1));
  }

  /** Tells yes with this probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Gets one of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)]!;
  }

  /** Gets `count` random bytes. */
  bytes(count: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: count }, () => this.integer(0, 255));
  }

  /** Gets a UUID of version 4, RFC 9562 section 5.4. */
  uuid(): string {
    const bytes = this.bytes(16);
    bytes[6] = bytes[6]! & 0x0f | 0x40;
    bytes[8] = bytes[8]! & 0x3f | 0x80;
    return bytes.toHex().replace(
      /(.{8})(.{4})(.{4})(.{4})(.{12})/,
      "$1-$2-$3-$4-$5",
    );
  }

  /** Gets a generator of its own for a part of a run, so that parts don't disturb each other. */
  fork(): Random {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }
}

/** Gets a seed that nobody had before. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}
