/** `staps license`: prints the licence texts that go with this program. */
import { writeAll } from "../common/terminal.ts";
import { build } from "../common/version.ts";
import type { Subcommand } from "./subcommand.ts";

/** `staps license` */
export const license: Subcommand = {
  name: "license",
  summary: "print the licences of staps and of what is in it",
  description:
    "Prints the licence of staps, and those of the runtime and the libraries that\n" +
    "are in this program. Whoever hands it on has to hand them on, too.",
  declare(): void {},
  async run(_options, { stdout }): Promise<number> {
    // What scripts/notices.ts has collected lies beside the scripts of a built program.
    const name = build() === "source" ? "../../LICENSE" : "notices.txt";
    const file = new URL(name, import.meta.url);
    await writeAll(stdout, await Deno.readTextFile(file));
    return 0;
  },
};
