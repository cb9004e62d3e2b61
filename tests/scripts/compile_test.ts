/** The one executable: how it unpacks, what it distrusts, and that it is staps. */
import assert from "node:assert/strict";
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

/** The folder that the executable has unpacked into, below `cache`. */
async function unpacked(cache: string): Promise<string> {
  const names = await Array.fromAsync(Deno.readDir(cache), ({ name }) => name);
  assert.equal(names.length, 1, `only one folder in ${names}`);
  return `${cache}/${names[0]}`;
}

Deno.test("the self-extracting executable unpacks once, for its user alone", async () => {
  await using folder = await TempFolder.make();
  const cache = `${folder.path}/deep/cache`;
  const env = { STAPS_CACHE: cache };
  await unpacks({ env });
  const content = await unpacked(cache);
  assert.equal((await Deno.stat(cache)).mode! & 0o777, 0o700);
  const { ino } = await Deno.stat(`${content}/staps`);
  await unpacks({ env });
  assert.equal((await Deno.stat(`${content}/staps`)).ino, ino);
});

Deno.test("the self-extracting executable tells what it is, and carries the licences of what is in it", async () => {
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

Deno.test("a server in the self-extracting executable is listed as staps, and outlives SIGHUP from its first moment on", async () => {
  await using folder = await TempFolder.make();
  await using process = new Process(staps, [
    `--socket=${folder.path}/s`,
  ], { env: { STAPS_CACHE: usualCache, HOME: folder.path } });
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

Deno.test("the self-extracting executable replaces what somebody has changed", async () => {
  await using folder = await TempFolder.make();
  const env = { STAPS_CACHE: `${folder.path}/cache` };
  await unpacks({ env });
  const program = `${await unpacked(env.STAPS_CACHE)}/staps.js`;
  const original = await Deno.readTextFile(program);
  const { mtime } = await Deno.stat(program);
  await Deno.chmod(program, 0o600);
  const changes = [
    original.replace("staps", "STAPS"), // as long as before
    original.slice(0, -1),
    "",
  ];
  for (const changed of changes) {
    await Deno.writeTextFile(program, changed);
    await Deno.utime(program, mtime!, mtime!);
    await unpacks({ env });
    assert.equal(await Deno.readTextFile(program), original);
    await Deno.chmod(program, 0o600);
  }
  // Touched only: the same file stays.
  const { ino } = await Deno.stat(program);
  await unpacks({ env });
  assert.equal((await Deno.stat(program)).ino, ino);
  // Incomplete, as after a power cut.
  await Deno.remove(program.replace("staps.js", "staps"));
  await unpacks({ env });
});

Deno.test("the self-extracting executable may be started twice at once", async () => {
  await using folder = await TempFolder.make();
  const env = { STAPS_CACHE: `${folder.path}/cache` };
  await Promise.all([1, 2, 3].map(() => unpacks({ env })));
  await unpacked(env.STAPS_CACHE);
});

Deno.test("the self-extracting executable refuses a folder that others may write to", async () => {
  await using folder = await TempFolder.make();
  const open = `${folder.path}/open`;
  await Deno.mkdir(open);
  await Deno.chmod(open, 0o777);
  const link = `${folder.path}/link`;
  const target = `${folder.path}/target`;
  await Deno.mkdir(target, { mode: 0o700 });
  await Deno.symlink(target, link);
  const cases = [
    [open, "belongs to somebody else, or others may write to it"],
    [link, "belongs to somebody else, or others may write to it"],
    [`${open}/below`, "others may write to the folder above"],
    ["relative", "expected a path that begins with /"],
    ["/proc/staps", "can't be made"],
  ];
  for (const [cache, reason] of cases) {
    const { code, stderr } = await run({
      env: { STAPS_CACHE: cache! },
    });
    assert.equal(code, 1);
    assert.equal(
      stderr,
      "staps: error: Cannot unpack: no folder can be used\n" +
        `staps: hint: ${cache}: ${reason}\n` +
        "staps: hint: set STAPS_CACHE to a folder of yours, which may be missing yet\n",
    );
  }
});

testUnless(needsRoot, {
  name:
    "the self-extracting executable doesn't run what another user has put in its place",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const home = `${folder.path}/home`;
    const cache = `${home}/.cache/staps`;
    await Deno.mkdir(home);
    await Deno.chown(home, 33, 33);
    const env = { HOME: home, TMPDIR: folder.path };
    await unpacks({ env, through });
    // The other user's own folder, with a good seal, in our place.
    await runProgram("chown", ["-R", "1:1", cache]);
    const { code, stderr } = await run({ env, through });
    assert.equal(code, 1);
    assert.match(stderr, /belongs to somebody else/);
    assert.match(stderr, /staps-33: can't be made/);
  },
});

/** A /var/cache of its own, in which nobody has unpacked yet. */
const ownCache = `
  mount -t tmpfs tmpfs /var/cache
  mkdir -m 1777 /var/cache/tmp
  export TMPDIR=/var/cache/tmp
`;
const mounted = needsRoot ?? await runProgram("unshare", [
  ...["--mount", "--propagation", "private", "sh", "-ec", ownCache],
]);
const noMount = typeof mounted === "string"
  ? mounted
  : mounted.code === 0
  ? undefined
  : "mounting isn't allowed here";

testUnless(noMount, {
  name:
    "the self-extracting executable shares what root has unpacked with all users, and nobody else's",
  async fn(): Promise<void> {
    const other = through.join(" ");
    const script = `${ownCache}
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
    `;
    const { code, stdout, stderr } = await runProgram("unshare", [
      ...["--mount", "--propagation", "private", "sh", "-ec", script],
    ], { clearEnv: true, env: { PATH: "/usr/bin:/bin" } });
    assert.equal(code, 0, stderr);
    const shared = `${label}drwxr-xr-x 0\n${label}`;
    const own = `${label}staps-33\n`;
    assert.equal(stdout, own + shared + own);
    assert.equal(stderr, "");
  },
});

testUnless(needsRoot, {
  name: "the self-extracting executable works without a home folder",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    await Deno.chmod(folder.path, 0o1777);
    const env = { TMPDIR: folder.path };
    await unpacks({ env, through });
    await unpacked(`${folder.path}/staps-33`);
  },
});

testUnless(needsRoot, {
  name: "the self-extracting executable says that a folder is noexec",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const mounted = await runProgram("mount", [
      ...["-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", folder.path],
    ]);
    // In a container that may not mount there is nothing to see.
    if (mounted.code !== 0) return;
    try {
      const { code, stderr } = await run({
        env: { STAPS_CACHE: `${folder.path}/cache` },
      });
      assert.equal(code, 1);
      assert.match(stderr, /cache: programs can't be run there \(noexec\)/);
    } finally {
      await runProgram("umount", [folder.path]);
    }
  },
});

Deno.test("the self-extracting executable says that it is damaged", async () => {
  await using folder = await TempFolder.make();
  const damaged = `${folder.path}/staps`;
  const bytes = await Deno.readFile(small);
  await Deno.writeFile(damaged, bytes.subarray(0, bytes.length - 1000), {
    mode: 0o755,
  });
  const { code, stderr } = await runProgram(damaged, ["--version"], {
    env: { STAPS_CACHE: `${folder.path}/cache` },
  });
  assert.equal(code, 1);
  assert.match(stderr, /is damaged/);
  assert.deepEqual(
    await Array.fromAsync(Deno.readDir(`${folder.path}/cache`)),
    [],
  );
});

const cases = [
  ["the self-extracting executable", staps, undefined],
  [
    "what deno compile makes",
    compiled,
    buildKind === "deno compile" ? undefined : obstacles[0],
  ],
] as const;
for (const [name, executable, reason] of cases) {
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
      const client = Deno.createHttpClient({
        proxy: { transport: "unix", path: socket },
      });
      const opened = new WebSocket(`ws://localhost/${crypto.randomUUID()}`, {
        client,
      } as unknown as string[]);
      await new Promise((resolve) => opened.onopen = resolve);
      const closed = new Promise<CloseEvent>((resolve) =>
        opened.onclose = resolve
      );
      assert.equal((await server.stop()).code, 0);
      assert.equal((await closed).code, 1001);
      client.close();
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

Deno.test("deno task start has the permissions that are compiled in, or more", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(`${repository}/deno.json`),
  );
  const flags = tasks.start.command.split(" ");
  for (const permission of permissions) {
    const name = permission.replace(/=(?!\/).*/, "");
    if (name === "--no-prompt") continue;
    assert.ok(
      flags.some((flag: string) => flag.startsWith(name)),
      `${name} in ${tasks.start.command}`,
    );
  }
});
