import assert from "node:assert/strict";
import {
  compareConfigs,
  type Config,
  configFiles,
  ConfigProblemsError,
  loadConfig,
  maxConfigFileBytes,
  parseConfig,
  readConfig,
  valueOf,
} from "../../src/settings/config.ts";
import { ConfigError, UsageError } from "../../src/common/errors.ts";
import { allSettings, type PlacedSetting } from "../../src/settings/table.ts";
import { fc, iniText } from "../helpers/property.ts";

/** Gets the error that a file with this text causes. */
function refusal(text: string): ConfigProblemsError {
  try {
    parseConfig(text, "staps.conf");
  } catch (error) {
    assert.ok(error instanceof ConfigProblemsError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: `Accepted: ${text}` });
}

/** Gets the value that `[section] key = text` has. */
function valueIn(section: string, key: string, text: string): unknown {
  const { config } = parseConfig(`[${section}]\n${key} = ${text}\n`, "x");
  return valueOf(config, { section, key });
}

/** A folder that is gone afterwards. */
async function temporaryFolder(): Promise<
  { path: string } & AsyncDisposable
> {
  const path = await Deno.makeTempDir({ prefix: "staps-config-" });
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

Deno.test("parseConfig() reads the format of the first description", () => {
  // To the letter, blanks before the lines included.
  const text = `    [staps]
    socket = /run/staps/staps.sock
    mode = 0660
    amqp = amqp://staps:@localhost/

    [daemon]
    user = staps
    group = staps
    dir = /var/lib/staps/
    pid_file = /var/run/staps/staps.pid
    umask = 0
`;
  const { config } = parseConfig(text, "staps.conf");
  assert.deepEqual(config.staps, {
    socket: "/run/staps/staps.sock",
    mode: 0o660,
    amqp: {
      tls: false,
      user: "staps",
      password: "",
      hostname: "localhost",
      port: 5672,
      vhost: "/",
    },
  });
  assert.deepEqual(config.daemon, {
    user: "staps",
    group: "staps",
    dir: "/var/lib/staps/",
    pidFile: "/var/run/staps/staps.pid",
    umask: 0,
  });
});

Deno.test("parseConfig() has defaults for everything", () => {
  const expected: Config = {
    staps: { socket: "/run/staps/staps.sock", mode: 0o660, amqp: undefined },
    daemon: {
      user: undefined,
      group: undefined,
      dir: undefined,
      pidFile: undefined,
      umask: undefined,
    },
    limits: {
      messageBytes: 1_048_576,
      clientBufferBytes: 8_388_608,
      clients: 10_000,
      channelClients: 10_000,
      channels: 10_000,
      messagesPerSecond: 0,
      idleTimeoutS: 30,
      shutdownTimeoutS: 5,
      shutdownSpreadMs: 10_000,
      retryAfterS: 5,
    },
    bridge: {
      exchange: "staps",
      hosts: [],
      ca: undefined,
      onOutage: "local",
      onGap: "close",
      outboxBytes: 67_108_864,
      queueBytes: 67_108_864,
      queueExpiresS: 60,
      heartbeatS: 5,
      joinTimeoutS: 5,
    },
    admin: { socket: undefined, mode: 0o660 },
    log: { level: "info", format: "auto" },
  };
  for (const text of ["", "\n", "# only a comment", "[staps]", "\uFEFF"]) {
    assert.deepEqual(parseConfig(text, "x").config, expected);
  }
});

Deno.test("settings have defaults that can be written and read", () => {
  for (const setting of allSettings) {
    if (setting.default === undefined) continue;
    const text = setting.type.show(setting.default as NonNullable<unknown>);
    assert.deepEqual(
      valueIn(setting.section, setting.key, text),
      setting.default,
      setting.key,
    );
  }
});

Deno.test("parseConfig() reads permission bits as octal, with and without prefix", () => {
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
    assert.equal(valueIn("daemon", "umask", text), bits, text);
  }
  for (
    const text of ["09", "8", "0x1f", "-1", "1000", "07770", "rw", "0o", "6 6"]
  ) {
    assert.match(
      refusal(`[daemon]\numask = ${text}`).message,
      /expected octal digits/,
    );
  }
});

Deno.test("parseConfig() says exactly what is wrong with a value", () => {
  assert.equal(
    refusal("#\n[daemon]\n\numask = 09\n").message,
    'Cannot read "umask" in staps.conf line 4: got "09", expected octal digits',
  );
});

Deno.test("parseConfig() reads sizes with their suffix", () => {
  for (
    const [text, bytes] of [
      ["65536", 65536],
      ["64K", 65536],
      ["64k", 65536],
      ["64 K", 65536],
      ["1M", 1024 ** 2],
      ["8m", 8 * 1024 ** 2],
    ] as const
  ) {
    assert.equal(valueIn("limits", "client_buffer_bytes", "1G"), 1024 ** 3);
    assert.equal(valueIn("limits", "message_bytes", text), bytes, text);
  }
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
      refusal(`[limits]\nmessage_bytes = ${text}`).message,
      /expected a number of bytes from 1 to 64M/,
      text,
    );
  }
  assert.match(refusal("[limits]\nmessage_bytes = 1MB").hint!, /"B"/);
  assert.match(refusal("[limits]\nmessage_bytes = 1MiB").hint!, /"B"/);
});

Deno.test("parseConfig() reads whole numbers within their range", () => {
  assert.equal(valueIn("limits", "idle_timeout_s", "1"), 1);
  assert.equal(valueIn("limits", "idle_timeout_s", "3600"), 3600);
  assert.equal(valueIn("limits", "messages_per_second", "0"), 0);
  for (const text of ["0", "3601", "1.5", "-5", "1e3", "0x10", "ten"]) {
    assert.match(
      refusal(`[limits]\nidle_timeout_s = ${text}`).message,
      /expected a whole number from 1 to 3600/,
      text,
    );
  }
  assert.match(refusal("[limits]\nidle_timeout_s = 30s").hint!, /unit/);
});

Deno.test("parseConfig() takes absolute paths and ~/", () => {
  const environment = { HOME: "/home/ada/" };
  const { config } = parseConfig("[daemon]\ndir = ~/staps\n", "x", {
    environment,
  });
  assert.equal(config.daemon.dir, "/home/ada/staps");
  assert.equal(valueIn("daemon", "dir", "/a b#c"), "/a b#c");
  assert.match(refusal("[daemon]\ndir = ~/staps").hint!, /HOME/);
  for (const text of ["run", "./run", "../run", "~ada/run", "~", "$HOME/x"]) {
    assert.match(refusal(`[daemon]\ndir = ${text}`).message, /begins with "\//);
  }
  assert.match(refusal('[daemon]\ndir = "/run"').hint!, /quotes/);
});

Deno.test("parseConfig() refuses a path that is too long for a socket", () => {
  const longest = "/" + "x".repeat(106);
  assert.equal(valueIn("staps", "socket", longest), longest);
  assert.match(
    refusal(`[staps]\nsocket = ${longest}x`).message,
    /got one of 108 bytes, expected a path of 107 bytes at most/,
  );
  refusal(`[staps]\nsocket = /${"\u00e4".repeat(54)}`);
  refusal("[staps]\nsocket = /run/staps/");
});

Deno.test("parseConfig() takes names of users, exchanges and choices", () => {
  assert.equal(valueIn("daemon", "user", "www-data"), "www-data");
  assert.equal(valueIn("bridge", "exchange", "a.b:c-d_E1"), "a.b:c-d_E1");
  assert.equal(valueIn("bridge", "on_gap", "continue"), "continue");
  for (
    const text of [
      "[daemon]\nuser = 1000",
      "[daemon]\nuser = a b",
      "[daemon]\ngroup = a:b",
      `[daemon]\ngroup = ${"a".repeat(33)}`,
      "[bridge]\nexchange = amq.direct",
      "[bridge]\nexchange = a b",
      "[bridge]\non_outage = Local",
      "[log]\nlevel = verbose",
    ]
  ) refusal(text);
  assert.match(
    refusal("[log]\nlevel = verbose").message,
    /got "verbose", expected "error", "warn", "info" or "debug"$/,
  );
});

Deno.test("parseConfig() takes lists of hosts", () => {
  const { config } = parseConfig(
    "[staps]\namqp = amqp://a:b@c/\n[bridge]\n" +
      "hosts = rabbit1, rabbit2:1234 [2001:db8::1]:5672,[::1],",
    "x",
  );
  assert.deepEqual(config.bridge.hosts, [
    { hostname: "rabbit1", port: undefined },
    { hostname: "rabbit2", port: 1234 },
    { hostname: "2001:db8::1", port: 5672 },
    { hostname: "::1", port: undefined },
  ]);
  for (const text of ["a:0", "a:b", ",", "::1", "a/b", "a:1:2", "[::1]x"]) {
    assert.match(refusal(`[bridge]\nhosts = ${text}`).message, /hosts|host/);
  }
});

Deno.test("parseConfig() lets # and ; survive in a password", () => {
  const text = "[staps]\namqp = amqp://staps:a#b;c@localhost/";
  assert.equal(parseConfig(text, "x").config.staps.amqp!.password, "a#b;c");
});

Deno.test("parseConfig() takes an empty value for the default", () => {
  const text = allSettings.map(({ section, key }) => ({ section, key }))
    .reduce((text, { section, key }) => {
      const header = text.includes(`[${section}]`) ? "" : `[${section}]\n`;
      return `${text}${header}${key} =\n`;
    }, "");
  assert.deepEqual(
    parseConfig(text, "x").config,
    parseConfig("", "x").config,
  );
});

Deno.test("parseConfig() names unknown sections and keys, with what was probably meant", () => {
  const cases = {
    "[stasp]": ["an unknown section", '"[staps]"'],
    "[limits]\nclientz = 1": ["an unknown key", '"clients"'],
    "[limits]\nidle-timeout-s = 1": ["an unknown key", '"idle_timeout_s"'],
    "[staps]\nSocket = /x": ["an unknown key", '"socket"'],
    "[staps]\nclients = 1": ["an unknown key", 'belongs to "[limits]"'],
    "mode = 0660": ["a key above the first section", 'belongs to "[staps]"'],
  };
  for (const [text, [got, hint]] of Object.entries(cases)) {
    const { problems, hint: found } = refusal(text);
    assert.equal(problems.length, 1, text);
    assert.equal(problems[0]!.got, got);
    assert.ok(found!.includes(hint!), `${text}: ${found}`);
  }
  for (const text of ["[x]\na = 1\nb = 2", "[staps]\nconstructor = 1"]) {
    const { problems } = refusal(text);
    assert.deepEqual(problems.map(({ hint }) => hint), [undefined], text);
  }
  assert.match(refusal("[]").message, /a section that can't be right/);
  for (const name of ["__proto__", "constructor", "toString"]) {
    assert.equal(refusal(`[${name}]\nx = 1`).problems.length, 1, name);
  }
});

Deno.test("parseConfig() refuses what stands twice", () => {
  assert.equal(
    refusal("[staps]\nmode = 0660\nmode = 0666").message,
    'Cannot read "mode" in staps.conf line 3: got it again after line 2, expected each key once',
  );
  assert.match(
    refusal("[staps]\n[log]\n[staps]\nmode = 0666").message,
    /^Cannot read section "staps" in staps.conf line 3: got it again after line 1/,
  );
});

Deno.test("parseConfig() lists every problem by line, and each hint with its place", () => {
  const error = refusal(
    "[staps]\nmode = 09\nword\nsokcet = /x\n[limits]\nclients = 5s\n" +
      "message_bytes = 16M\n[limts]\n",
  );
  assert.ok(error instanceof ConfigError);
  assert.equal(error.exitCode, 78);
  assert.deepEqual(error.problems.map(({ line }) => line), [2, 3, 4, 6, 7, 8]);
  assert.equal(error.message.split("\n").length, 6);
  assert.deepEqual(error.hint!.split("\n"), [
    'staps.conf line 4: Did you mean "socket"?',
    "staps.conf line 6: Leave the unit out",
    'staps.conf line 8: Did you mean "[limits]"?',
  ]);
});

Deno.test("parseConfig() checks settings against each other", () => {
  const cases = {
    "[limits]\nclient_buffer_bytes = 1M\nmessage_bytes = 2M":
      /"client_buffer_bytes" in staps.conf line 2: got client_buffer_bytes 1048576, expected at least message_bytes, 2097152/,
    "[limits]\nmessage_bytes = 9M": /"message_bytes" in staps.conf line 2: got/,
    "[bridge]\noutbox_bytes = 64K": /"outbox_bytes" in staps.conf line 2/,
    "[bridge]\nqueue_bytes = 64K": /"queue_bytes" in staps.conf line 2/,
    "[admin]\nsocket = /run/staps/staps.sock": /"socket".* other socket/,
    "[bridge]\nhosts = a": /"hosts".*expected "amqp" in \[staps\] too/,
    "[bridge]\nca = /x": /"ca".*expected.*"amqps:\/\/"/,
    "[staps]\namqp = amqp://a\n[bridge]\nca = /x": /"ca" in staps.conf line 4/,
  };
  for (const [text, message] of Object.entries(cases)) {
    const error = refusal(text);
    assert.equal(error.problems.length, 1, error.message);
    assert.match(error.message, message);
  }
  parseConfig(
    "[limits]\nclient_buffer_bytes = 1M\nmessage_bytes = 1M\n[staps]\namqp = amqps://a\n[bridge]\nca=/x",
    "x",
  );
});

Deno.test("parseConfig() reports no conflict with a setting that has its own problem", () => {
  for (
    const text of [
      "[limits]\nmessage_bytes = 9M\nclient_buffer_bytes = 16MB",
      "[staps]\namqp = amqps:/x\n[bridge]\nca = /x\nhosts = a",
    ]
  ) assert.equal(refusal(text).problems.length, 1, text);
});

Deno.test("parseConfig() throws nothing but ConfigError, whatever the text", () => {
  fc.assert(fc.property(iniText(), (text) => {
    try {
      parseConfig(text, "x");
    } catch (error) {
      assert.ok(error instanceof ConfigProblemsError, String(error));
      assert.equal(
        error.message.split("\n").length,
        error.problems.length,
        "One line for each problem",
      );
    }
  }));
});

Deno.test("parseConfig() gives back what was written", () => {
  // Values that don't get in each other's way.
  const values: Record<string, fc.Arbitrary<unknown>> = {
    "staps.socket": fc.stringMatching(/^\/[a-z#;=]{1,20}$/),
    "staps.mode": fc.integer({ min: 0, max: 0o777 }),
    "daemon.user": fc.stringMatching(/^[a-z_][a-z0-9_-]{0,31}$/),
    "daemon.umask": fc.integer({ min: 0, max: 0o777 }),
    "limits.message_bytes": fc.integer({ min: 1, max: 8 * 1024 ** 2 }),
    "limits.clients": fc.integer({ min: 1, max: 1_000_000 }),
    "limits.idle_timeout_s": fc.integer({ min: 1, max: 3600 }),
    "bridge.queue_bytes": fc.integer({ min: 8, max: 65536 })
      .map((number) => number * 1024 ** 2),
    "bridge.on_gap": fc.constantFrom("close", "continue"),
    "log.level": fc.constantFrom("error", "warn", "info", "debug"),
  };
  const written = fc.record(values, { requiredKeys: [] });
  fc.assert(fc.property(written, (written) => {
    const settings = allSettings.filter(({ section, key }) =>
      `${section}.${key}` in written
    );
    const line = ({ section, key, type }: PlacedSetting): string =>
      `${key} = ${
        type.show(written[`${section}.${key}`] as NonNullable<unknown>)
      }\n`;
    const text = [...Map.groupBy(settings, ({ section }) => section)]
      .map(([section, settings]) =>
        `[${section}]\n${settings.map(line).join("")}`
      ).join("");
    const { config, origins } = parseConfig(text, "x");
    for (const setting of allSettings) {
      const name = `${setting.section}.${setting.key}`;
      assert.deepEqual(
        valueOf(config, setting),
        name in written ? written[name] : setting.default,
      );
      assert.equal(origins.has(name), name in written);
    }
  }));
});

Deno.test("parseConfig() never shows a password, wherever it stands", () => {
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
        parseConfig(line(`${beginning}${password}${end}`), "staps.conf");
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

Deno.test("loadConfig() has defaults where no file exists", () => {
  const { config, sources } = loadConfig({ systemFile: "/nowhere/staps.conf" });
  assert.deepEqual(sources, []);
  assert.deepEqual(config, parseConfig("", "x").config);
});

Deno.test("loadConfig() takes the default socket from XDG_RUNTIME_DIR", () => {
  const socket = (environment: Record<string, string>): string =>
    parseConfig("", "x", { environment }).config.staps.socket;
  assert.equal(
    socket({ XDG_RUNTIME_DIR: "/run/user/7" }),
    "/run/user/7/staps.sock",
  );
  // The XDG base directory specification: paths that aren't absolute are invalid.
  for (const folder of ["", "run/user/7"]) {
    assert.equal(socket({ XDG_RUNTIME_DIR: folder }), "/run/staps/staps.sock");
  }
  const environment = { XDG_RUNTIME_DIR: "/run/user/7" };
  const { config } = parseConfig("[staps]\nsocket = /s", "x", { environment });
  assert.equal(config.staps.socket, "/s");
});

Deno.test("loadConfig() lets the keys of the later file win", async () => {
  await using folder = await temporaryFolder();
  const systemFile = `${folder.path}/system.conf`;
  const homeFile = `${folder.path}/.staps.conf`;
  const environment = { HOME: folder.path };
  await Deno.writeTextFile(
    systemFile,
    "[staps]\namqp = amqp://a\nmode = 0600\n[limits]\nclients = 1\n",
  );
  assert.deepEqual(loadConfig({ systemFile, environment }).sources, [
    systemFile,
  ]);
  await Deno.writeTextFile(
    homeFile,
    "[staps]\namqp =\n[limits]\nclients = 2\n",
  );
  const { config, sources, origins } = loadConfig({ systemFile, environment });
  assert.deepEqual(sources, [systemFile, homeFile]);
  assert.equal(config.staps.mode, 0o600);
  assert.equal(config.staps.amqp, undefined);
  assert.equal(config.limits.clients, 2);
  assert.deepEqual(
    [...origins],
    [
      ["staps.mode", { file: systemFile, line: 3 }],
      ["limits.clients", { file: homeFile, line: 4 }],
    ],
  );
});

Deno.test("loadConfig() reads the file on the command line alone", async () => {
  await using folder = await temporaryFolder();
  const systemFile = `${folder.path}/system.conf`;
  const configFile = `${folder.path}/mine.conf`;
  await Deno.writeTextFile(systemFile, "[limits]\nclients = 1\nbroken");
  await Deno.writeTextFile(configFile, "[limits]\nchannels = 2\n");
  const { config, sources } = loadConfig({ systemFile, configFile });
  assert.deepEqual(sources, [configFile]);
  assert.equal(config.limits.clients, 10_000);
  assert.equal(config.limits.channels, 2);
});

Deno.test("loadConfig() reads a pipe", async () => {
  await using folder = await temporaryFolder();
  const configFile = `${folder.path}/pipe`;
  await new Deno.Command("mkfifo", { args: [configFile] }).output();
  const writer = new Deno.Command("sh", {
    args: ["-c", 'printf "[limits]\\n" > "$0"', configFile],
  }).spawn();
  assert.deepEqual(loadConfig({ configFile }).sources, [configFile]);
  await writer.status;
});

Deno.test("loadConfig() refuses files it can't read, each with its reason", async () => {
  await using folder = await temporaryFolder();
  const write = async (
    name: string,
    content: Uint8Array | string,
  ): Promise<string> => {
    const file = `${folder.path}/${name}`;
    await Deno.writeFile(
      file,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    return file;
  };
  const cases: [string, RegExp][] = [
    [`${folder.path}/none`, /got no such file, expected a file$/],
    [`${folder.path}/none/none`, /got no such file/],
    [folder.path, /got a folder, expected a file$/],
    [
      await write("latin1", new Uint8Array([0x23, 0x0a, 0x0a, 0x23, 0xe4])),
      /latin1 line 3: got bytes that are no UTF-8/,
    ],
    [
      await write("nul", "[staps]\nmode = 0660\0\n"),
      /nul line 2: got the control character U\+0000/,
    ],
    [
      await write("utf16", new Uint8Array([0xff, 0xfe, 0x5b, 0])),
      /utf16 line 1: got bytes that are no UTF-8/,
    ],
    [
      await write("huge", "#".repeat(maxConfigFileBytes + 1)),
      /got more than 1 MiB/,
    ],
    ["/dev/zero", /got more than 1 MiB/],
  ];
  for (const [configFile, message] of cases) {
    assert.throws(
      () => loadConfig({ configFile }),
      (error) => error instanceof ConfigError && message.test(error.message),
      configFile,
    );
  }
  const configFile = await write("full", "#".repeat(maxConfigFileBytes));
  assert.deepEqual(loadConfig({ configFile }).sources, [configFile]);
});

Deno.test("loadConfig() says so when it may not read a file, at the usual places too", async () => {
  await using folder = await temporaryFolder();
  await Deno.chmod(folder.path, 0o755);
  const systemFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(systemFile, "[staps]\n", { mode: 0o600 });
  // Rights bind everybody but root: become nobody, where that is possible.
  const script = `
    import { readConfig } from ${
    JSON.stringify(
      new URL("../../src/settings/config.ts", import.meta.url).href,
    )
  };
    import process from "node:process";
    // Loads what is needed while it can be read.
    readConfig({});
    if (process.getuid() === 0) process.setuid(65534);
    else Deno.chmodSync(${JSON.stringify(systemFile)}, 0);
    const { problems } = readConfig({ systemFile: ${
    JSON.stringify(systemFile)
  } });
    console.log(JSON.stringify(problems));`;
  const file = `${folder.path}/read.ts`;
  await Deno.writeTextFile(file, script);
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      `--config=${new URL("../../deno.json", import.meta.url).pathname}`,
      file,
    ],
  }).output();
  const output = new TextDecoder().decode(stdout);
  assert.notEqual(output, "", new TextDecoder().decode(stderr));
  const [problem, ...others] = JSON.parse(output);
  assert.deepEqual(others, []);
  assert.equal(problem.file, systemFile);
  assert.equal(problem.got, "no permission");
  assert.match(problem.hint, /permissions/);
});

Deno.test("loadConfig() lets --socket win, and checks it", async () => {
  await using folder = await temporaryFolder();
  const configFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(configFile, "[staps]\nsocket = /a\n");
  const { config } = loadConfig({ configFile, socket: "/b" });
  assert.equal(config.staps.socket, "/b");
  assert.throws(
    () => loadConfig({ configFile, socket: "/" + "x".repeat(200) }),
    UsageError,
  );
});

Deno.test("readConfig() returns problems together with what has none", async () => {
  await using folder = await temporaryFolder();
  const configFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(configFile, "[limits]\nclients = x\nchannels = 7\n");
  const { config, problems } = readConfig({ configFile });
  assert.deepEqual(problems.map(({ key }) => key), ["clients"]);
  assert.equal(config.limits.clients, 10_000);
  assert.equal(config.limits.channels, 7);
});

Deno.test("configFiles() names the files, the one that wins last", () => {
  assert.deepEqual(configFiles({}), ["/etc/staps/staps.conf"]);
  assert.deepEqual(configFiles({ environment: { HOME: "/home/ada/" } }), [
    "/etc/staps/staps.conf",
    "/home/ada/.staps.conf",
  ]);
  assert.deepEqual(configFiles({ configFile: "x" }), ["x"]);
});

Deno.test("compareConfigs() tells what a reload does from what takes a restart", () => {
  const before = parseConfig("[limits]\nclients = 1", "x").config;
  const after = parseConfig(
    "[staps]\nmode = 0600\namqp = amqp://a:b@c\n[limits]\nchannels = 5\n[bridge]\nhosts = x\n",
    "x",
  ).config;
  assert.deepEqual(compareConfigs(before, after), {
    effective: ["[limits] clients", "[limits] channels"],
    needRestart: ["[staps] mode", "[staps] amqp", "[bridge] hosts"],
  });
  assert.deepEqual(compareConfigs(after, after), {
    effective: [],
    needRestart: [],
  });
});
