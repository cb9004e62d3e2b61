/** Completions, asked of the real shells. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { commandTree } from "../../src/commands/cli.ts";
import {
  completionScript,
  type Shell,
  shells,
} from "../../src/commands/completion.ts";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../../tools/folder.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { runProgram } from "../../tools/process.ts";
import { Shells } from "../helpers/shells.ts";

/** Where each shell's script is in the folder of a test. */
const files: Record<Shell, string> = {
  bash: "staps.bash",
  zsh: "_staps",
  fish: "staps.fish",
};

Deno.test.beforeAll(() => ensurePackages(["fish", "zsh"]));

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
      `source ${folder}/staps.bash
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
     zpty -w shell 'fpath=(${folder} $fpath); autoload -Uz compinit; compinit -u -d ${folder}/dump; bindkey "^I" list-choices; stty cols 200 rows 200; PS1="READ""Y "'
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
    `source ${folder}/staps.fish; complete -C '${line}'`,
  ],
};

for (const shell of shells) {
  Deno.test(`${shell} completes commands, options and words`, async () => {
    await using folder = await TempFolder.make();
    const script = `${folder.path}/${files[shell]}`;
    await Deno.writeTextFile(script, completionScript(shell, commandTree()));
    const completes = async (
      line: string,
      words: readonly string[],
    ): Promise<void> => {
      const { stdout, stderr } = await runProgram(
        shell,
        ask[shell](line, { folder: folder.path, words }),
        { cwd: folder.path, env: { TERM: "dumb", HOME: folder.path } },
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
    await completes(`staps check --config ${files[shell].slice(0, 3)}`, [
      files[shell],
    ]);
    await completes("staps check --user roo", ["root"]);
  });
}

Deno.test("docs/commands.md installs them where the shells look", async () => {
  await using folder = await TempFolder.make();
  await using typing = await Shells.make();
  const code = (await block("docs/commands.md", "install"))
    .replaceAll("> /", `> ${folder.path}/`);
  const files = Array.from(code.matchAll(/> (\S+)/g), ([, file]) => file!);
  for (const file of files) {
    await Deno.mkdir(dirname(file), { recursive: true });
  }
  const { code: status, stderr } = await typing.run(code);
  assert.equal(status, 0, stderr);
  for (const [index, shell] of shells.entries()) {
    assert.equal(
      await Deno.readTextFile(files[index]!),
      completionScript(shell, commandTree()),
    );
  }
});
