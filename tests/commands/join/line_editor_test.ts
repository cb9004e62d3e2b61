/** What somebody sees who types while others' lines come in. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { LineEditor } from "../../../src/commands/join/line_editor.ts";
import { eventually } from "../../../tools/eventually.ts";
import { Screen } from "../../helpers/screen.ts";

const columns = 20;
const keys = {
  left: "\x1b[D",
  up: "\x1b[A",
  home: "\x1b[H",
  backspace: "\x7f",
  ctrlD: "\x04",
};

/** A LineEditor on a terminal of the test's own. */
class Typist implements Disposable {
  readonly #input = new PassThrough();
  readonly #output = Object.assign(new PassThrough(), { columns });
  #written = "";
  readonly editor = new LineEditor({
    input: this.#input,
    output: this.#output,
  });
  readonly entered: string[] = [];
  readonly ended = this.#collect();

  constructor() {
    this.#output.setEncoding("utf8");
    this.#output.on("data", (text) => this.#written += text);
  }

  get screen(): Screen {
    return Screen.of(this.#written, columns);
  }

  type(...texts: string[]): void {
    for (const text of texts) this.#input.write(text);
  }

  /** Waits until the screen has these lines. */
  async sees(...lines: string[]): Promise<void> {
    const shown = (): string => this.screen.lines.join("\n");
    await eventually(() => shown() === lines.join("\n"), shown);
  }

  /** Waits until these lines are entered, and no others. */
  async enters(...lines: string[]): Promise<void> {
    const entered = (): boolean => this.entered.length >= lines.length;
    await eventually(entered, `${lines.length} lines`);
    assert.deepEqual(this.entered, lines);
  }

  [Symbol.dispose](): void {
    this.editor.close();
  }

  async #collect(): Promise<void> {
    for await (const line of this.editor.lines()) this.entered.push(line);
  }
}

Deno.test("LineEditor keeps what is being typed below what comes in, and the cursor in it, in several rows too", async () => {
  using typist = new Typist();
  await typist.sees(">");
  const rows = ["> x01234567890123456", "78901234567890123456", "789"];
  typist.type("0123456789".repeat(4), keys.home, keys.left, "x");
  await typist.sees(...rows);
  assert.deepEqual(typist.screen.cursor, { row: 0, column: 3 });
  await typist.editor.print("< one\n");
  await typist.editor.print("< two\n  lines\n");
  await typist.sees("< one", "< two", "  lines", ...rows);
  assert.deepEqual(typist.screen.cursor, { row: 3, column: 3 });
  assert.deepEqual(typist.entered, []);
});

Deno.test("LineEditor edits with arrow keys, and has a history", async () => {
  using typist = new Typist();
  typist.type("wrld", keys.left, keys.left, keys.left, "o", "\r");
  await typist.enters("world");
  typist.type("second\r");
  await typist.enters("world", "second");
  typist.type(keys.up, keys.up, "!", "\r");
  await typist.enters("world", "second", "world!");
  await typist.sees("> world", "> second", "> world!", ">");
});

Deno.test("LineEditor gets lines that are pasted at once, an empty one too", async () => {
  using typist = new Typist();
  const lines = Array.from({ length: 3000 }, (_, index) => `line ${index}`);
  lines.push("");
  typist.type(lines.map((line) => `${line}\r`).join(""));
  await typist.enters(...lines);
});

Deno.test("LineEditor reads no more than it has room for", async () => {
  const input = new PassThrough();
  const output = new PassThrough();
  output.resume();
  const editor = new LineEditor({ input, output });
  let written = 0;
  // Nobody takes the lines.
  while (input.write("a\r".repeat(1000)) && written < 1000) {
    written++;
    await new Promise((resolve) => setTimeout(resolve));
  }
  assert.ok(written < 100, `${written} thousand lines were read`);
  let taken = 0;
  for await (const _ of editor.lines()) if (++taken === 5000) break;
  editor.close();
});

Deno.test("LineEditor ends at Ctrl-D in an empty line", async () => {
  using typist = new Typist();
  typist.type("half", keys.ctrlD);
  typist.type(...Array(4).fill(keys.backspace), keys.ctrlD);
  await typist.ended;
  assert.deepEqual(typist.entered, []);
  // What comes in afterwards needs no care.
  await typist.editor.print("last\n");
});

Deno.test("LineEditor.close() leaves the cursor at the beginning of a line", async () => {
  for (const text of ["", "half"]) {
    using typist = new Typist();
    typist.type(text);
    await typist.sees(`> ${text}`.trimEnd());
    typist.editor.close();
    await eventually(() => typist.screen.cursor.column === 0, "a new line");
    assert.equal(typist.screen.lines.at(-1), "");
  }
});
