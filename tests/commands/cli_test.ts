import assert from "node:assert/strict";
import { commandTree, parseCommandLine } from "../../src/commands/cli.ts";
import { UsageError } from "../../src/common/errors.ts";
import { build, version } from "../../src/common/version.ts";
import { parse, refusal, textOf } from "../helpers/command_line.ts";
import { fc } from "../helpers/property.ts";

const served = {
  config: "a.conf",
  socket: "./s.sock",
  listen: { hostname: "127.0.0.1", port: 8080 },
};
const lines: readonly [line: string, name: string, options: object][] = [
  // Where there is no command, it serves.
  ["", "serve", {}],
  ["serve", "serve", {}],
  ["-c a.conf -s ./s.sock -l 127.0.0.1:8080", "serve", served],
  [
    "serve --listen 127.0.0.1:8080 -c a.conf --socket=./s.sock",
    "serve",
    served,
  ],
  ["--config a.conf --socket=./s.sock -l 127.0.0.1:8080", "serve", served],
  ["join /x -b -n 7 -s s -r", "join", {
    ...{ url: "/x", binary: true, count: 7, socket: "s", reconnect: true },
  }],
  ["publish /x -m a -w 60 -s s -b", "publish", {
    ...{ url: "/x", message: "a", wait: 60, socket: "s", binary: true },
  }],
  ["url", "url", { base: "ws://localhost/" }],
  ["completion fish", "completion", { shell: "fish" }],
  ["status -w -c c -s s", "status", {
    ...{ instance: undefined, watch: true, config: "c", socket: "s" },
  }],
  ["status staps@1", "status", { instance: "staps@1" }],
  ["check -j -u a -f b", "check", {
    ...{ instance: undefined, json: true, user: "a", frontend: "b" },
  }],
  ["--license", "license", {}],
];

for (const [line, name, options] of lines) {
  Deno.test(`parseCommandLine() understands "staps ${line}"`, () => {
    const args = line.split(" ").filter((word) => word !== "");
    assert.deepEqual(parse(...args), { name, options });
  });
}

Deno.test("parseCommandLine() gives the help as text, also after the word help", () => {
  const help = textOf("--help");
  assert.equal(textOf("-h"), help);
  assert.equal(textOf("help"), help);
  for (const { name } of commandTree()) {
    assert.equal(textOf("help", name), textOf(name, "--help"), name);
  }
  assert.match(refusal("help", "jion").hint!, /"staps join"/);
  for (const text of [help, textOf("serve", "--help")]) {
    for (const option of ["--config", "--socket", "--listen", "--help"]) {
      assert.match(text, new RegExp(`${option}\\b`));
    }
    assert.doesNotMatch(text, /.{81}/, "Longer than a terminal");
  }
});

Deno.test("parseCommandLine() gives the version as text", () => {
  for (const word of ["--version", "-V", "-v", "version"]) {
    assert.equal(textOf(word), `staps ${version} (${build()})\n`);
  }
});

Deno.test("commandTree() has the commands in the order of the help, and their options", () => {
  const tree = commandTree();
  assert.equal(
    tree.map(({ name }) => name).join(" "),
    "serve check status url join publish completion license",
  );
  const options = tree[1]!.options.map(({ short = "", long, value = "" }) =>
    `${short} ${long} ${value}`.trim()
  );
  assert.deepEqual(options, [
    ...["-c --config file", "-j --json", "-u --user user"],
    ...["-f --frontend user", "-t --through other", "--ca file", "-h --help"],
  ]);
  assert.deepEqual(tree[6]!.choices, ["bash", "zsh", "fish"]);
});

Deno.test("parseCommandLine() refuses slips and what is left out or left over, with a hint", () => {
  const cases: [args: string[], message: RegExp, hint: RegExp][] = [
    [["serv"], /"serv"/, /"staps serve"/],
    [["--confg", "x"], /"--confg"/, /--config/],
    [["something"], /"something"/, /--help/],
    [[""], /./, /--help/],
    [["--config"], /argument missing/, /^/],
    [["--config", ""], /empty/, /^/],
    [["--socket", ""], /empty/, /^/],
    [["serve", "x"], /too many arguments/, /^/],
  ];
  for (const [args, message, hint] of cases) {
    const error = refusal(...args);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
  }
});

Deno.test("parseCommandLine() shows no path and no password of a URL in the wrong place", () => {
  const lines = [
    ...["URL", "join -n URL", "join --count=URL", "join URL URL"],
    ...["join --bogus=URL", "serve URL", "serve --listen URL", "check URL"],
    "status URL",
  ];
  for (const line of lines) {
    const url = "ws://somebody:password@example.org/secret?a";
    const args = line.replaceAll("URL", url).split(" ");
    assert.throws(
      () => parseCommandLine(args),
      (error) =>
        error instanceof UsageError && /example/.test(error.message) &&
        !/secret|password/.test(error.message + error.hint),
      line,
    );
  }
});

Deno.test("parseCommandLine() throws nothing but UsageError", () => {
  const words =
    "serve --config --socket --listen --help -- - -l -h --listen=127.0.0.1:1 --constructor help";
  const word = fc.oneof(fc.string(), fc.constantFrom(...words.split(" ")));
  fc.assert(fc.property(fc.array(word, { maxLength: 5 }), (args) => {
    try {
      parseCommandLine(args);
    } catch (error) {
      assert.ok(error instanceof UsageError, String(error));
    }
  }));
});
