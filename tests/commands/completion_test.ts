import assert from "node:assert/strict";
import { commandTree } from "../../src/commands/cli.ts";
import { completionScript, shells } from "../../src/commands/completion.ts";

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
