/** Trying many inputs of one target, and telling which one did harm. */
import { type AnyTarget, randomOf, type Session } from "./target.ts";

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
  /** The first one. */
  readonly first?: number;
  /** How many at most. */
  readonly count?: number;
  /** No further batch begins after this, by `performance.now()`. */
  readonly endMs?: number;
  /** Called after each batch. */
  readonly progress?: (inputs: number) => void;
}

/** Tries inputs until there are enough, the time is over, or one does harm. */
export async function runTarget(
  target: AnyTarget,
  options: RunOptions,
): Promise<Report> {
  const { seed, first = 0, count = Infinity, endMs = Infinity } = options;
  const startMs = performance.now();
  let inputs = 0;
  let finding: Finding | undefined;
  const counts: Record<string, number> = {};
  const session: Session<unknown> = await target.open();
  try {
    while (inputs < count && performance.now() < endMs) {
      const numbers = Array.from(
        { length: Math.min(target.batch, count - inputs) },
        (_, i) => first + inputs + i,
      );
      try {
        await session.try(
          numbers.map((number) => makeInput(target, options, number)),
        );
      } catch (error) {
        finding = await findCulprit(target, { seed, numbers, error });
        break;
      }
      inputs += numbers.length;
      options.progress?.(inputs);
    }
    Object.assign(counts, session.counts);
  } finally {
    await session[Symbol.asyncDispose]();
  }
  const seconds = (performance.now() - startMs) / 1000;
  return { target, inputs, seconds, counts, finding };
}

/** Gets the command that tries the input of a finding again. */
export function replayCommand(
  { target, seed, number }: Finding,
): string {
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

function makeInput(
  target: AnyTarget,
  { seed }: { seed: number },
  number: number,
): unknown {
  return target.make(randomOf(seed, { target: target.name, number }));
}

/** Tries the inputs of a batch one by one, and makes the one that fails smaller. */
async function findCulprit(
  target: AnyTarget,
  { seed, numbers, error }: {
    seed: number;
    numbers: readonly number[];
    error: unknown;
  },
): Promise<Finding> {
  for (const number of numbers) {
    const input = makeInput(target, { seed }, number);
    const failure = await tryAlone(target, input);
    if (failure === undefined) continue;
    const smaller = await shrink(target, input);
    return {
      target: target.name,
      seed,
      number,
      error: smaller.error ?? failure,
      input: target.show(smaller.input),
    };
  }
  return {
    target: target.name,
    seed,
    number: undefined,
    error: `${errorText(error)} (only after several of the cases ${
      numbers[0]
    } to ${numbers.at(-1)})`,
    input: "",
  };
}

/** How long a finding may be made smaller, and how often that may be tried. */
const shrinking = { ms: 20_000, tries: 2_000 } as const;

async function shrink(
  target: AnyTarget,
  input: unknown,
): Promise<{ input: unknown; error: string | undefined }> {
  const endMs = performance.now() + shrinking.ms;
  let tries = 0;
  let best = input;
  let error: string | undefined;
  for (let found = true; found;) {
    found = false;
    for (const simpler of target.simpler(best)) {
      if (++tries > shrinking.tries || performance.now() > endMs) break;
      const failure = await tryAlone(target, simpler);
      if (failure === undefined) continue;
      [best, error, found] = [simpler, failure, true];
      break;
    }
  }
  return { input: best, error };
}

/** Gets what goes wrong with one input in a session of its own, if anything does. */
async function tryAlone(
  target: AnyTarget,
  input: unknown,
): Promise<string | undefined> {
  await using session = await target.open();
  try {
    await session.try([input]);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name}: ${error.message}`.slice(0, 2_000);
}
