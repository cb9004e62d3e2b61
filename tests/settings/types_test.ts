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
import { brokerUrl } from "../helpers/broker_url.ts";

const MiB = 1024 ** 2;

/** Gets the value that `text` is, for somebody without a home folder. */
function read<T>(type: SettingType<T>, text: string): T | Invalid {
  return type.read(text, { home: undefined });
}

/** Gets why `text` is no value of `type`. */
function refusal<T>(type: SettingType<T>, text: string): Invalid {
  const value = read(type, text);
  assert.ok(value instanceof Invalid, `Accepted: ${text}`);
  return value;
}

Deno.test("octal reads permission bits, with and without prefix", () => {
  for (
    const [text, bits] of [
      ["0660", 0o660],
      ["660", 0o660],
      ["0o660", 0o660],
      ["0O660", 0o660],
      ["0", 0],
      ["000", 0],
      ["0077", 0o077],
      ["77", 0o077],
      ["777", 0o777],
    ] as const
  ) {
    assert.equal(read(octal, text), bits, text);
  }
  for (
    const text of ["09", "8", "0x1f", "-1", "1000", "07770", "rw", "0o", "6 6"]
  ) {
    assert.match(refusal(octal, text).expected, /^octal digits/);
  }
});

Deno.test("bytes() reads sizes with their suffix", () => {
  const type = bytes(1, 64 * MiB);
  for (
    const [text, size] of [
      ["65536", 65536],
      ["64K", 65536],
      ["64k", 65536],
      ["64 K", 65536],
      ["1M", MiB],
      ["8m", 8 * MiB],
    ] as const
  ) {
    assert.equal(read(type, text), size, text);
  }
  assert.equal(read(bytes(1, 1024 ** 3), "1G"), 1024 ** 3);
  for (
    const text of [
      "0",
      "-1",
      "1.5M",
      "1T",
      "M",
      "1e6",
      "65M",
      "9".repeat(400),
    ]
  ) {
    assert.match(
      refusal(type, text).expected,
      /^a number of bytes from 1 to 64M/,
      text,
    );
  }
  assert.match(refusal(type, "1MB").hint!, /"B"/);
  assert.match(refusal(type, "1MiB").hint!, /"B"/);
});

Deno.test("wholeNumber() reads numbers within its range", () => {
  const type = wholeNumber(1, 3600);
  assert.equal(read(type, "1"), 1);
  assert.equal(read(type, "3600"), 3600);
  assert.equal(read(wholeNumber(0, 3600), "0"), 0);
  for (const text of ["0", "3601", "1.5", "-5", "1e3", "0x10", "ten"]) {
    assert.match(
      refusal(type, text).expected,
      /^a whole number from 1 to 3600/,
      text,
    );
  }
  assert.match(refusal(type, "30s").hint!, /unit/);
});

Deno.test("path takes absolute paths and ~/", () => {
  assert.equal(
    path.read("~/staps", { home: "/home/ada/" }),
    "/home/ada/staps",
  );
  assert.equal(read(path, "/a b#c"), "/a b#c");
  assert.match(refusal(path, "~/staps").hint!, /HOME/);
  for (const text of ["run", "./run", "../run", "~ada/run", "~", "$HOME/x"]) {
    assert.match(refusal(path, text).expected, /begins with "\//);
  }
  assert.match(refusal(path, '"/run"').hint!, /quotes/);
});

Deno.test("path and socketPath refuse a comment behind the path", () => {
  for (const type of [path, socketPath]) {
    for (const text of ["/x.sock   # comment", "/x ;y", "~/x #", "x # y"]) {
      assert.match(refusal(type, text).hint!, /line of their own/);
    }
    assert.equal(read(type, "/a b#c;d"), "/a b#c;d");
  }
});

Deno.test("path refuses characters that nobody sees, and names them", () => {
  for (
    const [character, name] of [
      ["\u200b", "U+200B"],
      ["\u00a0", "U+00A0"],
      ["\t", "U+0009"],
      ["\u202e", "U+202E"],
      ["\ufeff", "U+FEFF"],
      ["\u3164", "U+3164"],
      ["\u2800", "U+2800"],
      ["\u{e0041}", "U+E0041"],
      ["\x7f", "U+007F"],
    ] as const
  ) {
    const { got } = refusal(path, `/run/${character}s`);
    assert.equal(got, `one with the invisible character ${name}`);
  }
  assert.equal(read(path, "/srv/\u{1f600} ä/東"), "/srv/\u{1f600} ä/東");
});

Deno.test("socketPath refuses a path that is too long for a socket", () => {
  const longest = "/" + "x".repeat(106);
  assert.equal(read(socketPath, longest), longest);
  const { got, expected } = refusal(socketPath, `${longest}x`);
  assert.equal(got, "one of 108 bytes");
  assert.match(expected, /^a path of 107 bytes at most/);
  refusal(socketPath, `/${"\u00e4".repeat(54)}`);
  refusal(socketPath, "/run/staps/");
});

Deno.test("accountName takes names of users and groups", () => {
  assert.equal(read(accountName, "www-data"), "www-data");
  for (const text of ["1000", "a b", "a:b", "a".repeat(33)]) {
    refusal(accountName, text);
  }
});

Deno.test("exchangeName takes names that a broker doesn't reserve", () => {
  assert.equal(read(exchangeName, "a.b:c-d_E1"), "a.b:c-d_E1");
  for (const text of ["amq.direct", "a b"]) refusal(exchangeName, text);
});

Deno.test("oneOf() takes its words only", () => {
  const type = oneOf("error", "warn", "info", "debug");
  assert.equal(read(type, "warn"), "warn");
  refusal(type, "Warn");
  const { got, expected } = refusal(type, "verbose");
  assert.equal(got, undefined);
  assert.equal(expected, '"error", "warn", "info" or "debug"');
});

Deno.test("hostPorts takes lists of hosts", () => {
  assert.deepEqual(
    read(hostPorts, "rabbit1, rabbit2:1234 [2001:db8::1]:5672,[::1],"),
    [
      { hostname: "rabbit1", port: undefined },
      { hostname: "rabbit2", port: 1234 },
      { hostname: "2001:db8::1", port: 5672 },
      { hostname: "::1", port: undefined },
    ],
  );
  for (const text of ["a:0", "a:b", ",", "::1", "a/b", "a:1:2", "[::1]x"]) {
    assert.match(refusal(hostPorts, text).expected, /host/, text);
  }
});

Deno.test("origins takes origins as browsers write them, or all", () => {
  assert.deepEqual(read(origins, "*"), ["*"]);
  const text = "https://example.org, http://localhost:8080";
  const found = read(origins, text);
  assert.ok(!(found instanceof Invalid));
  assert.equal(origins.show(found), text);
  for (
    const bad of [
      "example.org",
      "https://example.org/",
      "https://example.org:443",
      "https://EXAMPLE.org",
      "*, https://example.org",
      "file://",
      "null",
      ",",
    ]
  ) assert.match(refusal(origins, bad).expected, /origins/, bad);
});

Deno.test("amqpUrl.show() hides the password", () => {
  assert.equal(
    amqpUrl.show(brokerUrl("amqps://st%40ps:hunter2@[::1]/v")),
    "amqps://st%40ps:***@[::1]:5671/v",
  );
});

Deno.test("hostPorts.show() writes what read() reads", () => {
  const text = "rabbit1, rabbit2:1234, [2001:db8::1]:5672, [::1]";
  const hosts = read(hostPorts, text);
  assert.ok(!(hosts instanceof Invalid));
  assert.equal(hostPorts.show(hosts), text);
});
