/**
 * The configuration: from files, the environment and the command line to one
 * checked object. What can be set stands in `settings.ts`.
 */
import { ConfigError, UsageError } from "../common/errors.ts";
import { parseIni } from "./ini.ts";
import { nearMiss } from "../common/near_miss.ts";
import { Invalid, type ReadContext, socketPath } from "./types.ts";
import {
  allSettings,
  camelCase,
  type Config,
  type Environment,
  findSetting,
  settings,
} from "./table.ts";

export type { Config } from "./table.ts";

/** One thing that is wrong with a configuration. No field contains a password. */
export interface ConfigProblem {
  readonly file: string;
  /** Counted from 1; `undefined` for the file as a whole. */
  readonly line: number | undefined;
  readonly section: string | undefined;
  readonly key: string | undefined;
  /** What was found, in words or in quotes. */
  readonly got: string;
  readonly expected: string;
  /** What to try, a sentence without full stop. */
  readonly hint: string | undefined;
}

/** A configuration with problems: the message has one line for each. */
export class ConfigProblemsError extends ConfigError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const hints = problems.filter(({ hint }) => hint !== undefined)
      .map((problem) =>
        problems.length === 1
          ? problem.hint
          : `${place(problem)}: ${problem.hint}`
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
  const { key, section, got, expected } = problem;
  const what = key !== undefined
    ? `${quote(key)} in `
    : section !== undefined
    ? `section ${quote(section)} in `
    : "";
  return `Cannot read ${what}${
    place(problem)
  }: got ${got}, expected ${expected}`;
}

function place({ file, line }: ConfigProblem): string {
  return line === undefined ? file : `${file} line ${line}`;
}

/** Where a value was set. */
export interface Origin {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
}

/** A configuration, and where it came from. */
export interface LoadedConfig {
  readonly config: Config;
  /** The files that were read, the one that wins last; empty: all defaults. */
  readonly sources: readonly string[];
  /** Where each value that isn't a default was set, by `section.key`. */
  readonly origins: ReadonlyMap<string, Origin>;
}

/** What {@linkcode readConfig} found: problems, and the values that have none. */
export interface ConfigReport extends LoadedConfig {
  /** Where this isn't empty, `config` has defaults for what couldn't be read. */
  readonly problems: readonly ConfigProblem[];
}

/** Where to look for the configuration. */
export interface ConfigOptions {
  /** The file named on the command line: the only one read, and it has to exist. */
  readonly configFile?: string | undefined;
  /** Overrides `[staps] socket`. */
  readonly socket?: string | undefined;
  /** Overrides `[admin] socket`. */
  readonly adminSocket?: string | undefined;
  /** Environment variables: `HOME`, and those the defaults depend on. None unless given. */
  readonly environment?: Environment;
  /** The file for the whole machine, for tests; `/etc/staps/staps.conf`. */
  readonly systemFile?: string;
}

/** The file for the whole machine. */
export const systemConfigFile = "/etc/staps/staps.conf";

/** The largest configuration file in bytes; what is larger was meant for something else. */
export const maxConfigFileBytes = 1024 * 1024;

/**
 * Gets the files that {@linkcode loadConfig} would read, the one that wins
 * last: the one on the command line, else the machine's and `~/.staps.conf`.
 */
export function configFiles(options: ConfigOptions): readonly string[] {
  if (options.configFile !== undefined) return [options.configFile];
  const home = options.environment?.HOME;
  const files = [options.systemFile ?? systemConfigFile];
  if (home?.startsWith("/")) {
    files.push(`${home.replace(/\/+$/, "")}/.staps.conf`);
  }
  return files;
}

/**
 * Gets the configuration from the files of {@linkcode configFiles}, or the
 * defaults if none of them exists.
 *
 * @throws {ConfigProblemsError} If anything is wrong with any of them: it lists everything.
 * @throws {UsageError} If `options.socket` or `options.adminSocket` can't be used.
 */
export function loadConfig(options: ConfigOptions = {}): LoadedConfig {
  const { problems, ...loaded } = readConfig(options);
  if (problems.length > 0) throw new ConfigProblemsError(problems);
  return loaded;
}

/**
 * Does what {@linkcode loadConfig} does, but returns the problems.
 *
 * @throws {UsageError} If `options.socket` or `options.adminSocket` can't be used.
 */
export function readConfig(options: ConfigOptions = {}): ConfigReport {
  const reader = new ConfigReader(options.environment ?? {});
  for (const file of configFiles(options)) {
    reader.addFile(file, { mustExist: options.configFile !== undefined });
  }
  const { socket, adminSocket } = options;
  if (socket !== undefined) {
    reader.setSocket(socket, { setting: "staps.socket", option: "--socket" });
  }
  if (adminSocket !== undefined) {
    reader.setSocket(adminSocket, {
      setting: "admin.socket",
      option: "--admin-socket",
    });
  }
  return reader.finish();
}

/**
 * Gets the configuration that `text` alone makes; `fileName` is for errors.
 *
 * @throws {ConfigProblemsError} If anything is wrong with it: it lists everything.
 */
export function parseConfig(
  text: string,
  fileName: string,
  options: Pick<ConfigOptions, "environment"> = {},
): LoadedConfig {
  const reader = new ConfigReader(options.environment ?? {});
  reader.addText(text, fileName);
  const { problems, ...loaded } = reader.finish();
  if (problems.length > 0) throw new ConfigProblemsError(problems);
  return loaded;
}

/** What differs between two configurations, as `[section] key`. */
export interface ConfigChanges {
  /** What a reload makes effective. */
  readonly effective: readonly string[];
  /** What takes a restart. */
  readonly needRestart: readonly string[];
}

/** Gets what has changed from one configuration to another, by what makes it effective. */
export function compareConfigs(before: Config, after: Config): ConfigChanges {
  const effective: string[] = [];
  const needRestart: string[] = [];
  for (const { section, key, reload } of allSettings) {
    const values = [before, after].map((config) =>
      JSON.stringify(valueOf(config, { section, key }))
    );
    if (values[0] === values[1]) continue;
    (reload ? effective : needRestart).push(`[${section}] ${key}`);
  }
  return { effective, needRestart };
}

/** Gets the value that `config` has for a key of the file. */
export function valueOf(
  config: Config,
  { section, key }: { section: string; key: string },
): unknown {
  const values: Readonly<Record<string, Readonly<Record<string, unknown>>>> =
    config;
  return values[section]?.[camelCase(key)];
}

/** Collects values and problems file by file. */
class ConfigReader {
  readonly #environment: Environment;
  readonly #context: ReadContext;
  readonly #values = new Map<string, unknown>();
  readonly #origins = new Map<string, Origin>();
  readonly #sources: string[] = [];
  readonly #problems: ConfigProblem[] = [];

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#context = { home: environment.HOME };
  }

  addFile(file: string, { mustExist }: { mustExist: boolean }): void {
    let content: Uint8Array;
    try {
      content = readAtMost(file, maxConfigFileBytes + 1);
    } catch (error) {
      if (isMissing(error) && !mustExist) return;
      this.#problem({ file, ...whyUnreadable(error) });
      return;
    }
    this.#sources.push(file);
    if (content.length > maxConfigFileBytes) {
      this.#problem({
        file,
        got: "more than 1 MiB",
        expected: "a configuration file of 1 MiB at most",
      });
      return;
    }
    const text = this.#decode(content, file);
    if (text !== undefined) this.#addText(text, file);
  }

  addText(text: string, file: string): void {
    this.#sources.push(file);
    this.#addText(text, file);
  }

  setSocket(
    text: string,
    { setting, option }: { setting: string; option: string },
  ): void {
    const value = socketPath.read(text, this.#context);
    if (value instanceof Invalid) {
      throw new UsageError(
        `Cannot use "${option}": got ${
          value.got ?? quoteValue(text)
        }, expected ${value.expected}`,
      );
    }
    this.#values.set(setting, value);
    this.#origins.delete(setting);
  }

  finish(): ConfigReport {
    const config: Record<string, Record<string, unknown>> = {};
    for (const setting of allSettings) {
      const name = `${setting.section}.${setting.key}`;
      const value = this.#values.get(name) ??
        setting.environmentDefault?.(this.#environment) ?? setting.default;
      (config[setting.section] ??= {})[camelCase(setting.key)] = value;
    }
    const checked = config as unknown as Config;
    this.#crossCheck(checked);
    // By file in the order of reading, then by line.
    this.#problems.sort((a, b) =>
      this.#rank(a) - this.#rank(b) || (a.line ?? 0) - (b.line ?? 0)
    );
    return {
      config: checked,
      sources: this.#sources,
      origins: this.#origins,
      problems: this.#problems,
    };
  }

  #rank({ file }: ConfigProblem): number {
    const index = this.#sources.indexOf(file);
    return index < 0 ? this.#sources.length : index;
  }

  #decode(content: Uint8Array, file: string): string | undefined {
    const decode = (bytes: Uint8Array): string =>
      new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    try {
      return decode(content);
    } catch {
      // No byte of a character in UTF-8 is a line feed, so lines can be tried one by one.
      let line = 1;
      for (let start = 0;; line++) {
        const end = content.indexOf(0x0a, start);
        try {
          decode(content.subarray(start, end < 0 ? undefined : end));
        } catch {
          break;
        }
        if (end < 0) break;
        start = end + 1;
      }
      this.#problem({
        file,
        line,
        got: "bytes that are no UTF-8",
        expected: "text in UTF-8",
      });
      return undefined;
    }
  }

  #addText(text: string, file: string): void {
    const ini = parseIni(text);
    for (const problem of ini.problems) this.#problem({ file, ...problem });

    const sectionLines = new Map<string, number>();
    for (const { name, line } of ini.sections) {
      const firstLine = sectionLines.get(name);
      if (!Object.hasOwn(settings, name)) {
        this.#unknownSection(name, { file, line });
      } else if (firstLine !== undefined) {
        this.#problem({
          file,
          line,
          section: name,
          got: `it again after line ${firstLine}`,
          expected: "each section once",
        });
      }
      if (firstLine === undefined) sectionLines.set(name, line);
    }

    const keyLines = new Map<string, number>();
    for (const { section, key, value, line } of ini.entries) {
      // An unknown section is one problem, not one for each of its keys.
      if (section !== "" && !Object.hasOwn(settings, section)) continue;
      const setting = findSetting(section, key);
      if (setting === undefined) {
        this.#unknownKey(key, { file, line, section });
        continue;
      }
      const name = `${section}.${key}`;
      const firstLine = keyLines.get(name);
      if (firstLine !== undefined) {
        this.#problem({
          file,
          line,
          section,
          key,
          got: `it again after line ${firstLine}`,
          expected: "each key once",
        });
        continue;
      }
      keyLines.set(name, line);
      if (value === "") {
        // Back to the default, whatever an earlier file says.
        this.#values.delete(name);
        this.#origins.delete(name);
        continue;
      }
      const read = setting.type.read(value, this.#context);
      if (read instanceof Invalid) {
        const { got = quoteValue(value), expected, hint } = read;
        this.#problem({ file, line, section, key, got, expected, hint });
      } else {
        this.#values.set(name, read);
        this.#origins.set(name, { file, line });
      }
    }
  }

  #unknownSection(name: string, origin: Origin): void {
    const near = nearMiss(name, Object.keys(settings));
    const section = isName(name) ? name : undefined;
    this.#problem({
      ...origin,
      section,
      got: section === undefined
        ? "a section that can't be right"
        : "an unknown section",
      expected: Object.keys(settings).map((name) => `[${name}]`).join(", ")
        .replace(/, ([^,]*)$/, " or $1"),
      hint: near === undefined ? undefined : `Did you mean "[${near}]"?`,
    });
  }

  #unknownKey(
    key: string,
    { section, ...origin }: Origin & { section: string },
  ): void {
    const elsewhere = allSettings.find((setting) => setting.key === key);
    const keys = allSettings.filter((setting) => setting.section === section)
      .map((setting) => setting.key);
    const near = nearMiss(key, keys);
    const known = isName(key);
    const problem = { ...origin, key: known ? key : undefined };
    const hint = elsewhere !== undefined
      ? `"${key}" belongs to "[${elsewhere.section}]"`
      : near !== undefined
      ? `Did you mean "${near}"?`
      : undefined;
    if (section === "") {
      this.#problem({
        ...problem,
        got: "a key above the first section",
        expected: 'a section such as "[staps]" first',
        hint,
      });
      return;
    }
    this.#problem({
      ...problem,
      section,
      got: known ? "an unknown key" : "a key that can't be right",
      expected: `one of ${keys.join(", ")}`,
      hint,
    });
  }

  /** Checks what depends on several settings. */
  #crossCheck(config: Config): void {
    const { staps, limits, bridge, admin } = config;
    const smallest = `at least message_bytes, ${limits.messageBytes}`;
    for (
      const [name, value] of [
        ["limits.client_buffer_bytes", limits.clientBufferBytes],
        ["bridge.outbox_bytes", bridge.outboxBytes],
        ["bridge.queue_bytes", bridge.queueBytes],
      ] as const
    ) {
      if (value >= limits.messageBytes) continue;
      this.#conflict([name, "limits.message_bytes"], {
        got: `${name.split(".")[1]} ${value}`,
        expected: smallest,
      });
    }
    if (admin.socket === staps.socket) {
      this.#conflict(["admin.socket", "staps.socket"], {
        got: "the path of the other socket",
        expected: "one of its own",
      });
    }
    if (bridge.hosts.length > 0 && staps.amqp === undefined) {
      this.#conflict(["bridge.hosts"], {
        got: "hosts without a broker's URL",
        expected: '"amqp" in [staps] too',
      });
    }
    if (bridge.ca !== undefined && !staps.amqp?.tls) {
      this.#conflict(["bridge.ca"], {
        got: "a file that nothing would use",
        expected: '"amqp" in [staps] to begin with "amqps://"',
      });
    }
  }

  /**
   * Adds a problem between the settings `names`, unless one of them is the
   * default because it has a problem already. It is shown at the first of
   * them that some file sets.
   */
  #conflict(
    names: readonly string[],
    words: Pick<ConfigProblem, "got" | "expected">,
  ): void {
    const broken = ({ section, key }: ConfigProblem): boolean =>
      key !== undefined &&
      [...names, "staps.amqp"].includes(`${section}.${key}`);
    if (this.#problems.some(broken)) return;
    const name = names.find((name) => this.#origins.has(name)) ?? names[0]!;
    const [section, key] = name.split(".");
    this.#problem({
      file: "the configuration",
      ...this.#origins.get(name),
      section,
      key,
      ...words,
    });
  }

  #problem(
    problem:
      & Pick<ConfigProblem, "file" | "got" | "expected">
      & Partial<ConfigProblem>,
  ): void {
    this.#problems.push({
      line: undefined,
      section: undefined,
      key: undefined,
      hint: undefined,
      ...problem,
    });
  }
}

/** Reads a file up to `limit` bytes; pipes too, which have no size. */
function readAtMost(file: string, limit: number): Uint8Array {
  using handle = Deno.openSync(file);
  const content = new Uint8Array(limit);
  let length = 0;
  while (length < limit) {
    const read = handle.readSync(content.subarray(length));
    if (read === null) break;
    length += read;
  }
  return content.subarray(0, length);
}

/** A folder on the way that is no folder is a file that doesn't exist. */
function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound ||
    error instanceof Deno.errors.NotADirectory;
}

function whyUnreadable(
  error: unknown,
): Pick<ConfigProblem, "got" | "expected" | "hint"> {
  if (isMissing(error)) {
    return { got: "no such file", expected: "a file", hint: undefined };
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return {
      got: "no permission",
      expected: "a file that this user may read",
      hint: "Look at the permissions of the file and of the folders above it",
    };
  }
  if (error instanceof Deno.errors.IsADirectory) {
    return { got: "a folder", expected: "a file", hint: undefined };
  }
  const reason = error instanceof Error ? error.message : String(error);
  return {
    got: `an error (${reason})`,
    expected: "a readable file",
    hint: undefined,
  };
}

/** Whether it looks like a name of a section or key: only then is it shown, as it might be part of a URL. */
function isName(text: string): boolean {
  return /^[a-z0-9_.-]{1,64}$/i.test(text);
}

/** Quotes a value for an error, unless it might be a URL or an account with a password. */
function quoteValue(value: string): string {
  if (/:\/\/|@/.test(value)) return "something with a URL or an account in it";
  return quote(value.length > 200 ? `${value.slice(0, 200)}...` : value);
}

function quote(text: string): string {
  return `"${text}"`;
}
