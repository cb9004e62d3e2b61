/** The one executable: how it unpacks, what it distrusts, and that it is staps. */
import assert from "node:assert/strict";
import { sleep } from "../../src/common/timing.ts";
import { compile, print, runFlags } from "../../scripts/compile.ts";
import { permissions } from "../../scripts/permissions.ts";
import { version } from "../../src/common/version.ts";
import { eventually } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import { NotifyListener } from "../helpers/notify_listener.ts";
import {
  type Outcome,
  Process,
  repository,
  runProgram,
} from "../helpers/process.ts";
import { testUnless } from "../helpers/skip.ts";

const needsRoot = Deno.uid() === 0 ? undefined : "only root can be two users";
const label = `staps ${version} (self-extracting, deno ${Deno.version.deno})\n`;

/** The executable, made once for all tests. */
const build = await TempFolder.make();
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(build.path, { recursive: true }),
);
const staps = `${build.path}/staps`;
await compile({ output: staps, selfExtracting: true });

/** Whether the other way of building works here. */
const compiled = `${build.path}/compiled`;
const obstacles: string[] = [];
const buildKind = await compile({
  output: compiled,
  fallback: false,
  print: (line) => obstacles.push(line),
});

/** Runs the executable with nothing but `env` in its environment, and only what every system has. */
function run(
  args: readonly string[],
  { env = {}, through = [] }: {
    env?: Record<string, string>;
    through?: readonly string[];
  } = {},
): Promise<Outcome> {
  const [command, ...rest] = [...through, staps, ...args];
  return runProgram(command!, rest, {
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", ...env },
    cwd: "/",
  });
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
  assert.deepEqual(await run(["--version"], { env }), {
    code: 0,
    stdout: label,
    stderr: "",
  });
  const content = await unpacked(cache);
  assert.equal((await Deno.stat(cache)).mode! & 0o777, 0o700);
  const { ino } = await Deno.stat(`${content}/staps`);
  assert.equal((await run(["--version"], { env })).stdout, label);
  assert.equal((await Deno.stat(`${content}/staps`)).ino, ino);
});

Deno.test("the self-extracting executable carries the licences of what is in it", async () => {
  await using folder = await TempFolder.make();
  const { code, stdout } = await run(["--license"], {
    env: { STAPS_CACHE: `${folder.path}/cache` },
  });
  assert.equal(code, 0);
  assert.ok(stdout.includes(await Deno.readTextFile(`${repository}/LICENSE`)));
  for (
    const words of [
      /^amqplib@[^]*^Copyright \(c\) 2013, 2014 /m,
      /^commander@[^]*^Copyright \(c\) 2011 /m,
      /^js-ini@[^]*^Copyright \(c\) 2018 /m,
      /^ws@[^]*^Copyright \(c\) 2011 /m,
      /^Deno \d[^]*^Copyright 2018-\d+ the Deno authors$/m,
      /^V8, [^]*^Copyright 2014, the V8 project authors\./m,
    ]
  ) assert.match(stdout, words);
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
  ], { env: { STAPS_CACHE: `${folder.path}/cache`, HOME: folder.path } });
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
  await run(["--version"], { env });
  const program = `${await unpacked(env.STAPS_CACHE)}/staps.js`;
  const original = await Deno.readTextFile(program);
  const { mtime } = await Deno.stat(program);
  await Deno.chmod(program, 0o600);
  for (
    const changed of [
      original.replace("staps", "STAPS"), // as long as before
      original.slice(0, -1),
      "",
    ]
  ) {
    await Deno.writeTextFile(program, changed);
    await Deno.utime(program, mtime!, mtime!);
    assert.equal((await run(["--version"], { env })).stdout, label);
    assert.equal(await Deno.readTextFile(program), original);
    await Deno.chmod(program, 0o600);
  }
  // Touched only: the same file stays.
  const { ino } = await Deno.stat(program);
  assert.equal((await run(["--version"], { env })).stdout, label);
  assert.equal((await Deno.stat(program)).ino, ino);
  // Incomplete, as after a power cut.
  await Deno.remove(program.replace("staps.js", "staps"));
  assert.equal((await run(["--version"], { env })).stdout, label);
});

Deno.test("the self-extracting executable may be started twice at once", async () => {
  await using folder = await TempFolder.make();
  const env = { STAPS_CACHE: `${folder.path}/cache` };
  const outcomes = await Promise.all(
    [1, 2, 3].map(() => run(["--version"], { env })),
  );
  for (const outcome of outcomes) assert.equal(outcome.stdout, label);
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
  for (
    const [cache, reason] of [
      [open, "belongs to somebody else, or others may write to it"],
      [link, "belongs to somebody else, or others may write to it"],
      [`${open}/below`, "others may write to the folder above"],
      ["relative", "expected a path that begins with /"],
      ["/proc/staps", "can't be made"],
    ]
  ) {
    const { code, stderr } = await run(["--version"], {
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
    const through = ["setpriv", "--reuid=33", "--regid=33", "--clear-groups"];
    const env = { HOME: home, TMPDIR: folder.path };
    assert.equal((await run(["--version"], { env, through })).stdout, label);
    // The other user's own folder, with a good seal, in our place.
    await runProgram("chown", ["-R", "1:1", cache]);
    const { code, stderr } = await run(["--version"], { env, through });
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
    const other = "setpriv --reuid=33 --regid=33 --clear-groups";
    const script = `${ownCache}
      ${other} ${staps} --version
      ls $TMPDIR
      rm -rf $TMPDIR/*
      ${staps} --version
      stat -c '%A %u' /var/cache/staps-program
      ${other} ${staps} --version
      ls $TMPDIR
      chown -R 34 /var/cache/staps-program
      ${other} ${staps} --version
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
    const through = ["setpriv", "--reuid=33", "--regid=33", "--clear-groups"];
    const env = { TMPDIR: folder.path };
    assert.equal((await run(["--version"], { env, through })).stdout, label);
    await unpacked(`${folder.path}/staps-33`);
  },
});

testUnless(needsRoot, {
  name: "the self-extracting executable says that a folder is noexec",
  async fn(): Promise<void> {
    await using folder = await TempFolder.make();
    const mounted = await runProgram("mount", [
      "-t",
      "tmpfs",
      "-o",
      "noexec,mode=755",
      "tmpfs",
      folder.path,
    ]);
    // In a container that may not mount there is nothing to see.
    if (mounted.code !== 0) return;
    try {
      const { code, stderr } = await run(["--version"], {
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
  const bytes = await Deno.readFile(staps);
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
        env: { PATH: "/usr/bin:/bin", STAPS_CACHE: `${folder.path}/cache` },
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

Deno.test("the time from exec to READY=1 is printed, beside that of a bare Deno.serve", async () => {
  await using folder = await TempFolder.make();
  const bare = `${folder.path}/bare.js`;
  await Deno.writeTextFile(
    bare,
    `Deno.serve({ path: Deno.args[0], onListen() {} }, () => new Response());
     const own = Deno.args[0] + ".own";
     const socket = Deno.listenDatagram({ transport: "unixpacket", path: own });
     const path = Deno.env.get("NOTIFY_SOCKET");
     await socket.send(new TextEncoder().encode("READY=1"), { transport: "unixpacket", path });`,
  );
  const config = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(config, "");
  const cache = `${folder.path}/cache`;
  const start = async (command: readonly string[]): Promise<number> => {
    await using own = await TempFolder.make();
    await using listener = new NotifyListener();
    const [program, ...args] = command.map((arg) =>
      arg.replace("SOCKET", `${own.path}/s`)
    );
    const beginMs = performance.now();
    await using child = new Process(program!, args, {
      env: {
        NOTIFY_SOCKET: listener.path,
        STAPS_CACHE: cache,
        DENO_DIR: `${folder.path}/deno`,
      },
    });
    while (!(await listener.next()).startsWith("READY=1"));
    const ms = performance.now() - beginMs;
    // In good order, so that the runtime keeps what it has compiled.
    await child.stop();
    return ms;
  };
  const serve = ["serve", "--config", config, "--socket", "SOCKET"];
  const commands = {
    "a bare Deno.serve": [
      ...[Deno.execPath(), ...runFlags],
      // For the runtime's own datagrams.
      ...["--unstable-net", bare, "SOCKET"],
    ],
    "staps, self-extracting": [staps, ...serve],
    ...buildKind === "deno compile"
      ? { "staps, deno compile": [compiled, ...serve] }
      : {},
  };
  // In turns, so that what else the machine does hits all alike. The first
  // round unpacks and fills caches.
  const timesMs: Record<string, number[]> = {};
  for (let round = 0; round < 8; round++) {
    for (const [name, command] of Object.entries(commands)) {
      const ms = await start(command);
      if (round > 0) (timesMs[name] ??= []).push(ms);
    }
  }
  const medians = Object.entries(timesMs).map(([name, values]) =>
    [name, values.toSorted((a, b) => a - b)[3]!] as const
  );
  const base = medians[0]![1];
  for (const [name, ms] of medians) {
    print(
      `exec to READY=1, median of 7: ${ms.toFixed(0)} ms, ${
        (ms / base).toFixed(2)
      } x: ${name}`,
    );
  }
});
