import assert from "node:assert/strict";
import { UsageError } from "../../src/common/errors.ts";
import {
  configFiles,
  loadConfig,
  readConfig,
} from "../../src/settings/config.ts";
import { ConfigProblemsError } from "../../src/settings/problems.ts";
import { allSettings } from "../../src/settings/table.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";
import { TempFolder } from "../../tools/folder.ts";
import { loadText, valueOf } from "../helpers/config.ts";
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
  const { staps, daemon } = loadText(text).config;
  assert.deepEqual(staps, {
    socket: "/run/staps/staps.sock",
    mode: 0o660,
    listener: "own",
    amqp: brokerUrl("amqp://staps:@localhost/"),
  });
  assert.deepEqual(daemon, {
    user: "staps",
    group: "staps",
    dir: "/var/lib/staps/",
    pidFile: "/var/run/staps/staps.pid",
    umask: 0,
  });
});

Deno.test("loadConfig() has the table's defaults where a file says nothing, or is none", () => {
  const { config, sources } = loadConfig({ systemFile: "/nowhere/staps.conf" });
  assert.deepEqual(sources, []);
  for (const setting of allSettings) {
    assert.deepEqual(valueOf(config, setting), setting.default);
  }
  const empty = [...Map.groupBy(allSettings, ({ section }) => section)]
    .map(([section, keys]) =>
      `[${section}]\n${keys.map(({ key }) => `${key} =\n`).join("")}`
    ).join("");
  for (const text of ["", "\n", "# a comment", "[staps]", "\uFEFF", empty]) {
    assert.deepEqual(loadText(text).config, config, text);
  }
});

Deno.test("loadConfig() throws nothing but ConfigError, whatever the text", () => {
  fc.assert(fc.property(iniText(), (text) => {
    try {
      loadText(text);
    } catch (error) {
      assert.ok(error instanceof ConfigProblemsError, String(error));
      const { message, problems } = error;
      assert.equal(message.split("\n").length, problems.length);
    }
  }));
});

Deno.test("loadConfig() takes the default socket from XDG_RUNTIME_DIR", () => {
  const socket = (folder: string, text = ""): string => {
    const environment = { XDG_RUNTIME_DIR: folder };
    return loadText(text, { environment }).config.staps.socket;
  };
  assert.equal(socket("/run/user/7"), "/run/user/7/staps.sock");
  assert.equal(socket("/run/user/7", "[staps]\nsocket = /s"), "/s");
  // The XDG base directory specification: paths that aren't absolute are invalid.
  assert.equal(socket(""), "/run/staps/staps.sock");
  assert.equal(socket("run/user/7"), "/run/staps/staps.sock");
});

Deno.test("loadConfig() lets the keys of the later file win", async () => {
  await using folder = await TempFolder.make();
  const systemFile = `${folder.path}/system.conf`;
  const homeFile = `${folder.path}/.staps.conf`;
  const options = { systemFile, environment: { HOME: folder.path } };
  const usual = "[staps]\namqp = amqp://a\nmode = 0600\n[limits]\nclients = 1";
  await Deno.writeTextFile(systemFile, usual);
  assert.deepEqual(loadConfig(options).sources, [systemFile]);
  await Deno.writeTextFile(homeFile, "[staps]\namqp =\n[limits]\nclients = 2");
  const { config, sources, origins } = loadConfig(options);
  assert.deepEqual(sources, [systemFile, homeFile]);
  assert.equal(config.staps.mode, 0o600);
  assert.equal(config.staps.amqp, undefined);
  assert.equal(config.limits.clients, 2);
  assert.deepEqual([...origins], [
    ["staps.mode", { file: systemFile, line: 3 }],
    ["limits.clients", { file: homeFile, line: 4 }],
  ]);
});

Deno.test("readConfig() reads the file on the command line alone, and an instance's own file, which wins; it returns problems together with what has none", async () => {
  await using folder = await TempFolder.make();
  const systemFile = `${folder.path}/system.conf`;
  const configFile = `${folder.path}/mine.conf`;
  const instanceFile = `${folder.path}/instance.conf`;
  await Deno.writeTextFile(systemFile, "broken");
  await Deno.writeTextFile(
    configFile,
    "[staps]\nmode = x\n[limits]\nclients = 7\nchannels = 7\n",
  );
  const read = (): unknown => {
    const report = readConfig({ systemFile, configFile, instanceFile });
    const { clients, channels } = report.config.limits;
    const keys = report.problems.map(({ key }) => key);
    return [report.config.staps.mode, clients, channels, keys, report.sources];
  };
  assert.deepEqual(read(), [0o660, 7, 7, ["mode"], [configFile]]);
  await Deno.writeTextFile(instanceFile, "[limits]\nclients = 8\n");
  const sources = [configFile, instanceFile];
  assert.deepEqual(read(), [0o660, 8, 7, ["mode"], sources]);
});

Deno.test("loadConfig() refuses a --socket that is too long for one", () => {
  const socket = "/".padEnd(200, "x");
  assert.throws(() => loadConfig({ socket }), UsageError);
});

Deno.test("configFiles() names the files, the one that wins last", () => {
  const usual = "/etc/staps/staps.conf";
  assert.deepEqual(configFiles({}), [usual]);
  const environment = { HOME: "/home/ada/" };
  const files = [usual, "/home/ada/.staps.conf"];
  assert.deepEqual(configFiles({ environment }), files);
  assert.deepEqual(configFiles({ configFile: "x" }), ["x"]);
  const ofInstance = { configFile: "x", instanceFile: "y" };
  assert.deepEqual(configFiles(ofInstance), ["x", "y"]);
});
