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
  readonly finding: Finding | undefined;
}

/** An input that did harm. */
export interface Finding {
  readonly target: string;
  readonly seed: number;
  /** Which of the inputs that the seed makes; `undefined` if it takes several. */
  readonly number: number | undefined;
  readonly error: string;
  /** The input, the smallest that was found to do the same. */
  readonly input: string;
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
  /** Called after each batch. */
  readonly progress?: (inputs: number) => void;
  /** Called with what went wrong, before it is known with which input. */
  readonly failed?: (error: string) => void;
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
  let finding: Finding | undefined;
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
      const text = errorText(error);
      options.failed?.(text);
      const found = await shrink(target, cases, text);
      finding = { target: target.name, seed, ...found };
    }
    options.progress?.(inputs);
  }
  const seconds = (performance.now() - startMs) / 1000;
  return { target, inputs, seconds, counts, finding };
}

/** Gets a finding as it is printed, with the command that tries the input again. */
export function findingText(finding: Finding): string {
  const { target, seed, number, error, input } = finding;
  const which = number === undefined ? "" : ` --case ${number}`;
  return [
    `Target ${target}, seed ${seed}, case ${number ?? "unknown"}: ${error}`,
    `Input: ${input}`,
    `Again: deno task fuzz --only ${target} --seed ${seed}${which}`,
  ].join("\n");
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

/** Looks for the fewest and smallest inputs of a batch that fail with an error of the same class. */
async function shrink(
  target: AnyTarget,
  cases: readonly Case[],
  firstError: string,
): Promise<Pick<Finding, "number" | "input" | "error">> {
  const classOf = (error: string): string => error.split(":", 1)[0]!;
  const endMs = performance.now() + shrinking.ms;
  let tries = 0;
  let best = { cases, error: firstError };
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false;
    for (const less of smaller(best.cases, target.fixed)) {
      if (++tries > shrinking.tries || performance.now() > endMs) break;
      const error = await failureOf(target, less as Case[]);
      if (error === undefined || classOf(error) !== classOf(firstError)) {
        continue;
      }
      best = { cases: less as Case[], error };
      isSmaller = true;
      break;
    }
  }
  const { cases: [only, ...others], error } = best;
  if (only !== undefined && others.length === 0) {
    return { number: only.number, input: shown(only.input), error };
  }
  const input = shown(best.cases.map(({ input }) => input)).slice(0, 2_000);
  return { number: undefined, input, error };
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
