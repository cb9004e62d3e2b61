import assert from "node:assert/strict";
import { type Command, parseCommandLine } from "../../src/commands/cli.ts";
import { UsageError } from "../../src/common/errors.ts";
import { fc } from "../helpers/property.ts";

/** Gets the usage error that `args` cause. */
function refusal(...args: string[]): UsageError {
  try {
    parseCommandLine(args);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.exitCode, 2);
    assert.doesNotMatch(error.message, /\.$|^error/);
    return error;
  }
  throw new assert.AssertionError({ message: `${args} was accepted` });
}

Deno.test("parseCommandLine() serves where there is no command", () => {
  assert.deepEqual(parseCommandLine([]), { kind: "serve" });
  assert.deepEqual(parseCommandLine(["serve"]), { kind: "serve" });
});

Deno.test("parseCommandLine() takes options with and without the command's name", () => {
  const expected: Command = {
    kind: "serve",
    configFile: "a.conf",
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
    assert.deepEqual(parseCommandLine(args), expected, args.join(" "));
  }
});

Deno.test("parseCommandLine() gives the help as text", () => {
  for (const args of [["--help"], ["-h"], ["serve", "--help"]]) {
    const command = parseCommandLine(args);
    assert.equal(command.kind, "help");
    if (command.kind !== "help") return;
    for (const option of ["--config", "--socket", "--listen", "--help"]) {
      assert.match(command.text, new RegExp(`${option}\\b`), args.join(" "));
    }
    for (const line of command.text.split("\n")) {
      assert.ok(line.length <= 80, `Longer than a terminal: ${line}`);
    }
  }
});

Deno.test("parseCommandLine() knows --version", () => {
  assert.deepEqual(parseCommandLine(["--version"]), { kind: "version" });
  assert.deepEqual(parseCommandLine(["-V"]), { kind: "version" });
});

Deno.test("parseCommandLine() listens on any loopback address", () => {
  for (
    const [text, hostname, port] of [
      ["127.0.0.1:0", "127.0.0.1", 0],
      ["127.255.0.9:65535", "127.255.0.9", 65535],
      ["[::1]:80", "::1", 80],
      ["localhost:1", "127.0.0.1", 1],
      ["LOCALHOST:1", "127.0.0.1", 1],
    ] as const
  ) {
    assert.deepEqual(parseCommandLine(["--listen", text]), {
      kind: "serve",
      listen: { hostname, port },
    });
  }
});

Deno.test("parseCommandLine() refuses to listen for other machines, and says why", () => {
  for (
    const address of [
      "0.0.0.0:80",
      "[::]:80",
      "192.168.0.1:80",
      "10.127.0.1:80",
      "128.0.0.1:80",
      "127.0.0.256:80",
      "127.1:80",
      "example.org:80",
      "localhost.example.org:80",
      "[::ffff:127.0.0.1]:80",
      ":80",
    ]
  ) {
    const error = refusal("--listen", address);
    assert.match(error.message, /expected a loopback address/, address);
    assert.match(error.hint!, /no authentication, no TLS.* frontend/);
  }
});

Deno.test("parseCommandLine() refuses what is no address with a port", () => {
  for (
    const address of [
      "",
      "8080",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:x",
      "127.0.0.1:65536",
      "127.0.0.1:-1",
      "::1:80",
      "127.0.0.1:80/",
    ]
  ) {
    assert.match(
      refusal("--listen", address).message,
      /expected an address and a port/,
      address,
    );
  }
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
