/** What is fuzzed: how an input is made from a seed, tried, and told to people. */
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
  /** Makes an input; the same numbers make the same one. */
  make(random: Random): Input;
  /** Gets an input as it is printed, binary data in hexadecimal digits. */
  show(input: Input): string;
  /** Gets inputs that are a part of this one, the smallest first. */
  simpler(input: Input): Iterable<Input>;
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

/** Gets what a function that throws at a harmful input makes a target of. */
export function pureTarget<Input>(
  target: Omit<Target<Input>, "open" | "batch" | "share"> & {
    check(input: Input): void;
  },
): Target<Input> {
  return {
    ...target,
    share: 1,
    batch: 200,
    open: () =>
      Promise.resolve({
        try: (inputs: readonly Input[]): void => {
          const timeMs = (input: Input): number => {
            const startMs = performance.now();
            target.check(input);
            return performance.now() - startMs;
          };
          for (const input of inputs) {
            // The second time it isn't the machine that was busy otherwise.
            const ms = timeMs(input) > hangMs ? timeMs(input) : 0;
            if (ms > hangMs) {
              throw new Error(`It took ${Math.round(ms)} ms, which is a hang`);
            }
          }
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
}

/** No input that is this small may take so long, however busy the machine is. */
const hangMs = 10_000;

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

/** Gets parts of `whole`, the smaller ones first: without a half, a quarter, … an item of it. */
export function* shorter<T extends { length: number }>(
  whole: T,
  slice: (from: number, to: number) => T,
  join: (a: T, b: T) => T,
): Generator<T> {
  const { length } = whole;
  for (
    let size = Math.ceil(length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let from = 0; from < length; from += size) {
      yield join(slice(0, from), slice(Math.min(length, from + size), length));
    }
  }
}

/** Gets parts of a text, see {@linkcode shorter}. */
export function shorterText(text: string): Generator<string> {
  return shorter(text, (from, to) => text.slice(from, to), (a, b) => a + b);
}

/** Gets parts of a list, see {@linkcode shorter}. */
export function shorterList<T>(list: readonly T[]): Generator<readonly T[]> {
  return shorter<readonly T[]>(
    list,
    (from, to) => list.slice(from, to),
    (a, b) => [...a, ...b],
  );
}

/** Gets parts of some bytes, see {@linkcode shorter}. */
export function shorterBytes(
  bytes: Uint8Array<ArrayBuffer>,
): Generator<Uint8Array<ArrayBuffer>> {
  return shorter(
    bytes,
    (from, to) => bytes.slice(from, to),
    (a, b) => {
      const whole = new Uint8Array(a.length + b.length);
      whole.set(a);
      whole.set(b, a.length);
      return whole;
    },
  );
}
