/**
 * One configuration file: its bytes, its text, its sections and its keys. A
 * mistake doesn't end the reading, so that all mistakes are found at once.
 */
import { isUtf8 } from "node:buffer";
import { nearMiss } from "../common/near_miss.ts";
import { isMissing, readAtMost, whyUnreadable } from "./bounded_file.ts";
import { parseIni } from "./ini.ts";
import { choice, type ConfigProblem, quoteValue } from "./problems.ts";
import { allSettings, findSetting, settings } from "./table.ts";
import { hintOfComment, Invalid, type ReadContext } from "./types.ts";

/** The largest file in bytes; a larger one was meant for something else. */
const maxFileBytes = 1024 * 1024;

/** What a file says about one setting. */
export interface FileValue {
  /** `undefined`: the default, whatever an earlier file says. */
  readonly value: unknown;
  /** Counted from 1. */
  readonly line: number;
}

/** What {@linkcode readConfigFile} found. */
export interface ConfigFile {
  /** `false` where the file couldn't be read at all. */
  readonly isReadable: boolean;
  /** By `section.key`. */
  readonly values: ReadonlyMap<string, FileValue>;
  readonly problems: readonly ConfigProblem[];
}

/** Reads a configuration file; gets `undefined` if it doesn't exist. */
export function readConfigFile(
  file: string,
  context: ReadContext,
): ConfigFile | undefined {
  let content: Uint8Array;
  try {
    content = readAtMost(file, maxFileBytes + 1);
  } catch (error) {
    if (isMissing(error)) return undefined;
    const problems = [{ file, ...whyUnreadable(error) }];
    return { isReadable: false, values: new Map(), problems };
  }
  const { values, problems } = readContent(content, context);
  return {
    isReadable: true,
    values,
    problems: problems.map((problem) => ({ file, ...problem })),
  };
}

/** Tells whether a folder above `file` keeps this user from finding out if it exists. */
export function isHidden(file: string): boolean {
  try {
    Deno.lstatSync(file);
    return false;
  } catch (error) {
    return error instanceof Deno.errors.PermissionDenied;
  }
}

/** A problem of the file that is being read. */
type Found = Omit<ConfigProblem, "file">;

function readContent(
  content: Uint8Array,
  context: ReadContext,
): { values: Map<string, FileValue>; problems: Found[] } {
  const values = new Map<string, FileValue>();
  if (content.length > maxFileBytes) {
    const problem = {
      got: "more than 1 MiB",
      expected: "a configuration file of 1 MiB at most",
    };
    return { values, problems: [problem] };
  }
  if (!isUtf8(content)) {
    const problem = {
      line: firstBrokenLine(content),
      got: "bytes that are no UTF-8",
      expected: "text in UTF-8",
    };
    return { values, problems: [problem] };
  }
  const ini = parseIni(new TextDecoder().decode(content));
  const problems: Found[] = [...ini.problems];

  const sectionLines = new Map<string, number>();
  for (const { name, line } of ini.sections) {
    const firstLine = sectionLines.get(name);
    if (!Object.hasOwn(settings, name)) {
      problems.push({ line, ...unknownSection(name) });
    } else if (firstLine !== undefined) {
      const got = `it again after line ${firstLine}`;
      problems.push({
        line,
        section: name,
        got,
        expected: "each section once",
      });
    } else sectionLines.set(name, line);
  }

  const keyLines = new Map<string, number>();
  for (const { section, key, value, line } of ini.entries) {
    // An unknown section is one problem, not one for each of its keys.
    if (section !== "" && !Object.hasOwn(settings, section)) continue;
    const name = `${section}.${key}`;
    const setting = findSetting(section, key);
    const firstLine = keyLines.get(name);
    if (setting === undefined) {
      problems.push({ line, ...unknownKey(section, key) });
    } else if (firstLine !== undefined) {
      const got = `it again after line ${firstLine}`;
      problems.push({ line, section, key, got, expected: "each key once" });
    } else {
      keyLines.set(name, line);
      const read = value === "" ? undefined : setting.type.read(value, context);
      if (read instanceof Invalid) {
        const { got = quoteValue(value), expected } = read;
        const hint = read.hint ?? hintOfComment(value);
        problems.push({ line, section, key, got, expected, hint });
      } else values.set(name, { value: read, line });
    }
  }
  return { values, problems };
}

/** Gets the first line that is no UTF-8. No byte of a longer character is a line feed. */
function firstBrokenLine(content: Uint8Array): number {
  let line = 1;
  let start = 0;
  for (;;) {
    const end = content.indexOf(0x0a, start);
    if (end < 0 || !isUtf8(content.subarray(start, end))) return line;
    start = end + 1;
    line++;
  }
}

function unknownSection(name: string): Found {
  const names = Object.keys(settings);
  const near = nearMiss(name, names);
  return {
    section: isName(name) ? name : undefined,
    got: isName(name) ? "an unknown section" : "a section that can't be right",
    expected: choice(names.map((name) => `[${name}]`)),
    hint: near === undefined ? undefined : `Did you mean "[${near}]"?`,
  };
}

function unknownKey(section: string, key: string): Found {
  const keys = allSettings.filter((setting) => setting.section === section)
    .map((setting) => setting.key);
  const elsewhere = allSettings.find((setting) => setting.key === key);
  const near = nearMiss(key, keys);
  const hint = elsewhere !== undefined
    ? `"${key}" belongs to "[${elsewhere.section}]"`
    : near !== undefined
    ? `Did you mean "${near}"?`
    : undefined;
  const shown = isName(key) ? key : undefined;
  if (section === "") {
    return {
      key: shown,
      got: "a key above the first section",
      expected: 'a section such as "[staps]" first',
      hint,
    };
  }
  return {
    section,
    key: shown,
    got: isName(key) ? "an unknown key" : "a key that can't be right",
    expected: `one of ${keys.join(", ")}`,
    hint,
  };
}

/** Tells whether `text` looks like a name: only then is it shown, as it might be part of a URL. */
function isName(text: string): boolean {
  return /^[a-z0-9_.-]{1,64}$/i.test(text);
}
