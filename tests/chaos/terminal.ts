/** What the programs of this folder and of the soak have in common: numbers on the command line, interruptions, printing. */

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

/** A signal that is aborted when the process is interrupted. Its disposal ends that. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #onSignal = (): void => this.#controller.abort();

  constructor() {
    Deno.addSignalListener("SIGINT", this.#onSignal);
    Deno.addSignalListener("SIGTERM", this.#onSignal);
  }

  /** See {@linkcode Interruption}. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    Deno.removeSignalListener("SIGINT", this.#onSignal);
    Deno.removeSignalListener("SIGTERM", this.#onSignal);
  }
}

/** Writes a text to standard output. */
export function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}
