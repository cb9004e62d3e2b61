/**
 * The pages of the documentation as they are in the Debian package: the same
 * texts, whose links lead to what the package has.
 */
import { dirname, join, normalize, relative } from "node:path";
import { top } from "./compile.ts";

/** The pages at the top that a user has something of. */
const topPages = ["README.md", "CHANGELOG.md", "SECURITY.md"];
/** The files and folders that the package has as examples. */
const examples = [
  "nginx.conf.example",
  "staps.conf.example",
  "frontends",
  "monitoring",
];
/** Where the package has other files of the repository, seen from its folder for documentation. */
const elsewhere: Readonly<Record<string, string>> = { LICENSE: "copyright" };

/** A file of the documentation. */
export interface DocFile {
  /** Below `/usr/share/doc/staps`. */
  readonly name: string;
  readonly content: Uint8Array;
}

/** Gets the pages, their pictures, and the examples. */
export async function docFiles(): Promise<DocFile[]> {
  const names = [...topPages, ...await filesIn("docs")];
  const places = new Map(names.map((name) => [name, name]));
  for (const example of examples) {
    for (const name of await filesIn(example)) {
      places.set(name, `examples/${name}`);
    }
  }
  return await Promise.all(
    [...places].sort().map(async ([source, name]) => {
      const content = await Deno.readFile(`${top}/${source}`);
      if (name !== source || !source.endsWith(".md")) return { name, content };
      const text = new TextDecoder().decode(content);
      const page = withLinks(text, {
        page: source,
        placeOf: (target) => places.get(target) ?? elsewhere[target],
      });
      return { name, content: new TextEncoder().encode(page) };
    }),
  );
}

/**
 * Gets the text of `page` with each link to a file of the repository leading
 * to where `placeOf` says, or its words alone where that says nothing.
 */
export function withLinks(
  text: string,
  { page, placeOf }: {
    page: string;
    placeOf: (target: string) => string | undefined;
  },
): string {
  return text.replaceAll(
    /\[([^\[\]]*)\]\(([^()\s#]*)(#[^()\s]*)?\)/g,
    (link, words: string, target: string, anchor = "") => {
      if (target === "" || /^[a-z]+:/.test(target)) return link;
      const place = placeOf(normalize(join(dirname(page), target)));
      if (place === undefined) return words;
      return `[${words}](${relative(dirname(page), place)}${anchor})`;
    },
  );
}

/** Gets the files in a folder and those below it, or the file itself. */
async function filesIn(path: string): Promise<string[]> {
  if ((await Deno.stat(`${top}/${path}`)).isFile) return [path];
  const names = [];
  for await (const { name } of Deno.readDir(`${top}/${path}`)) {
    names.push(...await filesIn(`${path}/${name}`));
  }
  return names;
}
