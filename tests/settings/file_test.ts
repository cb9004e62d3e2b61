import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { ConfigError } from "../../src/common/errors.ts";
import { type ConfigOptions, loadConfig } from "../../src/settings/config.ts";
import { messageFor, refusal } from "../helpers/config.ts";
import { TempFolder } from "../../tools/folder.ts";
import { repository, runProgram } from "../../tools/process.ts";

/** Mistakes by what is said of them, and the hint. */
const mistakes: Readonly<Record<string, RegExp>> = {
  "[stasp]": /got an unknown section, .*; Did you mean "\[staps\]"\?$/,
  "[limits]\nclientz = 1": /an unknown key, .*; Did you mean "clients"\?$/,
  "[limits]\nidle-timeout-s = 1": /unknown key, .* mean "idle_timeout_s"\?$/,
  "[staps]\nSocket = /x": /an unknown key, .*; Did you mean "socket"\?$/,
  "[staps]\nclients = 1": /unknown key, .*; "clients" belongs to "\[limits\]"$/,
  "mode = 0660": /a key above the first section, .* belongs to "\[staps\]"$/,
  "[x]\na = 1\nb = 2": /got an unknown section, .*; undefined$/,
  "[staps]\nconstructor = 1": /got an unknown key, .*; undefined$/,
  "[]": /got a section that can't be right, /,
  "[__proto__]\nx = 1": /got an unknown section, /,
  "[constructor]\nx = 1": /got an unknown section, /,
  "[toString]\nx = 1": /got an unknown section, /,
  "[staps]\nsocket = /s   # nginx": /; Comments need a line of their own$/,
  "[staps]\nmode = 0660 ; nginx": /; Comments need a line of their own$/,
  "[staps]\nlistener = own # nginx": /; Comments need a line of their own$/,
  "[staps]\namqp = amqp://h # nginx": /; Comments need a line of their own$/,
  "[staps]\nmode = 0660\nmode = 0666":
    /^Cannot read "mode" in f line 3: got it again after line 2, expected each key once; /,
  "[staps]\n[log]\n[staps]\nmode = 0666":
    /^Cannot read section "staps" in f line 3: got it again after line 1, /,
};

Deno.test("readConfigFile() names unknown sections and keys, comments behind values and what stands twice, with what was probably meant", () => {
  for (const [text, expected] of Object.entries(mistakes)) {
    const error = refusal(text);
    assert.equal(error.problems.length, 1, text);
    assert.match(`${messageFor("f", error)}; ${error.hint}`, expected, text);
  }
});

Deno.test("readConfigFile() reads a pipe", async () => {
  await using folder = await TempFolder.make();
  const configFile = `${folder.path}/pipe`;
  await new Deno.Command("mkfifo", { args: [configFile] }).output();
  const writer = new Deno.Command("sh", {
    args: ["-c", 'printf "[limits]\\n" > "$0"', configFile],
  }).spawn();
  assert.deepEqual(loadConfig({ configFile }).sources, [configFile]);
  await writer.status;
});

Deno.test("readConfigFile() refuses files it can't read, each with its reason", async () => {
  await using folder = await TempFolder.make();
  const write = (name: string, content: string | number[]): string => {
    const file = `${folder.path}/${name}`;
    Deno.writeFileSync(file, Buffer.from(content as string));
    return file;
  };
  const maxBytes = 1 << 20;
  const cases: [string, RegExp][] = [
    [`${folder.path}/none`, /got no such file, expected a file$/],
    [`${folder.path}/none/none`, /got no such file/],
    [folder.path, /got a folder, expected a file$/],
    [write("latin1", [0x23, 0x0a, 0x0a, 0x23, 0xe4]), /1 line 3: .* no UTF-8/],
    [write("nul", "#\nmode = 0660\0\n"), /nul line 2: .* character U\+0000/],
    [write("utf16", [0xff, 0xfe, 0x5b, 0]), /utf16 line 1: .* no UTF-8/],
    [write("huge", "#".repeat(maxBytes + 1)), /got more than 1 MiB/],
    ["/dev/zero", /got more than 1 MiB/],
  ];
  for (const [configFile, message] of cases) {
    assert.throws(
      () => loadConfig({ configFile }),
      (error) => error instanceof ConfigError && message.test(error.message),
      configFile,
    );
  }
  const configFile = write("full", "#".repeat(maxBytes));
  assert.deepEqual(loadConfig({ configFile }).sources, [configFile]);
});

/**
 * Gets what is read and what is wrong, for somebody who may not read the file
 * or the folder `locked`: rights bind everybody but root, so a process becomes
 * nobody, where that is possible.
 */
async function reportOfNobody(
  locked: string,
  options: ConfigOptions,
): Promise<unknown> {
  const script = `
    import { readConfig } from "${repository}/src/settings/config.ts";
    import process from "node:process";
    // Loads what is needed while it can be read.
    readConfig({});
    if (process.getuid() === 0) process.setuid(65534);
    else Deno.chmodSync(${JSON.stringify(locked)}, 0);
    const { problems, sources } = readConfig(${JSON.stringify(options)});
    const found = problems.map(({ file, got, hint }) => [file, got, hint]);
    console.log(JSON.stringify([...sources, ...found]));`;
  const { stdout, stderr } = await runProgram(Deno.execPath(), [
    ...["eval", "--quiet", `--config=${repository}/deno.json`, script],
  ]);
  await Deno.chmod(locked, 0o700);
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout);
}

const noPermission = [
  "no permission",
  "Look at the permissions of the file and of the folders above it",
];

Deno.test("readConfigFile() says so when it may not read a file, at the usual places too", async () => {
  await using folder = await TempFolder.make();
  const systemFile = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(systemFile, "[staps]\n", { mode: 0o600 });
  const found = await reportOfNobody(systemFile, { systemFile });
  assert.deepEqual(found, [[systemFile, ...noPermission]]);
});

Deno.test("a home folder that may not be searched has no .staps.conf, unless that was read before", async () => {
  await using folder = await TempFolder.make();
  const HOME = `${folder.path}/home`;
  await Deno.mkdir(HOME, { mode: 0o700 });
  const systemFile = `${folder.path}/none`;
  const options = { systemFile, environment: { HOME } };
  assert.deepEqual(await reportOfNobody(HOME, options), []);
  const homeFile = `${HOME}/.staps.conf`;
  const later = { ...options, readBefore: [homeFile] };
  const found = await reportOfNobody(HOME, later);
  assert.deepEqual(found, [[homeFile, ...noPermission]]);
});
