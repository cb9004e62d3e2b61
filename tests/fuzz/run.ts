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

/** An input by what makes it. */
export interface Case {
  readonly seed: number;
  readonly number: number;
}

/** How many inputs to try. */
export interface RunOptions {
  readonly seed: number;
  /** Inputs to try before those of the seed. */
  readonly known?: readonly Case[];
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

/** Tries inputs until there are enough, the time is over, or one does harm. */
export async function runTarget(
  target: AnyTarget,
  options: RunOptions,
): Promise<Report> {
  const { seed, known = [], first = 0 } = options;
  const { count = Infinity, endMs = Infinity } = options;
  const startMs = performance.now();
  let inputs = 0;
  let finding: Finding | undefined;
  const counts: Record<string, number> = {};
  const session: Session<unknown> = await target.open();
  const attempt = async (cases: readonly Case[]): Promise<boolean> => {
    try {
      await session.try(cases.map((one) => makeInput(target, one)));
      return true;
    } catch (error) {
      options.failed?.(errorText(error));
      finding = await findCulprit(target, { cases, error });
      return false;
    }
  };
  try {
    let isFine = known.length === 0 || await attempt(known);
    while (isFine && inputs < count && performance.now() < endMs) {
      const cases = Array.from(
        { length: Math.min(target.batch, count - inputs) },
        (_, i) => ({ seed, number: first + inputs + i }),
      );
      isFine = await attempt(cases);
      if (isFine) inputs += cases.length;
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

function makeInput(target: AnyTarget, { seed, number }: Case): unknown {
  return target.make(randomOf(seed, { target: target.name, number }));
}

/** Looks for the input of a batch that did it, and makes it smaller. */
async function findCulprit(
  target: AnyTarget,
  { cases, error }: { cases: readonly Case[]; error: unknown },
): Promise<Finding> {
  const harmful = await firstHarmful(target, cases);
  if (harmful === undefined) {
    const [{ seed, number }] = cases as [Case];
    return {
      target: target.name,
      seed,
      number: undefined,
      error: `${
        errorText(error)
      } (only after several of the ${cases.length} cases from ${number} on)`,
      input: "",
    };
  }
  const input = makeInput(target, harmful);
  const failure = await tryTogether(target, [input]);
  const smaller = failure === undefined
    ? { input, error: undefined }
    : await shrink(target, input);
  return {
    target: target.name,
    ...harmful,
    error: smaller.error ?? failure ?? errorText(error),
    input: target.show(smaller.input),
  };
}

/** Gets the input that does harm, if a single one does: looks for it in halves. */
async function firstHarmful(
  target: AnyTarget,
  cases: readonly Case[],
): Promise<Case | undefined> {
  const inputs = cases.map((one) => makeInput(target, one));
  if (await tryTogether(target, inputs) === undefined) return undefined;
  if (cases.length === 1) return cases[0];
  const middle = Math.ceil(cases.length / 2);
  return await firstHarmful(target, cases.slice(0, middle)) ??
    await firstHarmful(target, cases.slice(middle));
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
      const failure = await tryTogether(target, [simpler]);
      if (failure === undefined) continue;
      [best, error, found] = [simpler, failure, true];
      break;
    }
  }
  return { input: best, error };
}

/** Gets what goes wrong with some inputs in a session of their own, if anything does. */
async function tryTogether(
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
