/** Trying many inputs of one target, and telling which one did harm. */
import { shown, smaller } from "./smaller.ts";
import { type AnyTarget, randomOf } from "./target.ts";

/** An input that did harm. */
export interface Finding {
  readonly target: string;
  readonly seed: number;
  /** Which of the inputs that the seed makes; `undefined` where only many together did it. */
  readonly number: number | undefined;
  readonly error: string;
  /** The input, the smallest that was found to do the same. */
  readonly input: string;
}

/** What came of a run. */
export interface Report {
  readonly target: AnyTarget;
  readonly inputs: number;
  readonly seconds: number;
  /** What the target counted besides. */
  readonly counts: Readonly<Record<string, number>>;
  readonly finding: Finding | undefined;
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

/** How long a finding may be made smaller, and how often that may be tried. */
const shrinking = { ms: 20_000, tries: 2_000 } as const;

/** Tries inputs until there are enough, the time is over, or one does harm. */
export async function runTarget(
  target: AnyTarget,
  options: RunOptions,
): Promise<Report> {
  const { seed, first = 0, count = Infinity, endMs = Infinity } = options;
  const startMs = performance.now();
  let inputs = 0;
  let finding: Finding | undefined;
  await using session = await target.open();
  while (!finding && inputs < count && performance.now() < endMs) {
    const numbers = Array.from(
      { length: Math.min(target.batch, count - inputs) },
      (_, i) => first + inputs + i,
    );
    try {
      await session.try(numbers.map((each) => inputOf(target, seed, each)));
      inputs += numbers.length;
    } catch (error) {
      options.failed?.(errorText(error));
      finding = await findCulprit(target, { seed, numbers, error });
    }
    options.progress?.(inputs);
  }
  const seconds = (performance.now() - startMs) / 1000;
  const counts = { ...session.counts };
  return { target, inputs, seconds, counts, finding };
}

/** Gets the command that tries the input of a finding again. */
export function replayCommand({ target, seed, number }: Finding): string {
  const which = number === undefined ? "" : ` --case ${number}`;
  return `deno task fuzz --only ${target} --seed ${seed}${which}`;
}

/** Gets a finding as it is printed. */
export function findingText(finding: Finding): string {
  const { target, seed, number, error, input } = finding;
  return [
    `Target ${target}, seed ${seed}, case ${number ?? "unknown"}: ${error}`,
    `Input: ${input}`,
    `Again: ${replayCommand(finding)}`,
  ].join("\n");
}

function inputOf(target: AnyTarget, seed: number, number: number): unknown {
  return target.make(randomOf(seed, { target: target.name, number }));
}

/** Looks for the input of a batch that did it, and makes it smaller. */
async function findCulprit(
  target: AnyTarget,
  { seed, numbers, error }: {
    seed: number;
    numbers: readonly number[];
    error: unknown;
  },
): Promise<Finding> {
  const number = await firstHarmful(target, { seed, numbers });
  const found = { target: target.name, seed, number };
  if (number === undefined) {
    const which = `${numbers.length} cases from ${numbers[0]} on`;
    const text = `${errorText(error)} (only after several of the ${which})`;
    return { ...found, error: text, input: "" };
  }
  const input = inputOf(target, seed, number);
  const failure = await failureOf(target, [input]);
  return failure === undefined
    ? { ...found, error: errorText(error), input: shown(input) }
    : { ...found, ...await shrink(target, { input, failure }) };
}

/** Gets the input that does harm, if a single one does: looks for it in halves. */
async function firstHarmful(
  target: AnyTarget,
  { seed, numbers }: { seed: number; numbers: readonly number[] },
): Promise<number | undefined> {
  const inputs = numbers.map((number) => inputOf(target, seed, number));
  if (await failureOf(target, inputs) === undefined) return undefined;
  if (numbers.length === 1) return numbers[0];
  const middle = Math.ceil(numbers.length / 2);
  for (const half of [numbers.slice(0, middle), numbers.slice(middle)]) {
    const number = await firstHarmful(target, { seed, numbers: half });
    if (number !== undefined) return number;
  }
  return undefined;
}

/** Gets the smallest input that is found to fail with an error of the same class. */
async function shrink(
  target: AnyTarget,
  { input, failure }: { input: unknown; failure: string },
): Promise<{ input: string; error: string }> {
  const classOf = (error: string): string => error.split(":", 1)[0]!;
  const endMs = performance.now() + shrinking.ms;
  let tries = 0;
  let best = { input, error: failure };
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false;
    for (const less of smaller(best.input, target.fixed)) {
      if (++tries > shrinking.tries || performance.now() > endMs) break;
      const error = await failureOf(target, [less]);
      if (error === undefined || classOf(error) !== classOf(failure)) continue;
      best = { input: less, error };
      isSmaller = true;
      break;
    }
  }
  return { input: shown(best.input), error: best.error };
}

/** Gets what goes wrong with some inputs in a session of their own, if anything does. */
async function failureOf(
  target: AnyTarget,
  inputs: readonly unknown[],
): Promise<string | undefined> {
  await using session = await target.open();
  try {
    await session.try(inputs);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name}: ${error.message}`.slice(0, 2_000);
}
