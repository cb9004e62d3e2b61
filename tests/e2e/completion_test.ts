/** Completions as docs/commands.md installs them, asked of the real shells. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { commandTree } from "../../src/commands/cli.ts";
import { type Shell, shells } from "../../src/commands/completion.ts";
import { block } from "../helpers/docs.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { runOrThrow, runProgram } from "../../tools/process.ts";
import { Shells } from "../helpers/shells.ts";

/** Where `staps` is, and, instead of in /, what the page installs. */
let installed: Shells;

Deno.test.beforeAll(async () => {
  await ensurePackages(["fish", "zsh"]);
  installed = await Shells.make();
  const { path } = installed.folder;
  const code = (await block("docs/commands.md", "install"))
    .replaceAll("> /", `> ${path}/`);
  for (const [, file] of code.matchAll(/> (\S+)/g)) {
    await Deno.mkdir(dirname(file!), { recursive: true });
  }
  await runOrThrow(...installed.command(code));
  await Deno.writeTextFile(`${path}/some.conf`, "");
});
Deno.test.afterAll(() => installed[Symbol.asyncDispose]());

/** Asks a shell for what can follow the command line `line`, which should be `words`. */
type Ask = (
  line: string,
  options: { folder: string; words: readonly string[] },
) => readonly string[];

const ask: Record<Shell, Ask> = {
  bash: (line, { folder }) => {
    const words = line.split(" ").map((word) => `'${word}'`);
    return [
      "-c",
      `source ${folder}/etc/bash_completion.d/staps
       COMP_WORDS=(${words.join(" ")})
       COMP_CWORD=${words.length - 1}
       _staps
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    ];
  },
  // zsh completes only for a person: a pseudo-terminal plays one. There is no
  // sign that a list is complete, so it reads until all is there, or 20 s.
  zsh: (line, { folder, words }) => [
    "-f",
    "-c",
    `zmodload zsh/zpty
     zpty shell zsh -f -i
     local text= chunk=
     read_until() {
       repeat 1000 {
         while zpty -r -t shell chunk; do text+=$chunk; done
         local missing=
         for word; do [[ $text == *$word* ]] || missing=1; done
         [[ -z $missing ]] && return
         sleep 0.02
       }
     }
     zpty -w shell 'fpath=(${folder}/usr/local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -d ${folder}/dump; bindkey "^I" list-choices; stty cols 200 rows 200; PS1="READ""Y "'
     read_until READY
     text=
     zpty -w -n shell $'${line}\t'
     read_until ${words.map((word) => `'${word}'`).join(" ")}
     zpty -d shell
     print -r -- $text`,
  ],
  fish: (line, { folder }) => [
    "--no-config",
    "-c",
    `source ${folder}/etc/fish/completions/staps.fish; complete -C '${line}'`,
  ],
};

for (const shell of shells) {
  Deno.test(`${shell} completes commands, options and words`, async () => {
    const folder = installed.folder.path;
    const completes = async (
      line: string,
      words: readonly string[],
    ): Promise<void> => {
      const { stdout, stderr } = await runProgram(
        shell,
        ask[shell](line, { folder, words }),
        { cwd: folder, env: { TERM: "dumb", HOME: folder } },
      );
      assert.equal(stderr, "", line);
      for (const word of words) {
        assert.ok(stdout.includes(word), `${line}: ${word} in ${stdout}`);
      }
    };
    await completes("staps ", commandTree().map(({ name }) => name));
    for (const { name, options } of commandTree()) {
      await completes(`staps ${name} --`, options.map(({ long }) => long));
    }
    // Options without a command are those of serve.
    await completes("staps --", ["--listen"]);
    await completes("staps completion ", shells);
    await completes("staps check --config so", ["some.conf"]);
    await completes("staps check --user roo", ["root"]);
  });
}
