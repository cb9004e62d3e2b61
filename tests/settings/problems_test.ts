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
  const problem = { file: "f", got: "this", expected: "that" };
  assert.equal(problemText(problem), "Cannot read f: got this, expected that");
  assert.equal(
    problemText({ ...problem, line: 2, section: "log" }),
    'Cannot read section "log" in f line 2: got this, expected that',
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
  const text = fc.constantFrom(
    "[staps]\namqp = URL",
    "[staps]\namqp URL",
    "[staps]\namqp: URL",
    "[staps]\nampq = URL",
    "[staps]\nURL",
    "amqp = URL",
    "[URL]",
    "[staps] URL",
    "[staps]\nsocket = URL",
    "[staps]\nmode = URL",
    "[bridge]\nhosts = URL",
    "[bridge]\nca = URL",
    "[bridge]\nexchange = URL",
    "[log]\nlevel = URL",
    "[staps]\namqp = URL\namqp = URL",
    "[staps]\namqp = URL\n[bridge]\nca = /x",
  );
  const beginning = fc.constantFrom(
    ...["amqp://staps:", "amqps://", "amqp:/staps:", "http://staps:", "staps:"],
    '"amqp://staps:',
  );
  const end = fc.constantFrom("@localhost/", "@", "@h:1/v/w", "@[::1", "@h:x");
  const url = fc.tuple(beginning, password, end).map((parts) => parts.join(""));
  let refused = 0;
  fc.assert(
    fc.property(text, url, (text, url) => {
      try {
        loadText(text.replaceAll("URL", () => url));
      } catch (error) {
        assert.ok(error instanceof ConfigProblemsError);
        const { message, hint, stack, problems } = error;
        const shown = JSON.stringify([message, hint, stack, problems]);
        assert.doesNotMatch(shown, /XYZZY/i);
        refused++;
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(refused > 1000, `Only ${refused} of 2000 were refused`);
});
