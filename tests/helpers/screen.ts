/** A terminal's screen: what somebody sees of what a program writes (ECMA-48). */

/** The screen of a terminal that knows the sequences which node:readline writes, and colours. */
export class Screen {
  readonly #columns: number;
  #rows: string[][] = [[]];
  #row = 0;
  #column = 0;

  constructor(columns: number) {
    this.#columns = columns;
  }

  /** Its lines, without the blanks at their ends. */
  get lines(): string[] {
    return this.#rows.map((row) =>
      Array.from(row, (cell) => cell ?? " ").join("").trimEnd()
    );
  }

  /** Where the cursor is, counted from 0. */
  get cursor(): { row: number; column: number } {
    return { row: this.#row, column: this.#column };
  }

  /** Gets the screen after `text`. @throws {Error} If it has a sequence that isn't known here. */
  static of(text: string, columns: number): Screen {
    const screen = new Screen(columns);
    // deno-lint-ignore no-control-regex -- they are what it is about
    const parts = text.matchAll(/\x1b\[([?\d;]*)([A-Za-z])|\x1b|[^\x1b]/gu);
    for (const [part, parameter, final] of parts) {
      if (final !== undefined) screen.#control(final, parameter!);
      else screen.#put(part);
    }
    return screen;
  }

  #put(character: string): void {
    if (character === "\r") this.#column = 0;
    else if (character === "\n") {
      // As the terminal's driver has it (ONLCR, termios(3)).
      this.#column = 0;
      this.#down();
    } else {
      if (character < " ") {
        throw new Error(`Not expected: ${JSON.stringify(character)}`);
      }
      if (this.#column === this.#columns) {
        this.#column = 0;
        this.#down();
      }
      this.#rows[this.#row]![this.#column++] = character;
    }
  }

  #down(): void {
    this.#row++;
    this.#rows[this.#row] ??= [];
  }

  #control(final: string, parameter: string): void {
    const count = Number(parameter || 1);
    if (final === "A") this.#row = Math.max(0, this.#row - count);
    else if (final === "B") { for (let n = 0; n < count; n++) this.#down(); }
    else if (final === "C") this.#column += count;
    else if (final === "D") this.#column = Math.max(0, this.#column - count);
    else if (final === "G") this.#column = Math.max(0, count - 1);
    else if (final === "J") {
      this.#rows[this.#row]!.length = this.#column;
      this.#rows.length = this.#row + 1;
    } else if (final === "K") {
      this.#rows[this.#row] = [];
    } else if (final !== "m") {
      throw new Error(`Not expected: ${parameter}${final}`);
    }
  }
}
