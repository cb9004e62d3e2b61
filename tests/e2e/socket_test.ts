/** The real process's socket file: who gets it, who doesn't, and with what permissions. */
import assert from "node:assert/strict";
import { ensurePackages } from "../helpers/packages.ts";
import {
  type Outcome,
  spawnStaps,
  type Staps,
  type StapsOptions,
  startStaps,
} from "../helpers/process.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { eventually, within } from "../helpers/eventually.ts";
import { Clients, converse } from "../helpers/ws_client.ts";
import { TempFolder } from "../helpers/folder.ts";

/** Starts staps where it must fail, and gets how it did. */
async function fail(options: StapsOptions): Promise<Outcome> {
  await using staps = await spawnStaps(options);
  const { code } = await within(staps.status, "staps to give up");
  assert.doesNotMatch(staps.stderr, /\n\s+at /);
  return { code, stdout: staps.stdout, stderr: staps.stderr };
}

async function assertWorks(staps: Staps, socket: string): Promise<void> {
  await using clients = new Clients(socket);
  const [a, b] = await clients.joinMany(newPath(), 2);
  await converse(a!, b!);
  assert.ok(!staps.ended);
}

for (const mode of ["0660", "0600", "0666", "0622"]) {
  Deno.test(`the socket is never more open than mode = ${mode}, even for an instant`, async () => {
    await ensurePackages(["strace"]);
    await using folder = await TempFolder.make();
    const trace = `${folder.path}/trace`;
    await using staps = await startStaps({
      config: `[staps]\nmode = ${mode}\n`,
      // A careless umask, as some shells have it.
      through: [
        ...["sh", "-c", 'umask 0; exec "$@"', "sh"],
        // The tracer in the background, so that signals go to staps.
        ...[
          "strace",
          "-D",
          "--follow-forks",
          "--seccomp-bpf",
          `--output=${trace}`,
        ],
        "--trace=bind,umask,chmod,fchmod,fchmodat,rename,renameat,renameat2,link,linkat",
      ],
    });
    const allowed = parseInt(mode, 8);
    const { mode: actual } = await Deno.stat(staps.socket);
    assert.equal(actual! & 0o777, allowed);
    await assertWorks(staps, staps.socket);
    await staps.stop();
    const lines = await eventually(async () => {
      const text = await Deno.readTextFile(trace);
      return new RegExp(`^${staps.pid} +\\+\\+\\+ exited`, "m").test(text)
        ? text.split("\n")
        : undefined;
    }, "the end of the trace");

    let umask = 0;
    let seen = 0;
    for (const line of lines) {
      umask = parseInt(
        / umask\((0\d*)\)/.exec(line)?.[1] ?? umask.toString(8),
        8,
      );
      if (/ bind\(.*AF_UNIX.*staps\.sock/.test(line)) {
        // unix(7): the file is created with all permissions but those in the umask.
        seen++;
        assert.equal(0o777 & ~umask & ~allowed, 0, line);
      } else if (line.includes("staps.sock") || / fchmod\(/.test(line)) {
        const given = parseInt(
          / f?chmod(?:at)?\(.*, (0\d+)/.exec(line)?.[1] ?? "0",
          8,
        );
        assert.equal(given & ~allowed, 0, line);
      }
    }
    assert.equal(seen, 1, "the socket is bound once");
  });
}

Deno.test("a socket that a killed staps left is replaced", async () => {
  await using first = await startStaps();
  await first.stop("SIGKILL");
  assert.ok((await Deno.lstat(first.socket)).isSocket);
  await using second = await startStaps({ args: [`--socket=${first.socket}`] });
  await assertWorks(second, first.socket);
});

Deno.test("a socket on which another staps answers is refused, and goes on", async () => {
  await using first = await startStaps();
  await using clients = new Clients(first.socket);
  const [a, b] = await clients.joinMany(newPath(), 2);
  const { code, stderr } = await fail({ args: [`--socket=${first.socket}`] });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^staps: error: .*staps\.sock": another server answers there$/m,
  );
  await converse(a!, b!);
  await assertWorks(first, first.socket);
});

Deno.test("a file, a folder or a link in the place of the socket is refused, and left alone", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/thing`;
  const things: Record<string, () => Promise<void>> = {
    "file": () => Deno.writeTextFile(path, "precious"),
    "folder": () => Deno.mkdir(path),
    "symbolic link": () => Deno.symlink("/nowhere", path),
  };
  for (const [name, make] of Object.entries(things)) {
    await make();
    const before = await Deno.lstat(path);
    const { code, stderr } = await fail({ args: [`--socket=${path}`] });
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^staps: error: .*thing".*${name}.*, expected a socket`, "m"),
    );
    const after = await Deno.lstat(path);
    assert.deepEqual([after.ino, after.size, after.mtime], [
      before.ino,
      before.size,
      before.mtime,
    ]);
    await Deno.remove(path);
  }
});

Deno.test("a missing folder and missing rights are told apart", async () => {
  await using folder = await TempFolder.make();
  const missing = await fail({
    args: [`--socket=${folder.path}/no/staps.sock`],
  });
  assert.equal(missing.code, 1);
  assert.match(
    missing.stderr,
    /^staps: error: .*no\/staps\.sock": .*(folder|directory).*$/m,
  );

  const nobody = 65534;
  await Deno.chown(folder.path, nobody, nobody);
  const denied = await fail({
    args: [`--socket=${folder.path}/staps.sock`],
    // Root without root's right to write anywhere: the runtime's files, which
    // may lie in root's home, are still there to be read.
    through: [
      "setpriv",
      "--bounding-set=-dac_override",
      "--inh-caps=-dac_override",
    ],
  });
  assert.equal(denied.code, 1);
  assert.match(
    denied.stderr,
    /^staps: error: .*staps\.sock": .*(permission|right|may not|not allowed).*$/mi,
  );
  assert.notEqual(denied.stderr, missing.stderr);
});
