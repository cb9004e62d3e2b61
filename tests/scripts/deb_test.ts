/** The Debian package as a file; tests/e2e/systemd_test.ts installs it. */
import assert from "node:assert/strict";
import { shippedConfig } from "../../scripts/deb.ts";
import { renderConfigManual, renderManual } from "../../scripts/man.ts";
import { joinStatus } from "../../src/commands/join/ending.ts";
import { commandTree } from "../../src/commands/cli.ts";
import { allSettings } from "../../src/settings/table.ts";
import { builtPackage } from "../helpers/builds.ts";
import { loadText } from "../helpers/config.ts";
import { TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { Process, repository } from "../../tools/process.ts";
import { within } from "../../tools/eventually.ts";

/** Reading 100 MB takes these a while on a busy machine. */
const slowMs = 4 * 60_000;

async function output(command: string, args: string[]): Promise<string> {
  await using program = new Process(command, args, {
    env: { LC_ALL: "C.UTF-8", MANWIDTH: "80" },
  });
  await within(program.status, `the end of ${command}`, { timeoutMs: slowMs });
  return program.output;
}

Deno.test("makePackage() makes a package in which lintian finds no error", async () => {
  await ensurePackages(["lintian"]);
  const path = await builtPackage();
  const report = await output("lintian", ["--allow-root", path]);
  assert.doesNotMatch(report, /^[EW]:/m);
  const control = await output("dpkg-deb", ["--field", path]);
  assert.match(control, /^Homepage: https:\/\/\S+$/m);
  const list = await output("dpkg-deb", ["--contents", path]);
  for (const line of list.trim().split("\n")) {
    assert.match(line, /^[-d][rwx-]{9} root\/root /, "owner of each file");
    assert.match(line, /^.....-..-./, "only root may write");
  }
  const doc = "usr/share/doc/staps";
  const files = [
    ...["usr/bin/staps", "usr/lib/staps/staps", "etc/staps/staps.conf"],
    ...[
      "lib/systemd/system/staps.service",
      "lib/systemd/system/staps@.service",
    ],
    ...["usr/share/man/man1/staps.1.gz", "usr/share/man/man5/staps.conf.5.gz"],
    ...[`${doc}/README.md`, `${doc}/CHANGELOG.md`, `${doc}/docs/deploy.md`],
    ...[`${doc}/copyright`, `${doc}/changelog.gz`],
    `${doc}/examples/nginx.conf.example`,
  ];
  for (const file of files) assert.ok(list.includes(` ./${file}\n`), file);
});

Deno.test("packaging/launcher.sh ignores SIGHUP, SIGUSR1 and SIGUSR2 for a server, and no signal for other commands", async () => {
  const text = await Deno.readTextFile(`${repository}/packaging/launcher.sh`);
  const script = text.replace("@ENVIRONMENT@", "X=1")
    .replace(/^exec .*/m, "exec grep SigIgn /proc/self/status");
  const ignored = async (script: string, args: string[]): Promise<bigint> => {
    const line = await output("sh", ["-c", script, "staps", ...args]);
    return BigInt(`0x${line.split("\t")[1]!.trim()}`);
  };
  const inherited = await ignored("exec grep SigIgn /proc/self/status", []);
  assert.equal(await ignored(script, ["join"]), inherited);
  // Bits of the signals 1, 10 and 12.
  const ofServer = (1n << 0n) | (1n << 9n) | (1n << 11n);
  for (const args of [[], ["serve"], ["--config=/x"]]) {
    assert.equal(await ignored(script, args), inherited | ofServer, `${args}`);
  }
});

Deno.test("the shipped configuration is one that staps reads", () => {
  const { config } = loadText(shippedConfig());
  assert.equal(config.daemon.user, "staps");
  assert.equal(config.admin.socket, "/run/staps/admin.sock");
});

Deno.test("renderManual() and renderConfigManual() name every command, option and setting", async () => {
  await ensurePackages(["man-db"]);
  await using folder = await TempFolder.make();
  const text = async (name: string, page: string): Promise<string> => {
    const path = `${folder.path}/${name}`;
    await Deno.writeTextFile(path, page);
    return await output("man", ["--warnings", "--local-file", path]);
  };
  const date = "2026-01-01";
  const manual = await text("staps.1", renderManual({ date }));
  const configManual = await text("staps.conf.5", renderConfigManual({ date }));
  assert.doesNotMatch(manual + configManual, /warning:|error:/);
  for (const { name, options } of commandTree()) {
    assert.ok(manual.includes(`staps ${name}`), name);
    for (const { long } of options) assert.ok(manual.includes(long), long);
  }
  for (const code of Object.values(joinStatus)) {
    assert.match(manual, new RegExp(`^ +${code} +\\S`, "m"));
  }
  for (const { section, key } of allSettings) {
    assert.ok(configManual.includes(`[${section}]`), section);
    assert.match(configManual, new RegExp(`^ +${key}( |$)`, "m"));
  }
});

Deno.test("the two units differ in the names of sockets and folders only", async () => {
  const lines = async (name: string): Promise<string[]> =>
    (await Deno.readTextFile(`${repository}/${name}`)).split("\n")
      .filter((line) => /^[A-Z]\w+=/.test(line));
  const one = await lines("staps.service");
  const many = await lines("staps@.service");
  const keys = (list: string[]): string[] =>
    list.map((line) => line.split("=")[0]!);
  assert.deepEqual(keys(many), keys(one));
  const different = one.filter((line, index) => line !== many[index]);
  assert.deepEqual(keys(different), [
    "Description",
    "ExecStart",
    "RuntimeDirectory",
    "CacheDirectory",
  ]);
});
