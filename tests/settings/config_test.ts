import assert from "node:assert/strict";
import { UsageError } from "../../src/common/errors.ts";
import {
  configFiles,
  loadConfig,
  readConfig,
} from "../../src/settings/config.ts";
import { ConfigProblemsError } from "../../src/settings/problems.ts";
import { allSettings, type PlacedSetting } from "../../src/settings/table.ts";
import { loadText, valueOf } from "../helpers/config.ts";
import { readPage } from "../helpers/docs.ts";
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

Deno.test("loadConfig() has the table's defaults where a file says nothing, or is none", () => {
  const { config, sources } = loadConfig({ systemFile: "/nowhere/staps.conf" });
  assert.deepEqual(sources, []);
  for (const setting of allSettings) {
    assert.deepEqual(valueOf(config, setting), setting.default);
  }
  for (const text of ["", "\n", "# only a comment", "[staps]", "\uFEFF"]) {
    assert.deepEqual(loadText(text).config, config);
  }
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

/** The files of somebody who has all of them. */
class Files extends DisposableStack {
  readonly home = Deno.makeTempDirSync({ prefix: "staps-test-" });
  readonly systemFile = `${this.home}/system.conf`;
  readonly homeFile = `${this.home}/.staps.conf`;
  readonly configFile = `${this.home}/mine.conf`;
  readonly instanceFile = `${this.home}/instance.conf`;
  readonly environment = { HOME: this.home };

  constructor() {
    super();
    this.defer(() => Deno.removeSync(this.home, { recursive: true }));
  }
}

Deno.test("loadConfig() lets the keys of the later file win", () => {
  using files = new Files();
  const { systemFile, homeFile, environment } = files;
  Deno.writeTextFileSync(
    systemFile,
    "[staps]\namqp = amqp://a\nmode = 0600\n[limits]\nclients = 1\n",
  );
  const alone = loadConfig({ systemFile, environment });
  assert.deepEqual(alone.sources, [systemFile]);
  Deno.writeTextFileSync(homeFile, "[staps]\namqp =\n[limits]\nclients = 2\n");
  const { config, sources, origins } = loadConfig({ systemFile, environment });
  assert.deepEqual(sources, [systemFile, homeFile]);
  assert.equal(config.staps.mode, 0o600);
  assert.equal(config.staps.amqp, undefined);
  assert.equal(config.limits.clients, 2);
  assert.deepEqual([...origins], [
    ["staps.mode", { file: systemFile, line: 3 }],
    ["limits.clients", { file: homeFile, line: 4 }],
  ]);
});

Deno.test("loadConfig() reads the file on the command line alone, and lets --socket win", () => {
  using files = new Files();
  const { systemFile, configFile } = files;
  Deno.writeTextFileSync(systemFile, "[limits]\nclients = 1\nbroken");
  Deno.writeTextFileSync(
    configFile,
    "[staps]\nsocket = /a\n[limits]\nchannels = 2\n",
  );
  const options = { systemFile, configFile };
  const { config, sources } = loadConfig(options);
  assert.deepEqual(sources, [configFile]);
  assert.equal(config.limits.clients, 10_000);
  assert.equal(config.limits.channels, 2);
  assert.equal(config.staps.socket, "/a");
  const other = loadConfig({ ...options, socket: "/b" });
  assert.equal(other.config.staps.socket, "/b");
  const tooLong = "/" + "x".repeat(200);
  assert.throws(() => loadConfig({ ...options, socket: tooLong }), UsageError);
});

Deno.test("readConfig() returns problems together with what has none, and lets an instance's own file win", () => {
  using files = new Files();
  const { configFile, instanceFile } = files;
  Deno.writeTextFileSync(
    configFile,
    "[staps]\nmode = x\n[limits]\nclients = 7\nchannels = 7\n",
  );
  const read = (): unknown => {
    const { config, problems } = readConfig({ configFile, instanceFile });
    const { staps: { mode }, limits: { clients, channels } } = config;
    return [mode, clients, channels, ...problems.map(({ key }) => key)];
  };
  assert.deepEqual(read(), [0o660, 7, 7, "mode"]);
  Deno.writeTextFileSync(instanceFile, "[limits]\nclients = 8\n");
  assert.deepEqual(read(), [0o660, 8, 7, "mode"]);
});

Deno.test("configFiles() names the files, the one that wins last", () => {
  const usual = "/etc/staps/staps.conf";
  assert.deepEqual(configFiles({}), [usual]);
  assert.deepEqual(configFiles({ environment: { HOME: "/home/ada/" } }), [
    ...[usual, "/home/ada/.staps.conf"],
  ]);
  assert.deepEqual(configFiles({ configFile: "x" }), ["x"]);
  const ofInstance = { configFile: "x", instanceFile: "y" };
  assert.deepEqual(configFiles(ofInstance), ["x", "y"]);
});
