/** Settings from environment variables: names, precedence, errors, files with secrets. */
import assert from "node:assert/strict";
import { loadConfig, readConfig } from "../../src/settings/config.ts";
import {
  fileVariableFor,
  ofServices,
  readEnvironment,
  variableFor,
} from "../../src/settings/environment.ts";
import { exposedPasswordFile } from "../../src/settings/exposure.ts";
import { ConfigProblemsError } from "../../src/settings/problems.ts";
import {
  allSettings,
  type Environment,
  type PlacedSetting,
} from "../../src/settings/table.ts";
import { valueOf } from "../helpers/config.ts";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../../tools/folder.ts";

/** Where no file is. */
const systemFile = "/nowhere/staps.conf";

/** Gets what is wrong with `environment`, as an error. */
function errorOf(environment: Environment): ConfigProblemsError {
  const { problems } = readConfig({ systemFile, environment });
  return new ConfigProblemsError(problems);
}

/** Gets a value of a setting other than the default, as text. */
function otherValue({ key, type, default: usual }: PlacedSetting): string {
  const byKind = [
    [/^whole number, \d+/, "7"],
    [/^bytes/, "32M"],
    [/^octal/, "0640"],
    [/^path/, `/x/${key}`],
    [/^list of host/, "rabbit1:5673"],
    [/^list of origins/, "https://example.org"],
    [/^URL/, "amqps://a:b@c/d"],
    [/^name/, "other"],
  ] as const;
  return byKind.find(([kind]) => kind.test(type.name))?.[1] ??
    // A choice: `a, b or c`.
    type.name.split(/, | or /).find((word) => word !== usual)!;
}

Deno.test("every setting has a variable of its own, which says the same as the file, and nobody else uses it", async () => {
  const names = allSettings.flatMap((setting) => [
    variableFor(setting),
    fileVariableFor(setting) ?? [],
  ]).flat();
  assert.equal(new Set(names).size, names.length, "no name means two settings");
  for (const other of ["STAPS_URL", "STAPS_CACHE", "STAPS_HOMEPAGE"]) {
    assert.ok(!names.includes(other), other);
  }
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/staps.conf`;
  const sections = Map.groupBy(allSettings, ({ section }) => section);
  for (const [section, settings] of sections) {
    const lines = settings.map((each) => `${each.key} = ${otherValue(each)}\n`);
    const text = `[${section}]\n${lines.join("")}`;
    await Deno.writeTextFile(configFile, text, { append: true });
  }
  const fromFile = readConfig({ configFile });
  assert.equal(fromFile.origins.size, allSettings.length);
  for (const setting of allSettings) {
    const variable = variableFor(setting);
    assert.match(variable, /^STAPS_[A-Z_]+$/);
    assert.doesNotMatch(variable, ofServices);
    const environment = { [variable]: otherValue(setting) };
    const { values, ...rest } = readEnvironment(environment, { home: "/" });
    assert.deepEqual(rest, { problems: [], unknown: [] }, variable);
    const origin = { file: "the environment", variable };
    const value = valueOf(fromFile.config, setting);
    assert.notDeepEqual(value, setting.default, variable);
    assert.deepEqual([...values], [
      [`${setting.section}.${setting.key}`, { value, origin }],
    ]);
  }
});

Deno.test("the command line wins over the environment, the environment over files, files over defaults", async () => {
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(
    configFile,
    "[staps]\nsocket = /file\nmode = 0600\n[log]\nlevel = warn\n",
  );
  const environment = {
    STAPS_SOCKET: "/environment",
    STAPS_ADMIN_SOCKET: "/admin",
    STAPS_LOG_LEVEL: " debug\n",
    // Unset.
    STAPS_MODE: "",
  };
  const options = { configFile, environment, socket: "/option" };
  const { config, origins } = loadConfig(options);
  assert.equal(config.staps.socket, "/option");
  assert.equal(config.admin.socket, "/admin");
  assert.equal(config.log.level, "debug");
  assert.equal(config.staps.mode, 0o600);
  assert.equal(config.limits.clients, 10_000);
  const file = "the environment";
  assert.deepEqual([...origins], [
    ["staps.mode", { file: configFile, line: 3 }],
    ["log.level", { file, variable: "STAPS_LOG_LEVEL" }],
    ["admin.socket", { file, variable: "STAPS_ADMIN_SOCKET" }],
  ]);
});

Deno.test("docs/configuration.md's variables can be set, and its error is what a wrong one gets", async () => {
  const page = "docs/configuration.md";
  const lines = (await block(page, "variables")).trim().split("\n");
  const environment = Object.fromEntries(lines.map((line) => {
    const [, name, value] = /^(\w+)=(\S+)$/.exec(line)!;
    return [name, value!];
  }));
  const { config, unknownVariables } = loadConfig({ systemFile, environment });
  assert.equal(config.staps.amqp?.password, "PASSWORD");
  assert.equal(config.limits.messageBytes, 65536);
  assert.deepEqual(unknownVariables, []);
  const { message } = errorOf({ STAPS_MODE: "09" });
  assert.equal(`staps: error: ${message}\n`, await block(page, "mistake"));
});

Deno.test("an error names the variable, what was found and what was expected, and no password", async () => {
  await using folder = await TempFolder.make();
  const write = async (name: string, text: string): Promise<string> => {
    await Deno.writeTextFile(`${folder.path}/${name}`, text);
    return `${folder.path}/${name}`;
  };
  const both = { STAPS_AMQP: "amqp://a:XYZZY@b", STAPS_AMQP_FILE: "/x" };
  const cases: [Environment, RegExp][] = [
    [
      { STAPS_LIMITS_CLIENTS: "5s" },
      /^Cannot read "STAPS_LIMITS_CLIENTS" in the environment: got "5s", expected a whole number from 1 to 1000000$/,
    ],
    [{ STAPS_AMQP: "http://a:XYZZY@b" }, /"STAPS_AMQP" .*: got another begin/],
    [{ STAPS_SOCKET: "/a\nb" }, /got the control character U\+000A/],
    [both, /_FILE" in .*: got both, expected only one of it and "STAPS_AMQP"$/],
    // Settings that don't go together.
    [{ STAPS_BRIDGE_HOSTS: "a" }, /"STAPS_BRIDGE_HOSTS" in .*: got hosts with/],
  ];
  const files: readonly [file: string, RegExp][] = [
    ["amqp://a:XYZZY@b", /FILE" in the environment.* expected a path that/],
    ["/nowhere/x", /FILE" in \/nowhere\/x: got no such/],
    ["/dev/zero", /got more than 64 KiB/],
    [folder.path, /got a folder, expected a file/],
    [await write("empty", "\n"), /got nothing/],
    [await write("wrong", "amqp:/a:XYZZY@b\n"), /\/wrong: got another begin/],
  ];
  for (const [file, message] of files) {
    cases.push([{ STAPS_AMQP_FILE: file }, message]);
  }
  for (const [environment, message] of cases) {
    const error = errorOf(environment);
    assert.equal(error.problems.length, 1, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(JSON.stringify([error, error.message]), /XYZZY/);
  }
});

Deno.test("STAPS_AMQP_FILE names a file with the URL, read anew each time, and nobody is warned of its mode", async () => {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/amqp`;
  const environment = { STAPS_AMQP_FILE: file };
  for (const password of ["one", "two"]) {
    await Deno.writeTextFile(file, `amqp://staps:${password}@rabbit/\n`);
    const loaded = loadConfig({ systemFile, environment });
    assert.equal(loaded.config.staps.amqp?.password, password);
    assert.equal(loaded.origins.get("staps.amqp")?.file, file);
    assert.equal(exposedPasswordFile(loaded), undefined);
  }
});

Deno.test("variables that nothing reads are named, with what was probably meant", () => {
  const environment = {
    STAPS_URL: "wss://example.org/x",
    STAPS_CACHE: "/x",
    // A service "staps", and one "staps-admin", in Kubernetes.
    STAPS_SERVICE_HOST: "10.0.0.1",
    STAPS_SERVICE_PORT_HTTP: "80",
    STAPS_PORT: "tcp://10.0.0.1:80",
    STAPS_ADMIN_PORT_80_TCP_ADDR: "10.0.0.1",
    STAPS_EMPTY: "",
    OTHER: "x",
    STAPS_SOKCET: "/x",
    STAPS_LIMIT_CLIENTS: "1",
    STAPS_FOO: "1",
  };
  assert.deepEqual(readConfig({ systemFile, environment }).unknownVariables, [
    { name: "STAPS_FOO", near: undefined },
    { name: "STAPS_LIMIT_CLIENTS", near: "STAPS_LIMITS_CLIENTS" },
    { name: "STAPS_SOKCET", near: "STAPS_SOCKET" },
  ]);
});
