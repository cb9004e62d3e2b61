/**
 * The documentation as tests see it: pages, fenced blocks, links.
 *
 * A block of a page says which test covers it, in a comment right before it:
 *
 *     <!-- test: tests/e2e/clients_test.ts#python -->
 *
 * That file takes the block from the page by its name ({@linkcode block}). Some
 * languages need no mark, see `tests/docs_test.ts`.
 */
import { dirname, join, normalize } from "node:path/posix";
import { repository } from "../../tools/process.ts";

/** A fenced block of a page. */
export interface Block {
  /** The first word after the fence; empty if there is none. */
  readonly language: string;
  /** What is between the fences, without the block's own indentation. */
  code: string;
  /** The line of the first fence, counted from 1. */
  readonly line: number;
  /** The test file that the mark names, as a path in the repository. */
  readonly testFile: string | undefined;
  /** The block's name for that test, what follows the `#` in the mark. */
  readonly name: string | undefined;
}

/** A link of a page. */
export interface Link {
  /** As it stands in the page. */
  readonly target: string;
  /** The line it is in, counted from 1. */
  readonly line: number;
}

/** A page of the documentation. */
export interface Page {
  /** Its path in the repository. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
  readonly links: readonly Link[];
  /** The anchors of its headings. */
  readonly anchors: ReadonlySet<string>;
}

/** Gets every page: those in the top folder and those in docs/. */
export async function readPages(): Promise<Page[]> {
  const paths = [];
  for (const folder of [".", "docs"]) {
    for await (const { name } of Deno.readDir(`${repository}/${folder}`)) {
      if (name.endsWith(".md")) paths.push(join(folder, name));
    }
  }
  return await Promise.all(paths.sort().map(readPage));
}

/** Gets the page `path`, a path in the repository. */
export async function readPage(path: string): Promise<Page> {
  return parsePage(path, await Deno.readTextFile(`${repository}/${path}`));
}

/**
 * Gets the code of the block `name` of the page `path`.
 *
 * @throws {Error} If there isn't exactly one.
 */
export async function block(path: string, name: string): Promise<string> {
  const { blocks } = await readPage(path);
  const found = blocks.filter((block) => block.name === name);
  if (found.length !== 1) {
    throw new Error(
      `Expected one block named "${name}" in ${path}, got ${found.length}`,
    );
  }
  return found[0]!.code;
}

/** Gets what is in a page with the text `text`. @throws {Error} If a block has no end, or can't carry a mark. */
export function parsePage(path: string, text: string): Page {
  const blocks: Block[] = [];
  const links: Link[] = [];
  const anchors = new Set<string>();
  let open: { end: RegExp; indent: number; block: Block } | undefined;
  let mark: RegExpMatchArray | null = null;
  let [before, lastText] = ["", ""];
  for (const [index, content] of text.split("\n").entries()) {
    const line = index + 1;
    const fence = content.match(/^(\s*(?:[-*] |\d+\. )?\s*)(```+)\s*([^\s`]*)/);
    if (open !== undefined) {
      if (open.end.test(content)) open = undefined;
      else {
        const indent = Math.min(open.indent, content.search(/\S|$/));
        open.block.code += `${content.slice(indent)}\n`;
      }
    } else if (fence !== null) {
      const [, lead = "", ticks, language = ""] = fence;
      const [, testFile, name] = mark ?? [];
      const block = { language, code: "", line, testFile, name };
      blocks.push(block);
      const end = new RegExp(`^\\s*${ticks}\`*\\s*$`);
      open = { end, indent: lead.length, block };
      mark = null;
    } else {
      // An indented block carries no mark: only fenced ones are allowed.
      const isItem = /^(\s|[-*] |\d+\. )/.test(lastText);
      if (/^ {4}/.test(content) && before === "" && !isItem) {
        throw new Error(`${path} line ${line}: expected a fenced block`);
      }
      if (content.trim() !== "") {
        lastText = content;
        mark = content.match(/^\s*<!-- test: ([^\s#]+)(?:#([^\s#]+))? -->$/);
      }
      const heading = content.match(/^#{1,6} +(.*?) *#*$/);
      if (heading !== null) anchors.add(anchorOf(heading[1]!));
      for (const [, id] of content.matchAll(/<a (?:id|name)="([^"]+)"/g)) {
        anchors.add(id!);
      }
      const prose = content.replaceAll(/`[^`]*`/g, "");
      const targets = prose.matchAll(/\]\(([^()\s]+)\)|^\[[^\]]+\]: +(\S+)/g);
      for (const [, inline, reference] of targets) {
        links.push({ target: (inline ?? reference)!, line });
      }
    }
    before = content;
  }
  if (open !== undefined) {
    throw new Error(`${path} line ${open.block.line}: the block has no end`);
  }
  return { path, text, blocks, links, anchors };
}

/** Gets the anchor that GitHub gives a heading. No link here leads to the second of one name, which has a number behind it. */
function anchorOf(heading: string): string {
  return heading.toLowerCase()
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
    .replaceAll(" ", "-");
}

/** What a link within the repository leads to. */
export interface Target {
  /** A path in the repository. */
  readonly path: string;
  readonly anchor: string | undefined;
}

/** Gets what `target` leads to from the page `path`; undefined if out of the repository. */
export function resolveLink(path: string, target: string): Target | undefined {
  if (/^[a-z]+:/.test(target)) return undefined;
  const [file = "", anchor] = target.split("#", 2);
  return {
    path: file === "" ? path : normalize(join(dirname(path), file)),
    anchor,
  };
}
