import assert from "node:assert/strict";
import { commandTree } from "../../src/commands/cli.ts";
import { completion, shells } from "../../src/commands/completion.ts";
import { commandContext } from "../helpers/command_line.ts";

for (const shell of shells) {
  Deno.test(`completion.run() prints each command and each long option for ${shell}`, async () => {
    const context = commandContext();
    assert.equal(await completion(commandTree).run({ shell }, context), 0);
    const script = context.printed;
    for (const { name, options } of commandTree()) {
      assert.match(script, new RegExp(`\\b${name}\\b`));
      for (const { long } of options) {
        const written = shell === "fish" ? `-l ${long.slice(2)}` : long;
        assert.ok(script.includes(written), `${name} ${long}`);
      }
    }
  });
}
