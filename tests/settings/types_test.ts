/** Text to values, without a file. */
import assert from "node:assert/strict";
import {
  accountName,
  amqpUrl,
  bytes,
  exchangeName,
  hostPorts,
  Invalid,
  octal,
  oneOf,
  origins,
  path,
  type SettingType,
  socketPath,
  wholeNumber,
} from "../../src/settings/types.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";

const MiB = 1024 ** 2;
const longestPath = "/" + "x".repeat(106);
const level = oneOf("error", "warn", "info", "debug");

const nowhere = { home: undefined };

type Readable = Pick<SettingType<unknown>, "read">;

/** Gets why `text` is no value of `type`. */
function refusal(type: Readable, text: string): Invalid {
  const value = type.read(text, nowhere);
  assert.ok(value instanceof Invalid, `Accepted: ${text}`);
  return value;
}

/** Tests what stands for values of `type`, and what is expected instead of what doesn't. */
function testType<T extends NonNullable<unknown>>(
  name: string,
  type: SettingType<T>,
  { reads, refuses, expected }: {
    readonly reads: readonly [value: T, ...texts: string[]][];
    readonly refuses: readonly string[];
    readonly expected: RegExp;
  },
): void {
  Deno.test(name, () => {
    for (const [value, ...texts] of reads) {
      // What is shown can be read, too.
      for (const text of [...texts, type.show(value)]) {
        assert.deepEqual(type.read(text, nowhere), value, text);
      }
    }
    for (const text of refuses) {
      assert.match(refusal(type, text).expected, expected, text);
    }
  });
}

testType("octal reads permission bits, with and without prefix", octal, {
  reads: [
    [0o660, "0660", "660", "0o660", "0O660"],
    [0, "0", "000"],
    [0o077, "0077", "77"],
    [0o777, "777"],
  ],
  refuses: ["09", "8", "0x1f", "-1", "1000", "07770", "rw", "0o", "6 6"],
  expected: /^octal digits/,
});

testType("bytes() reads sizes with their suffix", bytes(1, 1024 * MiB), {
  reads: [
    [65536, "65536", "64K", "64k", "64 K"],
    [8 * MiB, "8M", "8m"],
    [1024 * MiB, "1G"],
  ],
  refuses: ["0", "-1", "1.5M", "1T", "M", "1e6", "2G", "9".repeat(400)],
  expected: /^a number of bytes from 1 to 1G/,
});

testType("wholeNumber() reads numbers within its range", wholeNumber(0, 3600), {
  reads: [[0, "0"], [3600, "3600"]],
  refuses: ["3601", "1.5", "-5", "1e3", "0x10", "ten"],
  expected: /^a whole number from 0 to 3600/,
});

testType("path takes absolute paths", path, {
  reads: [
    ["/a b#c;d", "/a b#c;d"],
    ["/srv/\u{1f600} ä/東", "/srv/\u{1f600} ä/東"],
  ],
  refuses: ["run", "./run", "../run", "~ada/run", "~", "$HOME/x"],
  expected: /begins with "\//,
});

testType("socketPath takes paths that sockets may have", socketPath, {
  reads: [[longestPath, longestPath], ["/a b#c;d", "/a b#c;d"]],
  refuses: [`${longestPath}x`, `/${"\u00e4".repeat(54)}`, "/run/staps/"],
  expected: /^a path of 107 bytes at most|^the path of a file/,
});

testType("accountName takes names of users and groups", accountName, {
  reads: [["www-data", "www-data"]],
  refuses: ["1000", "a b", "a:b", "a".repeat(33)],
  expected: /name/,
});

testType("exchangeName takes names that no broker reserves", exchangeName, {
  reads: [["a.b:c-d_E1", "a.b:c-d_E1"]],
  refuses: ["amq.direct", "a b"],
  expected: /./,
});

testType("oneOf() takes its words only", level, {
  reads: [["warn", "warn"]],
  refuses: ["Warn", "verbose"],
  expected: /^"error", "warn", "info" or "debug"$/,
});

testType("hostPorts takes lists of hosts", hostPorts, {
  reads: [[
    [
      { hostname: "rabbit1", port: undefined },
      { hostname: "rabbit2", port: 1234 },
      { hostname: "2001:db8::1", port: 5672 },
      { hostname: "::1", port: undefined },
    ],
    "rabbit1, rabbit2:1234 [2001:db8::1]:5672,[::1],",
    "rabbit1, rabbit2:1234, [2001:db8::1]:5672, [::1]",
  ]],
  refuses: ["a:0", "a:b", ",", "::1", "a/b", "a:1:2", "[::1]x"],
  expected: /host/,
});

testType("origins takes origins as browsers write them, or all", origins, {
  reads: [
    [["*"], "*"],
    [["https://a.org", "http://h:8080"], "https://a.org, http://h:8080"],
  ],
  refuses: [
    ...["a.org", "https://a.org/", "https://a.org:443", "https://A.org"],
    ...["*, https://a.org", "file://", "null", ","],
  ],
  expected: /origins/,
});

Deno.test("types hint at what was probably meant", () => {
  const hints: readonly [Readable, text: string, hint: RegExp][] = [
    [bytes(1, MiB), "1MB", /"B"/],
    [bytes(1, MiB), "1MiB", /"B"/],
    [wholeNumber(1, 3600), "30s", /unit/],
    [path, "~/staps", /HOME/],
    [path, '"/run"', /quotes/],
  ];
  for (const [type, text, hint] of hints) {
    assert.match(refusal(type, text).hint!, hint, text);
  }
  for (const type of [path, socketPath]) {
    for (const text of ["/x.sock   # comment", "/x ;y", "~/x #", "x # y"]) {
      assert.match(refusal(type, text).hint!, /line of their own/);
    }
  }
  assert.equal(refusal(level, "verbose").got, undefined);
  assert.equal(refusal(socketPath, `${longestPath}x`).got, "one of 108 bytes");
});

Deno.test("path takes ~/ for the home folder", () => {
  const home = "/home/ada/";
  assert.equal(path.read("~/staps", { home }), "/home/ada/staps");
});

Deno.test("path refuses characters that nobody sees, and names them", () => {
  for (const text of "\u200B\u00A0\t\u202E\uFEFF\u3164\u2800\u{E0041}\x7F") {
    const code = text.codePointAt(0)!.toString(16).toUpperCase();
    assert.equal(
      refusal(path, `/run/${text}s`).got,
      `one with the invisible character U+${code.padStart(4, "0")}`,
    );
  }
});

Deno.test("amqpUrl.show() hides the password", () => {
  assert.equal(
    amqpUrl.show(brokerUrl("amqps://st%40ps:hunter2@[::1]/v")),
    "amqps://st%40ps:***@[::1]:5671/v",
  );
});
