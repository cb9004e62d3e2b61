import assert from "node:assert/strict";
import { commandTree, parseCommandLine } from "../../src/commands/cli.ts";
import { UsageError } from "../../src/common/errors.ts";
import { build, version } from "../../src/common/version.ts";
import { parse, refusal, textOf } from "../helpers/command_line.ts";
import { fc } from "../helpers/property.ts";

Deno.test("parseCommandLine() serves where there is no command", () => {
  assert.deepEqual(parse(), { name: "serve", options: {} });
  assert.deepEqual(parse("serve"), { name: "serve", options: {} });
});

Deno.test("parseCommandLine() takes options with and without the command's name", () => {
  const expected = {
    config: "a.conf",
    socket: "./s.sock",
    listen: { hostname: "127.0.0.1", port: 8080 },
  };
  const options = ["--config", "a.conf", "--socket=./s.sock"];
  const listen = ["--listen", "127.0.0.1:8080"];
  for (
    const args of [
      [...options, ...listen],
      ["serve", ...options, ...listen],
      ["serve", ...listen, ...options],
      ["-c", "a.conf", "-s", "./s.sock", "-l", "127.0.0.1:8080"],
    ]
  ) {
    assert.deepEqual(
      parse(...args),
      { name: "serve", options: expected },
      args.join(" "),
    );
  }
});

Deno.test("parseCommandLine() names the argument as its options", () => {
  assert.deepEqual(parse("join", "/x", "-b", "-n", "7", "-s", "s", "-r"), {
    name: "join",
    options: {
      url: "/x",
      binary: true,
      count: 7,
      socket: "s",
      reconnect: true,
    },
  });
  assert.deepEqual(parse("url"), {
    name: "url",
    options: { base: "ws://localhost/" },
  });
  assert.deepEqual(parse("completion", "fish").options, { shell: "fish" });
  assert.deepEqual(parse("status", "-w", "-c", "c", "-s", "s").options, {
    instance: undefined,
    watch: true,
    config: "c",
    socket: "s",
  });
  assert.deepEqual(parse("status", "staps@1").options, { instance: "staps@1" });
  assert.deepEqual(parse("check", "-j", "-u", "a", "-f", "b").options, {
    instance: undefined,
    json: true,
    user: "a",
    frontend: "b",
  });
});

Deno.test("parseCommandLine() gives the help as text", () => {
  for (const args of [["--help"], ["-h"], ["serve", "--help"]]) {
    const text = textOf(...args);
    for (const option of ["--config", "--socket", "--listen", "--help"]) {
      assert.match(text, new RegExp(`${option}\\b`), args.join(" "));
    }
    for (const line of text.split("\n")) {
      assert.ok(line.length <= 80, `Longer than a terminal: ${line}`);
    }
  }
});

Deno.test("parseCommandLine() gives a command's help after the word help, too", () => {
  assert.equal(textOf("help"), textOf("--help"));
  for (const { name } of commandTree()) {
    assert.equal(textOf("help", name), textOf(name, "--help"), name);
  }
  assert.match(refusal("help", "jion").hint!, /"staps join"/);
});

Deno.test("parseCommandLine() takes --license for the command", () => {
  assert.deepEqual(parse("--license"), parse("license"));
});

Deno.test("parseCommandLine() gives the version as text", () => {
  const text = `staps ${version} (${build()})\n`;
  assert.equal(textOf("--version"), text);
  assert.equal(textOf("-V"), text);
  assert.equal(textOf("-v"), text);
  assert.equal(textOf("version"), text);
});

Deno.test("commandTree() has the commands in the order of the help, and their options", () => {
  const tree = commandTree();
  assert.deepEqual(
    tree.map(({ name }) => name),
    [
      ...["serve", "check", "status", "url", "join", "publish", "completion"],
      "license",
    ],
  );
  const { options } = tree[1]!;
  assert.deepEqual(
    options.map(({ short, long, value }) => [short, long, value]),
    [
      ["-c", "--config", "file"],
      ["-j", "--json", undefined],
      ["-u", "--user", "user"],
      ["-f", "--frontend", "user"],
      ["-t", "--through", "other"],
      [undefined, "--ca", "file"],
      ["-h", "--help", undefined],
    ],
  );
  assert.deepEqual(tree[6]!.choices, ["bash", "zsh", "fish"]);
});

Deno.test("parseCommandLine() helps with slips", () => {
  assert.match(refusal("serv").hint!, /"staps serve"/);
  assert.match(refusal("--confg", "x").hint!, /--config/);
  assert.match(refusal("--confg", "x").message, /"--confg"/);
  assert.match(refusal("something").hint!, /--help/);
});

Deno.test("parseCommandLine() refuses what is left out or left over", () => {
  assert.match(refusal("--config").message, /argument missing/);
  assert.match(refusal("--config", "").message, /empty/);
  assert.match(refusal("--socket", "").message, /empty/);
  assert.match(refusal("serve", "x").message, /too many arguments/);
  refusal("");
});

Deno.test("parseCommandLine() shows no path and no password of a URL in the wrong place", () => {
  const url = "ws://somebody:password@example.org/secret?a";
  for (
    const args of [
      [url],
      ["join", "-n", url],
      ["join", `--count=${url}`],
      ["join", url, url],
      ["join", `--bogus=${url}`],
      ["serve", url],
      ["serve", "--listen", url],
      ["check", url],
      ["status", url],
    ]
  ) {
    assert.throws(
      () => parseCommandLine(args),
      (error) =>
        error instanceof UsageError &&
        /example/.test(error.message) &&
        !/secret|password/.test(error.message + error.hint),
    );
  }
});

Deno.test("parseCommandLine() throws nothing but UsageError", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "serve",
      "--config",
      "--socket",
      "--listen",
      "--help",
      "--",
      "-",
      "-l",
      "-h",
      "--listen=127.0.0.1:1",
      "--constructor",
      "help",
    ),
  );
  fc.assert(fc.property(fc.array(word, { maxLength: 5 }), (args) => {
    try {
      parseCommandLine(args);
    } catch (error) {
      assert.ok(error instanceof UsageError, String(error));
    }
  }));
});
