/** The one executable: how it unpacks, what it distrusts, and that it is staps. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { sleep } from "../../src/common/timing.ts";
import { compile } from "../../scripts/compile.ts";
import { permissions } from "../../scripts/permissions.ts";
import { version } from "../../src/common/version.ts";
import { builtExecutable } from "../helpers/builds.ts";
import { eventually } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import {
  type Outcome,
  Process,
  repository,
  runProgram,
} from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { Clients } from "../../tools/ws_client.ts";

const through = ["setpriv", "--reuid=33", "--regid=33", "--clear-groups"];
const needsRoot = Deno.uid() === 0 ? undefined : "only root can be two users";

const staps = await builtExecutable();
const build = await TempFolder.make();
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(build.path, { recursive: true }),
);
/** Where it is unpacked by the tests that don't look at that. */
const usualCache = `${build.path}/cache`;

/** The same with a runtime that only says so: the real one takes seconds to unpack. */
const small = `${build.path}/small`;
const label = "The runtime was unpacked\n";
const runtime = `${build.path}/runtime`;
await Deno.writeTextFile(runtime, `#!/bin/sh\necho ${label}`);
await compile({ output: small, selfExtracting: true, runtime });

/** Whether the other way of building works here. */
const compiled = `${build.path}/compiled`;
const obstacles: string[] = [];
const buildKind = await compile({
  output: compiled,
  fallback: false,
  print: (line) => obstacles.push(line),
});

/** Runs the small executable with nothing but `env` in its environment, and only what every system has. */
function run(
  { env = {}, through = [], executable = small, arg = "--version" }: {
    env?: Record<string, string>;
    through?: readonly string[];
    executable?: string;
    arg?: string;
  } = {},
): Promise<Outcome> {
  const [command, ...rest] = [...through, executable, arg];
  return runProgram(command!, rest, {
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", ...env },
    cwd: "/",
  });
}

/** Runs it, and checks that the runtime does. */
async function unpacks(options: Parameters<typeof run>[0]): Promise<void> {
  const outcome = await run(options);
  assert.deepEqual(outcome, { code: 0, stdout: label, stderr: "" });
}

/** Runs it, and checks that it gives up, and why. */
async function gives(
  expected: RegExp,
  options: Parameters<typeof run>[0],
): Promise<void> {
  const { code, stderr } = await run(options);
  assert.equal(code, 1);
  assert.match(stderr, expected);
}

/** The folder that the executable has unpacked into, below `cache`. */
async function unpacked(cache: string): Promise<string> {
  const names = await Array.fromAsync(Deno.readDir(cache), ({ name }) => name);
  assert.equal(names.length, 1, `only one folder in ${names}`);
  return `${cache}/${names[0]}`;
}

/** Registers a test of the self-extracting executable with a folder of its own, unless there is a reason not to. */
function test(
  name: string,
  run: (folder: string) => Promise<void>,
  reason?: string,
): void {
  testUnless(reason, {
    name: `the self-extracting executable ${name}`,
    async fn(): Promise<void> {
      await using folder = await TempFolder.make();
      await run(folder.path);
    },
  });
}

test("unpacks once, for its user alone, started twice at once too", async (folder) => {
  const cache = `${folder}/deep/cache`;
  const env = { STAPS_CACHE: cache };
  await Promise.all([1, 2, 3].map(() => unpacks({ env })));
  const program = `${await unpacked(cache)}/staps`;
  assert.equal((await Deno.stat(cache)).mode! & 0o777, 0o700);
  const { ino } = await Deno.stat(program);
  await unpacks({ env });
  assert.equal((await Deno.stat(program)).ino, ino);
});

test("tells what it is, and carries the licences of what is in it", async () => {
  const options = { executable: staps, env: { STAPS_CACHE: usualCache } };
  assert.deepEqual(await run(options), {
    code: 0,
    stdout: `staps ${version} (self-extracting, deno ${Deno.version.deno})\n`,
    stderr: "",
  });
  const { code, stdout } = await run({ ...options, arg: "--license" });
  assert.equal(code, 0);
  assert.ok(stdout.includes(await Deno.readTextFile(`${repository}/LICENSE`)));
  const licences = [
    /^amqplib@[^]*^Copyright \(c\) 2013, 2014 /m,
    /^commander@[^]*^Copyright \(c\) 2011 /m,
    /^js-ini@[^]*^Copyright \(c\) 2018 /m,
    /^ws@[^]*^Copyright \(c\) 2011 /m,
    /^Deno \d[^]*^Copyright 2018-\d+ the Deno authors$/m,
    /^V8, [^]*^Copyright 2014, the V8 project authors\./m,
  ];
  for (const words of licences) assert.match(stdout, words);
});

/** Gets what a process does with SIGHUP (proc_pid_status(5)). */
async function hangUpOf(pid: number): Promise<"ends" | "ignores" | "listens"> {
  const text = await Deno.readTextFile(`/proc/${pid}/status`);
  const isIn = (mask: string): boolean => {
    const digits = text.match(new RegExp(`^${mask}:\\t(\\w+)$`, "m"))![1];
    return (BigInt(`0x${digits}`) & 1n) !== 0n;
  };
  return isIn("SigIgn") ? "ignores" : isIn("SigCgt") ? "listens" : "ends";
}

test("is listed as staps, and as a server outlives SIGHUP from its first moment on", async (folder) => {
  await using process = new Process(staps, [`--socket=${folder}/s`], {
    env: { STAPS_CACHE: usualCache, HOME: folder },
  });
  await eventually(
    async () => await hangUpOf(process.pid) === "ignores",
    "the shell's first line",
  );
  // For a moment the runtime can't help it, see outliveSignals().
  while (await hangUpOf(process.pid) === "ignores") {
    process.signal("SIGHUP");
    await sleep(5);
  }
  await process.printed(/listening on/);
  process.signal("SIGHUP");
  assert.equal(await Deno.readTextFile(`/proc/${process.pid}/comm`), "staps\n");
  assert.equal((await process.stop()).code, 0);
});

test("replaces what somebody has changed", async (folder) => {
  const env = { STAPS_CACHE: `${folder}/cache` };
  await unpacks({ env });
  const program = `${await unpacked(env.STAPS_CACHE)}/staps.js`;
  const original = await Deno.readTextFile(program);
  const { mtime } = await Deno.stat(program);
  const changes = [
    original.replace("staps", "STAPS"), // as long as before
    original.slice(0, -1),
    "",
  ];
  for (const changed of changes) {
    await Deno.chmod(program, 0o600);
    await Deno.writeTextFile(program, changed);
    await Deno.utime(program, mtime!, mtime!);
    await unpacks({ env });
    assert.equal(await Deno.readTextFile(program), original);
  }
  // Touched only: the same file stays.
  await Deno.chmod(program, 0o600);
  const { ino } = await Deno.stat(program);
  await unpacks({ env });
  assert.equal((await Deno.stat(program)).ino, ino);
  // Incomplete, as after a power cut.
  await Deno.remove(program.replace("staps.js", "staps"));
  await unpacks({ env });
});

test("refuses a folder that others may write to", async (folder) => {
  const at = (name: string): string => `${folder}/${name}`;
  await Deno.mkdir(at("open"));
  await Deno.chmod(at("open"), 0o777);
  await Deno.mkdir(at("target"), { mode: 0o700 });
  await Deno.symlink(at("target"), at("link"));
  const cases = {
    [at("open")]: "belongs to somebody else, or others may write to it",
    [at("link")]: "belongs to somebody else, or others may write to it",
    [at("open/below")]: "others may write to the folder above",
    "relative": "expected a path that begins with /",
    "/proc/staps": "can't be made",
  };
  for (const [STAPS_CACHE, reason] of Object.entries(cases)) {
    assert.deepEqual(await run({ env: { STAPS_CACHE } }), {
      code: 1,
      stdout: "",
      stderr: "staps: error: Cannot unpack: no folder can be used\n" +
        `staps: hint: ${STAPS_CACHE}: ${reason}\n` +
        "staps: hint: set STAPS_CACHE to a folder of yours, which may be missing yet\n",
    });
  }
});

test(
  "doesn't run what another user has put in its place",
  async (folder) => {
    const home = `${folder}/home`;
    await Deno.mkdir(home);
    await Deno.chown(home, 33, 33);
    const options = { env: { HOME: home, TMPDIR: folder }, through };
    await unpacks(options);
    // The other user's own folder, with a good seal, in our place.
    await runProgram("chown", ["-R", "1:1", `${home}/.cache/staps`]);
    await gives(
      /belongs to somebody else[^]*staps-33: can't be made/,
      options,
    );
  },
  needsRoot,
);

/** Runs a script in which /var/cache is empty: nobody has unpacked yet. */
function withOwnCache(script: string): Promise<Outcome> {
  return runProgram("unshare", [
    ...["--mount", "--propagation", "private", "sh", "-ec"],
    `mount -t tmpfs tmpfs /var/cache
     mkdir -m 1777 /var/cache/tmp
     export TMPDIR=/var/cache/tmp
     ${script}`,
  ], { clearEnv: true, env: { PATH: "/usr/bin:/bin" } });
}

const noMounts = needsRoot ??
  ((await withOwnCache("")).code === 0
    ? undefined
    : "mounting isn't allowed here");

test(
  "shares what root has unpacked with all users, and nobody else's",
  async () => {
    const other = through.join(" ");
    const outcome = await withOwnCache(`
      ${other} ${small} --version
      ls $TMPDIR
      rm -rf $TMPDIR/*
      ${small} --version
      stat -c '%A %u' /var/cache/staps-program
      ${other} ${small} --version
      ls $TMPDIR
      chown -R 34 /var/cache/staps-program
      ${other} ${small} --version
      ls $TMPDIR
    `);
    const shared = `${label}drwxr-xr-x 0\n${label}`;
    const own = `${label}staps-33\n`;
    const stdout = own + shared + own;
    assert.deepEqual(outcome, { code: 0, stdout, stderr: "" });
  },
  noMounts,
);

test("works without a home folder", async (folder) => {
  await Deno.chmod(folder, 0o1777);
  await unpacks({ env: { TMPDIR: folder }, through });
  await unpacked(`${folder}/staps-33`);
}, needsRoot);

test("says that a folder is noexec", async () => {
  const { code, stderr } = await withOwnCache(`
    mount -t tmpfs -o noexec,mode=755 tmpfs /var/cache/tmp
    STAPS_CACHE=/var/cache/tmp/cache ${small} --version
  `);
  assert.equal(code, 1);
  assert.match(stderr, /cache: programs can't be run there \(noexec\)/);
}, noMounts);

test("says that it is damaged", async (folder) => {
  const executable = `${folder}/staps`;
  const cache = `${folder}/cache`;
  const bytes = await Deno.readFile(small);
  const most = bytes.subarray(0, bytes.length - 1000);
  await Deno.writeFile(executable, most, { mode: 0o755 });
  await gives(/is damaged/, { executable, env: { STAPS_CACHE: cache } });
  assert.deepEqual(await Array.fromAsync(Deno.readDir(cache)), []);
});

for (
  const [name, executable, reason] of [
    ["the self-extracting executable", staps, undefined],
    [
      "what deno compile makes",
      compiled,
      buildKind === "deno compile" ? undefined : obstacles[0],
    ],
  ] as const
) {
  testUnless(reason, {
    name: `${name} is staps: it serves, reports and ends as the source does`,
    async fn(): Promise<void> {
      await using folder = await TempFolder.make();
      const options = {
        clearEnv: true,
        env: { PATH: "/usr/bin:/bin", STAPS_CACHE: usualCache },
      };
      const config = `${folder.path}/staps.conf`;
      const socket = `${folder.path}/staps.sock`;
      await Deno.writeTextFile(config, "[limits]\nclients = 3\n");
      const args = ["--config", config, "--socket", socket];
      await using server = new Process(executable, args, options);
      await server.printed(/listening on .*staps\.sock/);
      await using clients = new Clients(socket);
      const client = await clients.join("/x");
      assert.equal((await server.stop()).code, 0);
      assert.equal((await client.closed).code, 1001);
      await assert.rejects(Deno.lstat(socket), Deno.errors.NotFound);

      await Deno.writeTextFile(config, "[limits]\nclients = 0\n");
      const wrong = await runProgram(executable, args, options);
      assert.equal(wrong.code, 78);
      assert.match(wrong.stderr, /^staps: error: Cannot read "clients" in /m);
      const usage = await runProgram(executable, ["--nonsense"], options);
      assert.equal(usage.code, 2);
    },
  });
}

Deno.test("deno task start has the permissions that are compiled in, or more", () => {
  const { command } = denoJson.tasks.start;
  const flags = command.split(" ");
  for (const permission of permissions) {
    const name = permission.replace(/=(?!\/).*/, "");
    if (name === "--no-prompt") continue;
    assert.ok(
      flags.some((flag) => flag.startsWith(name)),
      `${name}: ${command}`,
    );
  }
});
