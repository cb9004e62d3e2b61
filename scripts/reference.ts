// deno-lint-ignore-file no-console -- it speaks to the person who runs it
/**
 * Writes what is made from the tables of settings and metrics and from the
 * benchmark's figures: `staps.conf.example`, and the parts between their markers
 * in the pages. `--check` writes nothing and fails if something differs.
 */
import { renderFigures } from "./figures_text.ts";
import { renderSizes } from "./scale_text.ts";
import {
  exampleSettings,
  renderExample,
  renderReference,
} from "./settings_text.ts";

/** The pages that have a made part, what it is called there, and what makes it. */
const pages = [
  ["README.md", "settings", renderReference],
  ["docs/configuration.md", "settings", renderReference],
  ["docs/watch.md", "metrics", renderFigures],
  ["docs/scale.md", "sizes", sizesOfBenchmark],
] as const;

/** Gets the sizes from the benchmark's tables as they are. */
async function sizesOfBenchmark(): Promise<string> {
  const read = (name: string): Promise<string> =>
    Deno.readTextFile(
      new URL(`../docs/benchmarks/${name}.tsv`, import.meta.url),
    );
  return renderSizes({
    clients: await read("clients"),
    messages: await read("messages"),
  });
}

/** Gets each made file as it should be, by its path in the repository. */
export async function madeFiles(root: URL): Promise<Map<string, string>> {
  const files = new Map([[
    "staps.conf.example",
    renderExample({ set: exampleSettings }),
  ]]);
  for (const [path, part, render] of pages) {
    // The formatter would pad the tables.
    const begin =
      `<!-- ${part}: made by \`deno task reference\` -->\n<!-- deno-fmt-ignore-start -->\n`;
    const end = `<!-- deno-fmt-ignore-end -->\n<!-- ${part} end -->\n`;
    const page = await Deno.readTextFile(new URL(path, root));
    const from = page.indexOf(begin);
    const to = page.indexOf(end);
    if (from < 0 || to < from) {
      throw new Error(`Cannot find the markers in ${path}`);
    }
    files.set(
      path,
      `${page.slice(0, from)}${begin}\n${await render()}\n${page.slice(to)}`,
    );
  }
  return files;
}

if (import.meta.main) {
  const root = new URL("../", import.meta.url);
  for (const [path, text] of await madeFiles(root)) {
    const file = new URL(path, root);
    const old = await Deno.readTextFile(file).catch(() => undefined);
    if (old === text) continue;
    if (Deno.args.includes("--check")) {
      console.error(`${path} is out of date: run deno task reference`);
      Deno.exitCode = 1;
    } else {
      await Deno.writeTextFile(file, text);
      console.error(`${path} written`);
    }
  }
}
