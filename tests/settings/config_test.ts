import assert from "node:assert/strict";
import { UsageError } from "../../src/common/errors.ts";
import {
  type Config,
  configFiles,
  loadConfig,
  readConfig,
} from "../../src/settings/config.ts";
import { ConfigProblemsError } from "../../src/settings/problems.ts";
import { allSettings, type PlacedSetting } from "../../src/settings/table.ts";
import { loadText, valueOf } from "../helpers/config.ts";
import { readPage } from "../helpers/docs.ts";
import { TempFolder } from "../helpers/folder.ts";
import { fc, iniText } from "../helpers/property.ts";

Deno.test("loadConfig() reads the format of the first description", () => {
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
  const { config } = loadText(text);
  assert.deepEqual(config.staps, {
    socket: "/run/staps/staps.sock",
    mode: 0o660,
    listener: "own",
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

Deno.test("loadConfig() reads the file that docs/configuration.md begins with", async () => {
  const { blocks: [first] } = await readPage("docs/configuration.md");
  const { config } = loadText(first!.code);
  assert.equal(config.limits.clients, 5000);
});

Deno.test("loadConfig() has defaults for everything", () => {
  const expected: Config = {
    staps: {
      socket: "/run/staps/staps.sock",
      mode: 0o660,
      listener: "own",
      amqp: undefined,
    },
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
      brakeBytes: 1_048_576,
      slowAfterS: 10,
      clients: 10_000,
      channelClients: 10_000,
      channels: 10_000,
      messagesPerSecond: 0,
      idleTimeoutS: 30,
      closeTimeoutS: 5,
      handshakeTimeoutS: 10,
      shutdownTimeoutS: 5,
      shutdownSpreadMs: 10_000,
      retryAfterS: 5,
    },
    http: {
      frontPage: "yes",
      origins: [],
      requestsPerSecond: 1000,
      waitingRequests: 1000,
      waitingBytes: 67108864,
    },
    bridge: {
      exchange: "staps",
      hosts: [],
      ca: undefined,
      cert: undefined,
      key: undefined,
      onOutage: "local",
      onGap: "close",
      outboxBytes: 67_108_864,
      queueBytes: 67_108_864,
      queueType: "auto",
      queueExpiresS: 60,
      heartbeatS: 5,
      joinTimeoutS: 5,
    },
    admin: { socket: undefined, mode: 0o660 },
    log: { level: "info", format: "auto" },
  };
  for (const text of ["", "\n", "# only a comment", "[staps]", "\uFEFF"]) {
    assert.deepEqual(loadText(text).config, expected);
  }
});

Deno.test("loadConfig() lets # and ; survive in a password", () => {
  const text = "[staps]\namqp = amqp://staps:a#b;c@localhost/";
  assert.equal(loadText(text).config.staps.amqp!.password, "a#b;c");
});

Deno.test("loadConfig() throws nothing but ConfigError, whatever the text", () => {
  fc.assert(fc.property(iniText(), (text) => {
    try {
      loadText(text);
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

Deno.test("loadConfig() gives back what was written", () => {
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
    const { config, origins } = loadText(text);
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

Deno.test("loadConfig() has defaults where no file exists", () => {
  const { config, sources } = loadConfig({ systemFile: "/nowhere/staps.conf" });
  assert.deepEqual(sources, []);
  assert.deepEqual(config, loadText("").config);
});

Deno.test("loadConfig() takes the default socket from XDG_RUNTIME_DIR", () => {
  const socket = (environment: Record<string, string>): string =>
    loadText("", { environment }).config.staps.socket;
  assert.equal(
    socket({ XDG_RUNTIME_DIR: "/run/user/7" }),
    "/run/user/7/staps.sock",
  );
  // The XDG base directory specification: paths that aren't absolute are invalid.
  for (const folder of ["", "run/user/7"]) {
    assert.equal(socket({ XDG_RUNTIME_DIR: folder }), "/run/staps/staps.sock");
  }
  const environment = { XDG_RUNTIME_DIR: "/run/user/7" };
  const { config } = loadText("[staps]\nsocket = /s", { environment });
  assert.equal(config.staps.socket, "/s");
});

Deno.test("loadConfig() lets the keys of the later file win", async () => {
  await using folder = await TempFolder.make();
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
  await using folder = await TempFolder.make();
  const systemFile = `${folder.path}/system.conf`;
  const configFile = `${folder.path}/mine.conf`;
  await Deno.writeTextFile(systemFile, "[limits]\nclients = 1\nbroken");
  await Deno.writeTextFile(configFile, "[limits]\nchannels = 2\n");
  const { config, sources } = loadConfig({ systemFile, configFile });
  assert.deepEqual(sources, [configFile]);
  assert.equal(config.limits.clients, 10_000);
  assert.equal(config.limits.channels, 2);
});

Deno.test("loadConfig() lets --socket win, and checks it", async () => {
  await using folder = await TempFolder.make();
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
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(configFile, "[limits]\nclients = x\nchannels = 7\n");
  const { config, problems } = readConfig({ configFile });
  assert.deepEqual(problems.map(({ key }) => key), ["clients"]);
  assert.equal(config.limits.clients, 10_000);
  assert.equal(config.limits.channels, 7);
});

Deno.test("readConfig() lets an instance's own file win, which may be missing", async () => {
  await using folder = await TempFolder.make();
  const [configFile, instanceFile] = [`${folder.path}/a`, `${folder.path}/b`];
  await Deno.writeTextFile(configFile, "[limits]\nclients = 7\nchannels = 7\n");
  const read = (): unknown => {
    const { config, problems } = readConfig({ configFile, instanceFile });
    const { clients, channels } = config.limits;
    return [clients, channels, ...problems];
  };
  assert.deepEqual(read(), [7, 7]);
  await Deno.writeTextFile(instanceFile, "[limits]\nclients = 8\n");
  assert.deepEqual(read(), [8, 7]);
});

Deno.test("configFiles() names the files, the one that wins last", () => {
  assert.deepEqual(configFiles({}), ["/etc/staps/staps.conf"]);
  assert.deepEqual(configFiles({ environment: { HOME: "/home/ada/" } }), [
    "/etc/staps/staps.conf",
    "/home/ada/.staps.conf",
  ]);
  assert.deepEqual(configFiles({ configFile: "x" }), ["x"]);
  const ofInstance = { configFile: "x", instanceFile: "y" };
  assert.deepEqual(configFiles(ofInstance), ["x", "y"]);
});
