/** The README's two commands, as a stranger meets them: a fresh clone, and nothing in any cache. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { Process, repository, runProgram } from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

/** Downloading Deno and the dependencies may take this long, in milliseconds. */
const downloadTimeoutMs = 5 * 60 * 1000;

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
  return { ...Object.fromEntries(kept), HOME: home, NO_COLOR: "1" };
}

const isRepository = await Deno.stat(`${repository}/.git`).then(
  () => true,
  () => false,
);

testUnless(
  isRepository ? undefined : "this folder is no git repository to clone",
  {
    name: "the README's two commands work in a fresh clone with empty caches",
    async fn(): Promise<void> {
      await ensurePackages(["git"]);
      await using folder = await TempFolder.make();
      const env = {
        ...await strangersEnvironment(folder.path),
        // Git doesn't trust a repository of somebody else's.
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "safe.directory",
        GIT_CONFIG_VALUE_0: "*",
      };
      const clone = `${folder.path}/staps`;
      const git = await runProgram("git", [
        "clone",
        "--quiet",
        repository,
        clone,
      ], { env });
      assert.equal(git.code, 0, git.stderr);
      const options = { cwd: clone, env, clearEnv: true, detached: true };

      {
        await using dev = new Process("sh", [
          "-c",
          await block("README.md", "dev"),
        ], options);
        const [, url] = await dev.printed(
          /(ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]{36})\n/,
          {
            timeoutMs: downloadTimeoutMs,
          },
        );
        const { origin, pathname } = new URL(url!);
        await using clients = new Clients(origin);
        await converse(
          await clients.join(pathname),
          await clients.join(pathname),
        );
        await using onSocket = new Clients(`${clone}/.dev/staps.sock`);
        await converse(
          await clients.join("/both"),
          await onSocket.join("/both"),
        );

        // A change of the source starts it anew, with a fresh URL.
        const source = `${clone}/src/common/version.ts`;
        const old = await Deno.readTextFile(source);
        await Deno.writeTextFile(source, `${old}\n// A change\n`);
        await eventually(
          () =>
            dev.stdout.match(/ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]{36}\n/g)
              ?.length === 2,
          () => `a second URL:\n${dev.output}`,
        );
        await Deno.writeTextFile(source, old);
      }

      // The whole run would begin with this test. What CI runs is the README's
      // second command, with a part of a path behind it.
      const command = await block("README.md", "test");
      for (
        const [program, ...args] of [[
          "sh",
          "-c",
          `${command.trim()} message_test`,
        ], [".ci/run", "message_test"]]
      ) {
        await using test = new Process(program!, args, options);
        const { code } = await within(test.status, "the end of the tests", {
          timeoutMs: downloadTimeoutMs,
        });
        assert.match(
          test.stdout,
          /\n[1-9]\d* passed, 0 failed\n$/,
          test.output,
        );
        assert.equal(code, 0);
      }

      const status = await runProgram("git", [
        "-C",
        clone,
        "status",
        "--porcelain",
      ], { env });
      assert.equal(
        status.stdout,
        "",
        "the commands left something that git doesn't ignore",
      );
    },
  },
);
