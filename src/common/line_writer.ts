/** Writes lines in the background: a reader that stalls must not stall the clients. */
import { within } from "./timing.ts";

/** Maximum text that waits to be written, in UTF-16 units. */
export const maxWaitingLength = 1024 * 1024;

/**
 * How long lines wait for others to go along, in milliseconds: each write is a
 * trip to another thread, which costs more than a connect.
 */
const gatherMs = 20;

/** How long {@linkcode LineWriter.flush} waits, in milliseconds. */
const flushMs = 1_000;

/** What a {@linkcode LineWriter} needs. */
export interface LineWriterOptions {
  /** Writes text, which is whole lines. May reject: nobody reads it then, and there is no other place to say so. */
  readonly write: (text: string) => Promise<void>;
  /** Called after a write with the number of lines dropped for want of room, if there are any. May add lines. */
  readonly onDropped: (lines: number) => void;
}

/** Writes lines in order; never throws. */
export class LineWriter {
  readonly #options: LineWriterOptions;
  #waiting = "";
  #dropped = 0;
  #writing: Promise<void> | undefined;
  /** Ends the wait for more lines. */
  #hurry: (() => void) | undefined;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  /** Takes a line, with its line feed; drops it if too much waits. */
  add(line: string): void {
    if (this.#waiting.length + line.length > maxWaitingLength) {
      this.#dropped++;
      return;
    }
    this.#waiting += line;
    this.#writing ??= this.#writeAll();
  }

  /** Writes what waits without waiting for more. */
  hurry(): void {
    this.#hurry?.();
  }

  /** Resolves when everything added so far is written, or after one second. */
  async flush(): Promise<void> {
    if (this.#writing === undefined) return;
    this.hurry();
    await within(this.#writing, flushMs);
  }

  async #writeAll(): Promise<void> {
    const hurried = Promise.withResolvers<void>();
    this.#hurry = hurried.resolve;
    await within(hurried.promise, gatherMs);
    this.#hurry = undefined;
    while (this.#waiting !== "") {
      const text = this.#waiting;
      this.#waiting = "";
      await this.#options.write(text).catch(() => {});
      this.#reportDropped();
    }
    this.#writing = undefined;
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return;
    const lines = this.#dropped;
    this.#dropped = 0;
    this.#options.onDropped(lines);
  }
}
