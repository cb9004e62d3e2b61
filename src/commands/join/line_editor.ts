/**
 * A person at a terminal: edits a line, with arrow keys and a history, while
 * others' lines come in above it. The editing is node:readline's.
 */
import {
  clearScreenDown,
  createInterface,
  cursorTo,
  type Interface,
  moveCursor,
} from "node:readline";

/** A terminal's two directions, such as `process.stdin` and `process.stdout`. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

const prompt = "> ";
/** How many lines can be got back with the arrow keys. */
const historySize = 1000;
/** As many lines may wait to be published before no more are read. */
const maxWaiting = 1000;

/** Reads lines from a terminal, and prints without disturbing the one that is being typed. */
export class LineEditor {
  readonly #output: NodeJS.WritableStream;
  readonly #readline: Interface;
  readonly #waiting: string[] = [];
  #wake = Promise.withResolvers<void>();
  #isClosed = false;

  /**
   * Takes the terminal over until {@linkcode close}.
   *
   * @param onInterrupt Called at Ctrl-C, which is no signal meanwhile.
   */
  constructor({ input, output }: Terminal, onInterrupt: () => void) {
    this.#output = output;
    this.#readline = createInterface({
      input,
      output,
      terminal: true,
      prompt,
      historySize,
    });
    this.#readline.on("SIGINT", onInterrupt);
    // After Ctrl-Z and fg: readline has stopped reading, this goes on.
    this.#readline.on("SIGCONT", () => this.#readline.prompt(true));
    this.#readline.on("line", (line) => {
      this.#waiting.push(line);
      if (this.#waiting.length < maxWaiting) this.#readline.prompt();
      else this.#readline.pause();
      this.#wake.resolve();
    });
    this.#readline.on("close", () => {
      this.#isClosed = true;
      this.#wake.resolve();
    });
    this.#readline.prompt();
  }

  /** Gets each line when it is entered, until Ctrl-D. */
  async *lines(): AsyncGenerator<string> {
    while (true) {
      const wasFull = this.#waiting.length >= maxWaiting;
      const line = this.#waiting.shift();
      if (line !== undefined) yield line;
      else if (this.#isClosed) return;
      else {
        await this.#wake.promise;
        this.#wake = Promise.withResolvers();
      }
      // Reads again.
      if (wasFull && !this.#isClosed) this.#readline.prompt();
    }
  }

  /** Writes lines above the one that is being typed; resolves when they are written. */
  async print(lines: string): Promise<void> {
    if (!this.#isClosed) this.#eraseLine();
    const written = new Promise<void>((resolve, reject) =>
      this.#output.write(lines, (error) => error ? reject(error) : resolve())
    );
    if (!this.#isClosed) this.#readline.prompt(true);
    await written;
  }

  /** Gives the terminal back. */
  close(): void {
    if (this.#readline.line !== "") this.#output.write("\n");
    else this.#eraseLine();
    this.#readline.close();
  }

  /** Removes prompt and line, however many rows they have, from the screen only. */
  #eraseLine(): void {
    moveCursor(this.#output, 0, -this.#readline.getCursorPos().rows);
    cursorTo(this.#output, 0);
    clearScreenDown(this.#output);
  }
}
