/** The README's two commands, as a stranger meets them: a fresh clone, and nothing in any cache. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { exists, TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import {
  Process,
  repository,
  runOrThrow,
  runProgram,
} from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

/** Downloading Deno and the dependencies may take this long, in milliseconds. */
const timeoutMs = 5 * 60 * 1000;

/** The URL that the program prints. */
const printedUrl = /(ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]{36})\n/g;

/** Gets the environment of somebody who has never run staps, Deno or npx. */
async function strangersEnvironment(
  home: string,
): Promise<Record<string, string>> {
  const old = Deno.env.toObject();
  const kept = Object.entries(old).filter(([name]) =>
    !/^(DENO_|XDG_|INIT_CWD|npm_(lifecycle|package|config_cache))/.test(name)
  );
  // Which registry and proxy to use is a matter of the machine.
  await Deno.copyFile(`${old.HOME}/.npmrc`, `${home}/.npmrc`).catch(() => {});
  return {
    ...Object.fromEntries(kept),
    ...{ HOME: home, NO_COLOR: "1" },
    // Git doesn't trust a repository of somebody else's.
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: "safe.directory",
    GIT_CONFIG_VALUE_0: "*",
  };
}

const isRepository = await exists(`${repository}/.git`);

testUnless(
  isRepository ? undefined : "this folder is no git repository to clone",
  {
    name: "the README's two commands work in a fresh clone with empty caches",
    async fn(): Promise<void> {
      await ensurePackages(["git"]);
      await using folder = await TempFolder.make();
      const env = await strangersEnvironment(folder.path);
      const clone = `${folder.path}/staps`;
      const git = ["clone", "--quiet", repository, clone];
      await runOrThrow("git", git, { env });
      const options = { cwd: clone, env, clearEnv: true, detached: true };

      {
        const command = await block("README.md", "dev");
        await using dev = new Process("sh", ["-c", command], options);
        const [, url] = await dev.printed(new RegExp(printedUrl, ""), {
          timeoutMs,
        });
        const { origin, pathname } = new URL(url!);
        await using clients = new Clients(origin);
        const [a, b] = await clients.joinMany(pathname, 2);
        await converse(a!, b!);
        await using onSocket = new Clients(`${clone}/.dev/staps.sock`);
        const other = await onSocket.join("/both");
        await converse(await clients.join("/both"), other);

        // A change of the source starts it anew, with a fresh URL.
        const source = `${clone}/src/common/version.ts`;
        const old = await Deno.readTextFile(source);
        await Deno.writeTextFile(source, `${old}\n// A change\n`);
        await eventually(
          () => dev.stdout.match(printedUrl)?.length === 2,
          () => `a second URL:\n${dev.output}`,
        );
        await Deno.writeTextFile(source, old);
      }

      // The whole run would begin with this test. What CI runs is the README's
      // second command, with a part of a path behind it.
      const command = await block("README.md", "test");
      for (const test of [command.trim(), ".ci/run"]) {
        const args = ["-c", `${test} message_test`];
        const ran = await runProgram("sh", args, { ...options, timeoutMs });
        const output = ran.stdout + ran.stderr;
        assert.match(ran.stdout, /\n[1-9]\d* passed, 0 failed\n$/, output);
        assert.equal(ran.code, 0);
      }

      const status = ["-C", clone, "status", "--porcelain"];
      const left = await runProgram("git", status, { env });
      assert.deepEqual(left, { code: 0, stdout: "", stderr: "" });
    },
  },
);
