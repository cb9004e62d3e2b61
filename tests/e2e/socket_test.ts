/** The real process's socket file: its permissions from the first instant on, and who else may have it. */
import assert from "node:assert/strict";
import { eventually, within } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import {
  spawnStaps,
  type StapsOptions,
  startStaps,
} from "../../tools/process.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

/** Checks that staps can't start, and says why on one line. */
async function assertFails(
  options: StapsOptions,
  expected: RegExp,
): Promise<void> {
  await using staps = await spawnStaps(options);
  const { code } = await within(staps.status, "staps to give up");
  assert.equal(code, 1);
  assert.match(staps.stderr, expected);
  assert.doesNotMatch(staps.stderr, /\n\s+at /);
}

for (const mode of ["0660", "0622"]) {
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
        ...["strace", "-D", "--follow-forks", "--seccomp-bpf"],
        `--output=${trace}`,
        "--trace=bind,umask,chmod,fchmod,fchmodat,rename,renameat,renameat2,link,linkat",
      ],
    });
    const allowed = parseInt(mode, 8);
    const { mode: actual } = await Deno.stat(staps.socket);
    assert.equal(actual! & 0o777, allowed);
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
      const [, set] = / umask\((0\d*)\)/.exec(line) ?? [];
      if (set !== undefined) umask = parseInt(set, 8);
      if (/ bind\(.*AF_UNIX.*staps\.sock/.test(line)) {
        // unix(7): the file is created with all permissions but those in the umask.
        seen++;
        assert.equal(0o777 & ~umask & ~allowed, 0, line);
      } else if (line.includes("staps.sock") || / fchmod\(/.test(line)) {
        const [, given = "0"] = / f?chmod(?:at)?\(.*, (0\d+)/.exec(line) ?? [];
        assert.equal(parseInt(given, 8) & ~allowed, 0, line);
      }
    }
    assert.equal(seen, 1, "the socket is bound once");
  });
}

Deno.test("a socket on which another staps answers is refused, and goes on; one that a killed staps left is replaced", async () => {
  await using first = await startStaps();
  const args = [`--socket=${first.socket}`];
  {
    await using clients = new Clients(first.socket);
    const [a, b] = await clients.joinMany(newPath(), 2);
    await assertFails(
      { args },
      /^staps: error: .*staps\.sock": another server answers there$/m,
    );
    await converse(a!, b!);
  }
  await first.stop("SIGKILL");
  assert.ok((await Deno.lstat(first.socket)).isSocket);
  await using _second = await startStaps({ args });
  await using clients = new Clients(first.socket);
  const [a, b] = await clients.joinMany(newPath(), 2);
  await converse(a!, b!);
});

Deno.test("a folder without the right to write in it is named as that", async () => {
  await using folder = await TempFolder.make();
  const nobody = 65534;
  await Deno.chown(folder.path, nobody, nobody);
  await assertFails(
    {
      args: [`--socket=${folder.path}/staps.sock`],
      // Root without root's right to write anywhere: the runtime's files, which
      // may lie in root's home, are still there to be read.
      through: [
        ...["setpriv", "--bounding-set=-dac_override"],
        "--inh-caps=-dac_override",
      ],
    },
    /^staps: error: .*staps\.sock": .*(permission|right|may not|not allowed).*$/mi,
  );
});
