import assert from "node:assert/strict";
import { parseIni } from "../../src/settings/ini.ts";
import { fc, iniText } from "../helpers/property.ts";

Deno.test("parseIni() gives each entry with its section and line", () => {
  const { sections, entries, problems } = parseIni(
    "top = 0\n\n[a]\n# no\nx = 1\n  [ b ]  \n\ty=2\nx = 3\n",
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(sections, [{ name: "a", line: 3 }, { name: "b", line: 6 }]);
  assert.deepEqual(entries, [
    { section: "", key: "top", value: "0", line: 1 },
    { section: "a", key: "x", value: "1", line: 5 },
    { section: "b", key: "y", value: "2", line: 7 },
    { section: "b", key: "x", value: "3", line: 8 },
  ]);
});

const cases = [
  {
    what: "takes # and ; for comments only where a line begins",
    text: "# one\n  ; two\n\t#three\n;x = 1\na = b # c ; d\n",
    entries: ["5 .a=b # c ; d"],
  },
  {
    what: "keeps values as text: quotes, numbers, further =",
    text: 'a = 0077\nb = " x "\nc = x = y\nd = true\ne =\nf = it\'s',
    entries: [
      ...["1 .a=0077", '2 .b=" x "', "3 .c=x = y", "4 .d=true", "5 .e="],
      "6 .f=it's",
    ],
  },
  {
    what: "tolerates Windows line ends and a byte order mark",
    text: "\uFEFF[a]\r\nx = 1\r\n\r\ny = 2",
    entries: ["2 a.x=1", "4 a.y=2"],
  },
];
for (const { what, text, entries } of cases) {
  Deno.test(`parseIni() ${what}`, () => {
    const { entries: found, problems } = parseIni(text);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      found.map(({ section, key, value, line }) =>
        `${line} ${section}.${key}=${value}`
      ),
      entries,
    );
  });
}

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

Deno.test("parseIni() keeps names that JavaScript's objects have", () => {
  const { sections, entries, problems } = parseIni(
    "__proto__ = 1\n[constructor]\nx = 2\n[__proto__]\npolluted = 3\n",
  );
  assert.deepEqual(problems, []);
  const names = sections.map(({ name }) => name);
  assert.deepEqual(names, ["constructor", "__proto__"]);
  assert.deepEqual(entries.map(({ section, key }) => [section, key]), [
    ["", "__proto__"],
    ["constructor", "x"],
    ["__proto__", "polluted"],
  ]);
  assert.ok(!("x" in Object), "js-ini wrote into Object");
  assert.ok(!("polluted" in {}), "js-ini wrote into Object.prototype");
});

Deno.test("parseIni() never throws, and every line number exists", () => {
  fc.assert(fc.property(iniText(), (text) => {
    const { sections, entries, problems } = parseIni(text);
    const lines = text.split("\n").length;
    for (const { line } of [...sections, ...entries, ...problems]) {
      assert.ok(line >= 1 && line <= lines);
    }
  }));
});

Deno.test("parseIni() gives back what was written", () => {
  const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,15}$/);
  const value = fc.string({ unit: "grapheme", maxLength: 40 })
    .map((text) => text.trim());
  const file = fc.array(
    fc.tuple(name, fc.array(fc.tuple(name, value), { maxLength: 5 })),
    { maxLength: 5 },
  );
  fc.assert(fc.property(file, fc.constantFrom("\n", "\r\n"), (file, end) => {
    const text = file.map(([section, entries]) =>
      `[${section}]${end}` +
      entries.map(([key, value]) => `${key} = ${value}${end}`).join("")
    ).join(end);
    const { entries, problems } = parseIni(text);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      entries.map(({ section, key, value }) => [section, key, value]),
      file.flatMap(([section, entries]) =>
        entries.map(([key, value]) => [section, key, value])
      ),
    );
  }));
});
