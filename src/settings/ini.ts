/**
 * INI text as a list of entries, each with its line; the only code that knows
 * js-ini.
 *
 * js-ini is given one line at a time, below the header of the line's section.
 * It decides what is a comment, a header, a key and a value; what it doesn't
 * keep (line numbers, duplicates) is kept here. Its callbacks are used instead
 * of its result, because a section named `constructor` would make it write
 * into JavaScript's own objects.
 */
import { parse } from "js-ini";

/** One `key = value`. */
export interface IniEntry {
  /** The section's name; empty above the first header. */
  readonly section: string;
  readonly key: string;
  /** What follows the first `=`, without the blanks around it; quotes are part of it. */
  readonly value: string;
  /** Counted from 1. */
  readonly line: number;
}

/** One `[section]`. */
export interface IniSection {
  readonly name: string;
  /** Counted from 1. */
  readonly line: number;
}

/**
 * A line that can't be used. It never quotes the line: without its `=`, a
 * line with a password looks like any other.
 */
export interface IniProblem {
  /** Counted from 1. */
  readonly line: number;
  readonly got: string;
  readonly expected: string;
}

/** What {@linkcode parseIni} found. */
export interface IniFile {
  readonly sections: readonly IniSection[];
  readonly entries: readonly IniEntry[];
  readonly problems: readonly IniProblem[];
}

/**
 * Reads INI text: `[section]` and `key = value` lines, blank ones, and
 * comments, which are lines that begin with `#` or `;` after any blanks. Both
 * characters are ordinary ones within a value. Lines end with LF or CR LF.
 *
 * Never throws: lines that make no sense come back as problems, and the rest
 * is read all the same. Repeated sections and keys aren't judged here.
 */
export function parseIni(text: string): IniFile {
  const sections: IniSection[] = [];
  const entries: IniEntry[] = [];
  const problems: IniProblem[] = [];
  let header = "";

  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (const [index, rawLine] of lines.entries()) {
    const line = index + 1;
    const control = controlCharacter(rawLine);
    if (control !== undefined) {
      problems.push({
        line,
        got: `the control character ${control}`,
        expected: "text",
      });
      continue;
    }
    try {
      const { section, key, value } = parseLine(header, rawLine);
      if (key !== undefined) {
        entries.push({ section, key, value, line });
      } else if (rawLine.trimStart().startsWith("[")) {
        header = rawLine;
        sections.push({ name: section, line });
      }
    } catch {
      problems.push({
        line,
        got: "a line that is neither a section nor a setting",
        expected: '"[section]" or "key = value"',
      });
    }
  }
  return { sections, entries, problems };
}

/**
 * Reads one line below `header`: the section that the next line is in, and the
 * entry, if it is one.
 *
 * @throws If it is neither a header, an entry, a comment nor blank.
 */
function parseLine(
  header: string,
  line: string,
): { section: string; key?: string; value: string } {
  const calls: { section: string; key: string; value: string }[] = [];
  // js-ini tells of entries only, so the line is followed by one: it shows
  // which section a header has begun.
  parse(`${header}\n${line}\nprobe=`, {
    comment: ["#", ";"],
    protoSymbol: true,
    keyMergeStrategy: () => {},
    autoTyping: (value: string, section: string | symbol, key: string) => {
      const name = typeof section === "symbol" ? "__proto__" : section;
      calls.push({ section: name, key, value });
      return value;
    },
  });
  const [first, second] = calls;
  if (second === undefined) return { section: first!.section, value: "" };
  if (first!.key === "") throw new SyntaxError("An entry has no key");
  return first!;
}

/** Names the first control character of `line` other than a tab, such as `U+0000`. */
export function controlCharacter(line: string): string | undefined {
  for (let i = 0; i < line.length; i++) {
    const code = line.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || (code >= 0x7f && code < 0xa0)) {
      return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    }
  }
  return undefined;
}
