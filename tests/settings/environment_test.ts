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
  type Config,
  type Environment,
} from "../../src/settings/table.ts";
import { loadText, valueOf } from "../helpers/config.ts";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../../tools/folder.ts";

/** Where no file is. */
const systemFile = "/nowhere/staps.conf";

function load(environment: Environment): Config {
  return loadConfig({ systemFile, environment }).config;
}

/** Gets the error that `environment` causes. */
function refusal(environment: Environment): ConfigProblemsError {
  try {
    load(environment);
  } catch (error) {
    assert.ok(error instanceof ConfigProblemsError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "Accepted" });
}

/** Gets a value other than the default of each setting, as text by `section.key`. */
function otherValues(): Map<string, string> {
  const byKind = [
    [/^whole number, \d+/, "7"],
    [/^bytes/, "32M"],
    [/^octal/, "0640"],
    [/^path/, "/x/y"],
    [/^list of host/, "rabbit1:5673"],
    [/^list of origins/, "https://example.org"],
    [/^URL/, "amqps://a:b@c/d"],
    [/^name/, "other"],
  ] as const;
  return new Map(allSettings.map(({ section, key, type, default: usual }) => {
    const text = byKind.find(([kind]) => kind.test(type.name))?.[1] ??
      // A choice: `a, b or c`.
      type.name.split(/, | or /).find((word) => word !== usual)!;
    return [`${section}.${key}`, key === "pid_file" ? "/x/pid" : text];
  }));
}

Deno.test("every setting has a variable of its own, which says the same as the file, and nobody else uses it", () => {
  const names = allSettings.flatMap((setting) =>
    [variableFor(setting), fileVariableFor(setting)].filter((name) =>
      name !== undefined
    )
  );
  assert.equal(new Set(names).size, names.length, "no name means two settings");
  for (const other of ["STAPS_URL", "STAPS_CACHE", "STAPS_HOMEPAGE"]) {
    assert.ok(!names.includes(other), other);
  }
  const usual = loadText("").config;
  const texts = otherValues();
  for (const setting of allSettings) {
    const { section, key, type } = setting;
    const name = variableFor(setting);
    assert.match(name, /^STAPS_[A-Z_]+$/);
    assert.doesNotMatch(name, ofServices);
    const text = texts.get(`${section}.${key}`)!;
    const { values, problems, unknown } = readEnvironment({ [name]: text }, {
      home: undefined,
    });
    assert.deepEqual([...problems, ...unknown], [], name);
    assert.deepEqual([...values.keys()], [`${section}.${key}`]);
    const { value } = values.get(`${section}.${key}`)!;
    assert.deepEqual(value, type.read(text, { home: undefined }));
    assert.notDeepEqual(value, valueOf(usual, setting), name);
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
  const { config, origins } = loadConfig({
    configFile,
    environment,
    socket: "/option",
  });
  assert.equal(config.staps.socket, "/option");
  assert.equal(config.admin.socket, "/admin");
  assert.equal(config.log.level, "debug");
  assert.equal(config.staps.mode, 0o600);
  assert.equal(config.limits.clients, 10_000);
  assert.deepEqual([...origins], [
    ["staps.mode", { file: configFile, line: 3 }],
    ["log.level", { file: "the environment", variable: "STAPS_LOG_LEVEL" }],
    ["admin.socket", {
      file: "the environment",
      variable: "STAPS_ADMIN_SOCKET",
    }],
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
  const { message } = refusal({ STAPS_MODE: "09" });
  assert.equal(`staps: error: ${message}\n`, await block(page, "mistake"));
});

Deno.test("an error names the variable, what was found and what was expected, and no password", async () => {
  await using folder = await TempFolder.make();
  const write = async (name: string, text: string): Promise<string> => {
    await Deno.writeTextFile(`${folder.path}/${name}`, text);
    return `${folder.path}/${name}`;
  };
  const cases: readonly [Environment, RegExp][] = [
    [
      { STAPS_LIMITS_CLIENTS: "5s" },
      /^Cannot read "STAPS_LIMITS_CLIENTS" in the environment: got "5s", expected a whole number from 1 to 1000000$/,
    ],
    [
      { STAPS_AMQP: "http://a:XYZZY@b" },
      /"STAPS_AMQP" .*: got another beginning, expected a URL/,
    ],
    [{ STAPS_SOCKET: "/a\nb" }, /got the control character U\+000A/],
    [
      { STAPS_AMQP: "amqp://a:XYZZY@b", STAPS_AMQP_FILE: "/x" },
      /"STAPS_AMQP_FILE" in the environment: got both, expected only one of it and "STAPS_AMQP"$/,
    ],
    [
      // Settings that don't go together.
      { STAPS_BRIDGE_HOSTS: "a" },
      /"STAPS_BRIDGE_HOSTS" in the environment: got hosts without/,
    ],
    [{ STAPS_AMQP_FILE: "amqp://a:XYZZY@b" }, /FILE".* expected a path that/],
    [{ STAPS_AMQP_FILE: "/nowhere/x" }, /FILE" in \/nowhere\/x: got no such/],
    [{ STAPS_AMQP_FILE: "/dev/zero" }, /got more than 64 KiB/],
    [{ STAPS_AMQP_FILE: folder.path }, /got a folder, expected a file/],
    [{ STAPS_AMQP_FILE: await write("empty", "\n") }, /got nothing/],
    [
      { STAPS_AMQP_FILE: await write("wrong", "amqp:/a:XYZZY@b\n") },
      /FILE" in .*\/wrong: got another beginning/,
    ],
  ];
  for (const [environment, message] of cases) {
    const error = refusal(environment);
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
  const quiet = {
    STAPS_URL: "wss://example.org/x",
    STAPS_CACHE: "/x",
    // A service "staps", and one "staps-admin", in Kubernetes.
    STAPS_SERVICE_HOST: "10.0.0.1",
    STAPS_SERVICE_PORT_HTTP: "80",
    STAPS_PORT: "tcp://10.0.0.1:80",
    STAPS_ADMIN_PORT_80_TCP_ADDR: "10.0.0.1",
    STAPS_EMPTY: "",
    OTHER: "x",
  };
  const { unknownVariables } = readConfig({
    systemFile,
    environment: {
      ...quiet,
      STAPS_SOKCET: "/x",
      STAPS_LIMIT_CLIENTS: "1",
      STAPS_FOO: "1",
    },
  });
  assert.deepEqual(unknownVariables, [
    { name: "STAPS_FOO", near: undefined },
    { name: "STAPS_LIMIT_CLIENTS", near: "STAPS_LIMITS_CLIENTS" },
    { name: "STAPS_SOKCET", near: "STAPS_SOCKET" },
  ]);
});
