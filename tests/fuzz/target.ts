/** What is fuzzed: how an input is made from a seed, and tried. */
import { Random } from "../helpers/random.ts";

/** One thing that takes input from strangers. */
export interface Target<Input> {
  /** As in `--only`. */
  readonly name: string;
  /** What is tried, for people. */
  readonly about: string;
  /** Its part of the time of a run. */
  readonly share: number;
  /** How many inputs are tried between two looks at the whole. */
  readonly batch: number;
  /** How many inputs the run in the tests tries. */
  readonly quickCount: number;
  /** Properties of an input that say how it is tried; see {@linkcode smaller}. */
  readonly fixed?: readonly string[];
  /** Makes an input; the same numbers make the same one. */
  make(random: Random): Input;
  /** Starts what the inputs are for. */
  open(): Promise<Session<Input>>;
}

/** What inputs are tried on. */
export interface Session<Input> extends AsyncDisposable {
  /** Tries inputs, several at once if it likes. @throws {Error} If one does harm. */
  try(inputs: readonly Input[]): Promise<void> | void;
  /** What else a run counts, by name. */
  readonly counts?: Readonly<Record<string, number>>;
}

/** A target of any kind of input. */
// deno-lint-ignore no-explicit-any -- each target has its own, which only it reads
export type AnyTarget = Target<any>;

/** How many inputs {@linkcode inLanes} tries at once. */
export const lanes = 16;

/** No input that is this small may take so long, however busy the machine is. */
const hangMs = 10_000;

/** Gets what a function that throws at a harmful input makes a target of. */
export function pureTarget<Input>(
  target: Omit<Target<Input>, "open" | "batch" | "share"> & {
    check(input: Input): void;
  },
): Target<Input> {
  const timeMs = (input: Input): number => {
    const startMs = performance.now();
    target.check(input);
    return performance.now() - startMs;
  };
  const attempt = (inputs: readonly Input[]): void => {
    for (const input of inputs) {
      // The second time it isn't the machine that was busy otherwise.
      const ms = timeMs(input) > hangMs ? timeMs(input) : 0;
      if (ms > hangMs) {
        throw new Error(`It took ${Math.round(ms)} ms, which is a hang`);
      }
    }
  };
  const open = (): Promise<Session<Input>> =>
    Promise.resolve({
      try: attempt,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  return { ...target, share: 1, batch: 200, open };
}

/** Tries inputs, some at once: on each lane, 0 to {@linkcode lanes}, one after the other, up to the first failure. */
export async function inLanes<Input>(
  inputs: readonly Input[],
  attempt: (input: Input, lane: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const ends = await Promise.allSettled(
    Array.from({ length: lanes }, async (_, lane) => {
      try {
        while (next < inputs.length) await attempt(inputs[next++]!, lane);
      } catch (error) {
        next = inputs.length;
        throw error;
      }
    }),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** Counts what has this name. */
export function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Gets the random choices of one input, which depend on nothing but these. */
export function randomOf(
  seed: number,
  { target, number }: { target: string; number: number },
): Random {
  // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${seed} ${target} ${number}`)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return new Random(hash);
}
