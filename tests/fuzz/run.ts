/** Trying many inputs of one target, and telling which one did harm. */
import { Random } from "../helpers/random.ts";
import { shown, smaller } from "./smaller.ts";
import {
  type AnyTarget,
  count as countOne,
  type Counts,
  lanes,
  type Session,
} from "./target.ts";

/** What came of a run. */
export interface Report {
  readonly target: AnyTarget;
  readonly inputs: number;
  readonly seconds: number;
  /** What else was counted. */
  readonly counts: Readonly<Counts>;
  /** What did harm, for people: the smallest input that was found, and how to try it again. */
  readonly finding: string | undefined;
}

/** How many inputs to try. */
export interface RunOptions {
  readonly seed: number;
  /** The number of the first one. */
  readonly first?: number;
  /** How many at most. */
  readonly count?: number;
  /** No further batch begins after this, by `performance.now()`. */
  readonly endMs?: number;
}

/** An input, and its number. */
interface Case {
  readonly number: number;
  readonly input: unknown;
}

/** How long the smallest inputs that do harm are looked for, and how often that may be tried. */
const shrinking = { ms: 60_000, tries: 2_000 } as const;

/** No input that is this small may take so long, however busy the machine is. */
const hangMs = 10_000;

/** Tries inputs until there are enough, the time is over, or one does harm. */
export async function runTarget(
  target: AnyTarget,
  options: RunOptions,
): Promise<Report> {
  const { seed, first = 0, count = Infinity, endMs = Infinity } = options;
  const startMs = performance.now();
  const counts = {};
  let inputs = 0;
  let finding: string | undefined;
  await using stack = new AsyncDisposableStack();
  const session = await target.open(stack, counts);
  while (!finding && inputs < count && performance.now() < endMs) {
    const size = Math.min(target.batch, count - inputs);
    const cases = Array.from({ length: size }, (_, i): Case => {
      const number = first + inputs + i;
      return { number, input: inputOf(target, seed, number) };
    });
    try {
      await tryAll(session, cases, counts);
      inputs += size;
    } catch (error) {
      const fewest = await shrink(target, cases, errorText(error));
      finding = findingText(target, seed, fewest);
    }
  }
  const seconds = (performance.now() - startMs) / 1000;
  return { target, inputs, seconds, counts, finding };
}

/** Gets one of the inputs that a seed makes. */
export function inputOf(
  target: AnyTarget,
  seed: number,
  number: number,
): unknown {
  // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
  let hash = 0x811c9dc5;
  for (
    const byte of new TextEncoder().encode(`${seed} ${target.name} ${number}`)
  ) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return target.make(new Random(hash));
}

/** Tries inputs, some at once, up to the first failure; then looks at the whole. */
async function tryAll(
  session: Session<unknown>,
  cases: readonly Case[],
  counts: Counts,
): Promise<void> {
  let next = 0;
  const ends = await Promise.allSettled(
    Array.from({ length: session.try ? lanes : 0 }, async (_, lane) => {
      try {
        while (next < cases.length) {
          const name = await tryOne(session, cases[next++]!.input, lane);
          if (name !== undefined) countOne(counts, name);
        }
      } catch (error) {
        next = cases.length;
        throw error;
      }
    }),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  await session.look?.(cases.map(({ input }) => input));
}

function tryOne(
  session: Session<unknown>,
  input: unknown,
  lane: number,
): Promise<string | void> | string | void {
  const attempt = () => {
    const startMs = performance.now();
    const result = session.try!(input, lane);
    return { result, ms: Math.round(performance.now() - startMs) };
  };
  let { result, ms } = attempt();
  // The second time it isn't the machine that was busy otherwise.
  if (ms > hangMs) ({ result, ms } = attempt());
  if (ms > hangMs) throw new Error(`It took ${ms} ms, which is a hang`);
  return result;
}

/** Inputs that do harm, and the error that says so. */
interface Harmful {
  readonly cases: readonly Case[];
  readonly error: string;
}

function findingText(
  { name }: AnyTarget,
  seed: number,
  { cases, error }: Harmful,
): string {
  const again = `deno task fuzz --only ${name} --seed ${seed}`;
  const inputs = cases.map(({ input }) => shown(input)).join("\nand then ");
  const isOne = cases.length === 1;
  return [
    `Target ${name}, seed ${seed}: ${error}`,
    `Input: ${inputs.slice(0, 10_000)}`,
    `Again: ${again}${isOne ? ` --case ${cases[0]!.number}` : ""}`,
  ].join("\n");
}

/** Looks for the fewest and smallest inputs of a batch that fail with an error of the same class. */
async function shrink(
  target: AnyTarget,
  cases: readonly Case[],
  firstError: string,
): Promise<Harmful> {
  const classOf = (error: string): string => error.split(":", 1)[0]!;
  const endMs = performance.now() + shrinking.ms;
  let tries = 0;
  let best: Harmful = { cases, error: firstError };
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false;
    for (const less of smaller(best.cases, target.fixed)) {
      if (++tries > shrinking.tries || performance.now() > endMs) break;
      const cases = less as Case[];
      const error = await failureOf(target, cases);
      if (error === undefined || classOf(error) !== classOf(firstError)) {
        continue;
      }
      best = { cases, error };
      isSmaller = true;
      break;
    }
  }
  return best;
}

/** Gets what goes wrong with some inputs in a session of their own, if anything does. */
async function failureOf(
  target: AnyTarget,
  cases: readonly Case[],
): Promise<string | undefined> {
  await using stack = new AsyncDisposableStack();
  try {
    const counts = {};
    await tryAll(await target.open(stack, counts), cases, counts);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name}: ${error.message}`.slice(0, 2_000);
}
