import assert from "node:assert/strict";
import {
  escapeControls,
  harmless,
  painter,
  writeAll,
} from "../../src/common/terminal.ts";

const terminal = { isTerminal: () => true };
const pipe = { isTerminal: () => false };

Deno.test("painter() colours on terminals only, and obeys NO_COLOR", () => {
  assert.equal(painter(terminal, undefined)("good", "ok"), "\x1b[32mok\x1b[0m");
  // https://no-color.org: when present and not an empty string.
  assert.equal(painter(terminal, "")("good", "ok"), "\x1b[32mok\x1b[0m");
  assert.equal(painter(terminal, "1")("good", "ok"), "ok");
  assert.equal(painter(pipe, undefined)("good", "ok"), "ok");
});

Deno.test("harmless() leaves nothing that steers a terminal", () => {
  assert.equal(harmless("grün\t😀"), "grün\t😀");
  assert.equal(
    harmless("\x1b[2J\x07\r\u202e"),
    "\\u001b[2J\\u0007\\u000d\\u202e",
  );
});

Deno.test("escapeControls() writes control characters as JSON does, tabs too", () => {
  assert.equal(
    escapeControls("grün\t\n\u{e0001}\ud800😀"),
    "grün\\u0009\\u000a\\udb40\\udc01\\ud800😀",
  );
});

Deno.test("writeAll() goes on after a partial write", async () => {
  const written: number[] = [];
  await writeAll({
    write(bytes: Uint8Array): Promise<number> {
      written.push(bytes[0]!);
      return Promise.resolve(1);
    },
  }, "abc");
  assert.deepEqual(written, [97, 98, 99]);
});
