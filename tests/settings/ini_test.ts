import assert from "node:assert/strict";
import { parseIni } from "../../src/settings/ini.ts";
import { fc } from "../helpers/property.ts";

const texts: Readonly<Record<string, [text: string, ...entries: string[]]>> = {
  "gives each entry with its section and line": [
    "top = 0\n\n[a]\n# no\nx = 1\n  [ b ]  \n\ty=2\nx = 3\n",
    ...["1 .top=0", "5 a.x=1", "7 b.y=2", "8 b.x=3"],
  ],
  "takes # and ; for comments only where a line begins": [
    "# one\n  ; two\n\t#three\n;x = 1\na = b # c ; d\n",
    "5 .a=b # c ; d",
  ],
  "keeps values as text: quotes, numbers, further =": [
    'a = 0077\nb = " x "\nc = x = y\nd = true\ne =\nf = it\'s',
    ...["1 .a=0077", '2 .b=" x "', "3 .c=x = y", "4 .d=true", "5 .e="],
    "6 .f=it's",
  ],
  "tolerates Windows line ends and a byte order mark": [
    "\uFEFF[a]\r\nx = 1\r\n\r\ny = 2",
    ...["2 a.x=1", "4 a.y=2"],
  ],
  "keeps names that JavaScript's objects have": [
    "__proto__ = 1\n[constructor]\nx = 2\n[__proto__]\npolluted = 3\n",
    ...["1 .__proto__=1", "3 constructor.x=2", "5 __proto__.polluted=3"],
  ],
};
for (const [what, [text, ...expected]] of Object.entries(texts)) {
  Deno.test(`parseIni() ${what}`, () => {
    const { entries, problems } = parseIni(text);
    assert.deepEqual(problems, []);
    const found = entries.map(({ section, key, value, line }) =>
      `${line} ${section}.${key}=${value}`
    );
    assert.deepEqual(found, expected);
    assert.ok(!("x" in Object), "js-ini wrote into Object");
    assert.ok(!("polluted" in {}), "js-ini wrote into Object.prototype");
  });
}

Deno.test("parseIni() gives each section with its line, whatever its name", () => {
  const { sections } = parseIni("\n[a]\nx = 1\n  [ b ]\n[__proto__]");
  assert.deepEqual(sections, [
    { name: "a", line: 2 },
    { name: "b", line: 4 },
    { name: "__proto__", line: 5 },
  ]);
});

Deno.test("parseIni() reports lines that make no sense, and reads the others", () => {
  const { entries, problems } = parseIni(
    "[a\nx = 1\nword\n= 2\n=\n[b] c\ny = 3\n",
  );
  assert.deepEqual(problems.map(({ line }) => line), [1, 3, 4, 5, 6]);
  assert.deepEqual(entries.map(({ key }) => key), ["x", "y"]);
});

Deno.test("parseIni() names control characters", () => {
  const { problems } = parseIni("a = 1\nb = x\0y\nc = d\re = f\ng =\th\n");
  assert.deepEqual(
    problems.map(({ line, got }) => [line, got]),
    [[2, "the control character U+0000"], [3, "the control character U+000D"]],
  );
});

Deno.test("parseIni() gives back what was written", () => {
  const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,15}$/);
  const value = fc.string({ unit: "grapheme", maxLength: 40 })
    .map((text) => text.trim());
  const entry = fc.oneof(
    name.map((section) => ({ section })),
    fc.record({ key: name, value }),
  );
  const ends = fc.constantFrom("\n", "\r\n");
  fc.assert(fc.property(fc.array(entry), ends, (written, end) => {
    let section = "";
    const expected: unknown[] = [];
    const lines = written.map((line) => {
      if ("section" in line) {
        ({ section } = line);
        return `[${section}]`;
      }
      expected.push([section, line.key, line.value]);
      return `${line.key} = ${line.value}`;
    });
    const { entries, problems } = parseIni(lines.join(end));
    assert.deepEqual(problems, []);
    const found = entries.map((each) => [each.section, each.key, each.value]);
    assert.deepEqual(found, expected);
  }));
});
