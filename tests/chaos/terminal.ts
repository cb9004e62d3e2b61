/** What the programs of this folder and of the soak have in common: options, interruptions, printing. */

/**
 * Gets the number that an option has, or `fallback` if it isn't there.
 *
 * @throws {RangeError} If it isn't a number of at least `least`.
 */
export function readNumber(
  option: string,
  text: string | undefined,
  { fallback, least = 0 }: { fallback: number; least?: number },
): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value < Infinity) return value;
  const expected = least === 0 ? "a number" : `a number of at least ${least}`;
  throw new RangeError(
    `Cannot read "--${option}": got "${text}", expected ${expected}`,
  );
}

/**
 * Gets what an option says, if it is there.
 *
 * @throws {RangeError} If it is none of `choices`.
 */
export function readChoice<T extends string>(
  option: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  const choice = choices.find((each) => each === text);
  if (choice !== undefined || text === undefined) return choice;
  throw new RangeError(
    `Cannot read "--${option}": got "${text}", expected ${choices.join(", ")}`,
  );
}

/** Gets a signal that is aborted when the process is told to end. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => controller.abort());
  }
  return controller.signal;
}

/** Writes a text to standard output. */
export function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}
