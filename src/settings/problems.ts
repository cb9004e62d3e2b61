/** What is wrong with a configuration, and the text that an administrator reads of it. */
import { ConfigError } from "../common/errors.ts";

/** Where a value was set: in a line of a file, or by an environment variable. */
export interface Origin {
  /** For a variable {@linkcode inEnvironment}, or the file that it names. */
  readonly file: string;
  /** Counted from 1; `undefined` for a variable. */
  readonly line?: number | undefined;
  /** The variable's name. */
  readonly variable?: string | undefined;
}

/** What stands in the place of a file's name for an environment variable. */
export const inEnvironment = "the environment";

/** One thing that is wrong with a configuration. No field contains a password. */
export interface ConfigProblem extends Origin {
  /** Counted from 1; `undefined` for a variable, or the file as a whole. */
  readonly line?: number | undefined;
  readonly section?: string | undefined;
  readonly key?: string | undefined;
  /** What was found, in words or in quotes. */
  readonly got: string;
  readonly expected: string;
  /** What to try, a sentence without full stop. */
  readonly hint?: string | undefined;
}

/** A configuration with problems: the message has one line for each. */
export class ConfigProblemsError extends ConfigError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const hints = problems.filter(({ hint }) => hint !== undefined)
      .map((problem) =>
        problems.length === 1
          ? problem.hint
          : `${problem.variable ?? place(problem)}: ${problem.hint}`
      );
    super(
      problems.map(problemText).join("\n"),
      hints.length > 0 ? { hint: hints.join("\n") } : {},
    );
    this.problems = problems;
  }
}

/** Gets a problem as one line, such as `Cannot read "umask" in staps.conf line 12: got "09", expected octal digits`. */
export function problemText(problem: ConfigProblem): string {
  const { section, got, expected } = problem;
  const name = problem.variable ?? problem.key;
  const what = name !== undefined
    ? `"${name}" in `
    : section !== undefined
    ? `section "${section}" in `
    : "";
  return `Cannot read ${what}${
    place(problem)
  }: got ${got}, expected ${expected}`;
}

function place({ file, line }: ConfigProblem): string {
  return line === undefined ? file : `${file} line ${line}`;
}

/** Quotes a value for an error, unless it might be a URL or an account with a password. */
export function quoteValue(value: string): string {
  if (/:\/\/|@/.test(value)) return "something with a URL or an account in it";
  return `"${value.length > 200 ? `${value.slice(0, 200)}...` : value}"`;
}

/** Gets words as a choice: `a, b or c`. */
export function choice(words: readonly string[]): string {
  return words.join(", ").replace(/, ([^,]*)$/, " or $1");
}
