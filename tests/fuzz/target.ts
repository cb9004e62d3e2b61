/** What is fuzzed: how an input is made of random choices, and tried. */
import type { Random } from "../helpers/random.ts";

/** One thing that takes input from strangers. */
export interface Target<Input> {
  /** As in `--only`. */
  readonly name: string;
  /** What is tried, for people. */
  readonly about: string;
  /** How many inputs are tried between two looks at the whole. */
  readonly batch: number;
  /** How many inputs the run in the tests tries. */
  readonly quickCount: number;
  /** Properties of an input that say how it is tried; see `smaller()`. */
  readonly fixed?: readonly string[];
  /** Makes an input; the same choices make the same one. */
  make(random: Random): Input;
  /** Starts what the inputs are for; it ends with `stack`. `counts` are of what else a run counts, by name. */
  open(
    stack: AsyncDisposableStack,
    counts: Counts,
  ): Promise<Session<Input>> | Session<Input>;
}

/** What inputs are tried on. */
export interface Session<Input> {
  /**
   * Tries an input, on one of {@linkcode lanes} at once.
   *
   * @returns What to count it as, if that is counted.
   * @throws {Error} If the input does harm.
   */
  try?(input: Input, lane: number): Promise<string | void> | string | void;
  /** Looks at the whole behind a batch. @throws {Error} If it was harmed. */
  look?(inputs: readonly Input[]): Promise<void>;
}

/** How often what was seen. */
export type Counts = Record<string, number>;

/** A target of any kind of input. */
// deno-lint-ignore no-explicit-any -- each target has its own, which only it reads
export type AnyTarget = Target<any>;

/** How many inputs are tried at once. */
export const lanes = 16;

/** Counts what has this name. */
export function count(counts: Counts, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Gets what makes a target of a function that throws at a harmful input. */
export function pure<Input>(
  check: (input: Input) => void,
): Pick<Target<Input>, "batch" | "open"> {
  return { batch: 200, open: () => ({ try: check }) };
}
