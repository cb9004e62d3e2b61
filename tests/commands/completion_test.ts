import assert from "node:assert/strict";
import { commandTree } from "../../src/commands/cli.ts";
import {
  completion,
  completionScript,
  shells,
} from "../../src/commands/completion.ts";
import { commandContext } from "../helpers/command_line.ts";

for (const shell of shells) {
  Deno.test(`completionScript() has each command and each long option for ${shell}`, () => {
    const tree = commandTree();
    const script = completionScript(shell, tree);
    for (const { name, options } of tree) {
      assert.match(script, new RegExp(`\\b${name}\\b`));
      for (const { long } of options) {
        const written = shell === "fish" ? `-l ${long.slice(2)}` : long;
        assert.ok(script.includes(written), `${name} ${long}`);
      }
    }
  });
}

Deno.test("completion.run() prints the script", async () => {
  const context = commandContext();
  assert.equal(
    await completion(commandTree).run({ shell: "zsh" }, context),
    0,
  );
  assert.equal(context.printed, completionScript("zsh", commandTree()));
});
