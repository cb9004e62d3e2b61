/** Inputs that did harm once. Each of them is tried in every run of the tests. */

/** Where an input is: `deno task fuzz --only TARGET --seed SEED --case NUMBER` makes it again. */
export interface KnownSeed {
  readonly target: string;
  readonly seed: number;
  readonly number: number;
  /** What it did. */
  readonly harm: string;
}

/**
 * Every input that was a finding, as long as its target makes the same of its
 * seed. A change in how a target makes its inputs makes others of them: what
 * must not get lost is in the tests of what was mended.
 */
export const knownSeeds: readonly KnownSeed[] = [
  {
    target: "broker",
    seed: 2,
    number: 13,
    harm:
      'a "text" with the routing key of notices closed the clients of every channel',
  },
];
