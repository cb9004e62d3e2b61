import assert from "node:assert/strict";
import { ConfigError } from "../../src/common/errors.ts";
import {
  ConfigProblemsError,
  problemText,
  quoteValue,
} from "../../src/settings/problems.ts";
import { loadText, refusal } from "../helpers/config.ts";
import { block } from "../helpers/docs.ts";
import { fc } from "../helpers/property.ts";

Deno.test("problemText() names as much of the place as is known", () => {
  const words = { got: "this", expected: "that" };
  const file = "staps.conf";
  assert.equal(
    problemText({ file, ...words }),
    "Cannot read staps.conf: got this, expected that",
  );
  assert.equal(
    problemText({ file, line: 2, section: "log", ...words }),
    'Cannot read section "log" in staps.conf line 2: got this, expected that',
  );
});

Deno.test("quoteValue() cuts long values, and hides what may have a password", () => {
  assert.equal(quoteValue("09"), '"09"');
  assert.equal(quoteValue("x".repeat(201)), `"${"x".repeat(200)}..."`);
  for (const text of ["amqp://a:b", "a:b@c"]) {
    assert.equal(quoteValue(text), "something with a URL or an account in it");
  }
});

Deno.test("ConfigProblemsError lists every problem by line, and each hint with its place", () => {
  const error = refusal(
    "[staps]\nmode = 09\nword\nsokcet = /x\n[limits]\nclients = 5s\n" +
      "message_bytes = 16M\n[limts]\n",
  );
  assert.ok(error instanceof ConfigError);
  assert.equal(error.exitCode, 78);
  assert.deepEqual(error.problems.map(({ line }) => line), [2, 3, 4, 6, 7, 8]);
  assert.equal(error.message.split("\n").length, 6);
  const { file } = error.problems[0]!;
  assert.deepEqual(error.hint!.split("\n"), [
    `${file} line 4: Did you mean "socket"?`,
    `${file} line 6: Leave the unit out`,
    `${file} line 8: Did you mean "[limits]"?`,
  ]);
});

Deno.test("ConfigProblemsError says what docs/configuration.md shows", async () => {
  const error = refusal("\n[staps]\nmode = 09\nsokcet = /x");
  const lines = error.message.split("\n").map((line) => `error: ${line}`);
  assert.equal(
    [...lines, `hint: ${error.hint}`].map((line) => `staps: ${line}\n`)
      .join("").replaceAll(error.problems[0]!.file, "/etc/staps/staps.conf"),
    await block("docs/configuration.md", "mistakes"),
  );
});

Deno.test("ConfigProblemsError never shows a password, wherever it stands", () => {
  // A mark that no message contains, among characters that break URLs.
  const password = fc.array(
    fc.constantFrom("XYZZY", ..."/?#[]@:;%= \"'\\\u00e4\t\u2028"),
    { maxLength: 6 },
  ).map((pieces) => ["XYZZY", ...pieces, "XYZZY"].join(""));
  const line = fc.constantFrom(
    (url: string) => `[staps]\namqp = ${url}`,
    (url: string) => `[staps]\namqp ${url}`,
    (url: string) => `[staps]\namqp: ${url}`,
    (url: string) => `[staps]\nampq = ${url}`,
    (url: string) => `[staps]\n${url}`,
    (url: string) => `amqp = ${url}`,
    (url: string) => `[${url}]`,
    (url: string) => `[staps] ${url}`,
    (url: string) => `[staps]\nsocket = ${url}`,
    (url: string) => `[staps]\nmode = ${url}`,
    (url: string) => `[bridge]\nhosts = ${url}`,
    (url: string) => `[bridge]\nca = ${url}`,
    (url: string) => `[bridge]\nexchange = ${url}`,
    (url: string) => `[log]\nlevel = ${url}`,
    (url: string) => `[staps]\namqp = ${url}\namqp = ${url}`,
    (url: string) => `[staps]\namqp = ${url}\n[bridge]\nca = /x`,
  );
  const beginning = fc.constantFrom(
    "amqp://staps:",
    "amqps://",
    "amqp:/staps:",
    "http://staps:",
    "staps:",
    '"amqp://staps:',
  );
  const end = fc.constantFrom("@localhost/", "@", "@h:1/v/w", "@[::1", "@h:x");
  const all = fc.tuple(line, beginning, password, end);
  let refused = 0;
  fc.assert(
    fc.property(all, ([line, beginning, password, end]) => {
      try {
        loadText(line(`${beginning}${password}${end}`));
      } catch (error) {
        assert.ok(error instanceof ConfigProblemsError);
        const { message, hint, stack, problems } = error;
        assert.doesNotMatch(
          JSON.stringify([message, hint, stack, problems]),
          /XYZZY/i,
        );
        refused++;
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(refused > 1000, `Only ${refused} of 2000 were refused`);
});
