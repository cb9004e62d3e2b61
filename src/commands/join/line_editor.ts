/**
 * A person at a terminal: edits a line, with arrow keys and a history, while
 * others' lines come in above it. The editing is node:readline's.
 */
import process from "node:process";
import {
  clearScreenDown,
  createInterface,
  cursorTo,
  type Interface,
  moveCursor,
} from "node:readline";

/** A terminal's two directions, such as `process.stdin` and `process.stdout`. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & {
    setRawMode?: (isRaw: boolean) => unknown;
  };
  readonly output: NodeJS.WritableStream;
}

/**
 * Gets the terminal that this process runs on. While lines are edited, Ctrl-C
 * and Ctrl-Z stay signals: for a process to send one to itself takes more
 * permissions than staps has.
 */
export function ownTerminal(): Terminal {
  const { stdin: input, stdout: output } = process;
  input.setRawMode = (isRaw) => {
    Deno.stdin.setRaw(isRaw, { cbreak: isRaw });
    return input;
  };
  return { input, output };
}

const prompt = "> ";
/** How many lines can be got back with the arrow keys. */
const historySize = 1000;
/** As many lines may wait to be published before no more are read. */
const maxWaiting = 1000;

/** Reads lines from a terminal, and prints without disturbing the one that is being typed. */
export class LineEditor {
  readonly #terminal: Terminal;
  readonly #readline: Interface;
  readonly #waiting: string[] = [];
  #wake = Promise.withResolvers<void>();
  #isClosed = false;
  /** After Ctrl-Z and fg: the shell has had the terminal meanwhile. */
  readonly #onContinue = (): void => {
    const { input } = this.#terminal;
    input.setRawMode?.(false);
    input.setRawMode?.(true);
    this.#readline.prompt(true);
  };

  /** Takes the terminal over until {@linkcode close}. */
  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#readline = createInterface({
      ...terminal,
      terminal: true,
      prompt,
      historySize,
    });
    Deno.addSignalListener("SIGCONT", this.#onContinue);
    this.#readline.on("line", (line) => {
      this.#waiting.push(line);
      if (this.#waiting.length < maxWaiting) this.#readline.prompt();
      else this.#readline.pause();
      this.#wake.resolve();
    });
    this.#readline.on("close", () => {
      this.#isClosed = true;
      Deno.removeSignalListener("SIGCONT", this.#onContinue);
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
      this.#terminal.output.write(
        lines,
        (error) => error ? reject(error) : resolve(),
      )
    );
    if (!this.#isClosed) this.#readline.prompt(true);
    await written;
  }

  /** Gives the terminal back. */
  close(): void {
    if (this.#readline.line !== "") this.#terminal.output.write("\n");
    else this.#eraseLine();
    this.#readline.close();
  }

  /** Removes prompt and line, however many rows they have, from the screen only. */
  #eraseLine(): void {
    moveCursor(this.#terminal.output, 0, -this.#readline.getCursorPos().rows);
    cursorTo(this.#terminal.output, 0);
    clearScreenDown(this.#terminal.output);
  }
}
