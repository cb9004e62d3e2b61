/**
 * The configuration: from files, the environment and the command line to one
 * checked object. What can be set stands in `table.ts`.
 */
import { UsageError } from "../common/errors.ts";
import { crossCheck } from "./cross_check.ts";
import { readEnvironment, type UnknownVariable } from "./environment.ts";
import { isHidden, readConfigFile } from "./file.ts";
import {
  type ConfigProblem,
  ConfigProblemsError,
  inEnvironment,
  type Origin,
  quoteValue,
} from "./problems.ts";
import { allSettings, type Config, type Environment } from "./table.ts";
import { Invalid, type ReadContext, socketPath } from "./types.ts";

export type { Config } from "./table.ts";

/** The file for the whole machine. */
const systemConfigFile = "/etc/staps/staps.conf";

/** A configuration, and where it came from. */
export interface LoadedConfig {
  readonly config: Config;
  /** The files that were read, the one that wins last; empty: all defaults. */
  readonly sources: readonly string[];
  /** Where each value that isn't a default was set, by `section.key`. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The environment's variables that look like settings and are none. */
  readonly unknownVariables: readonly UnknownVariable[];
}

/** What {@linkcode readConfig} found: problems, and the values that have none. */
export interface ConfigReport extends LoadedConfig {
  /** By file, then by line, then the environment's. Settings with problems have their defaults in `config`. */
  readonly problems: readonly ConfigProblem[];
}

/** Where to look for the configuration. */
export interface ConfigOptions {
  /** The file named on the command line: the only one read, and it has to exist. */
  readonly configFile?: string | undefined;
  /** A further file, whose keys win over those of `configFile`; it need not exist. */
  readonly instanceFile?: string | undefined;
  /** Overrides `[staps] socket`. */
  readonly socket?: string | undefined;
  /** Overrides `[admin] socket`. */
  readonly adminSocket?: string | undefined;
  /** Environment variables: `HOME`, those the defaults depend on, and settings, which override the files. None unless given. */
  readonly environment?: Environment;
  /** The file for the whole machine, for tests; `/etc/staps/staps.conf`. */
  readonly systemFile?: string;
  /** Files that were read before, which have to be readable or gone: for a reload. */
  readonly readBefore?: readonly string[];
}

/**
 * Gets the files that {@linkcode loadConfig} would read, the one that wins
 * last: the one on the command line and the instance's, else the machine's and
 * `~/.staps.conf`.
 */
export function configFiles(options: ConfigOptions): readonly string[] {
  const { configFile, instanceFile } = options;
  if (configFile !== undefined) {
    return instanceFile === undefined || instanceFile === configFile
      ? [configFile]
      : [configFile, instanceFile];
  }
  const home = options.environment?.HOME;
  const files = [options.systemFile ?? systemConfigFile];
  if (home?.startsWith("/")) files.push(homeFile(home));
  return files;
}

function homeFile(home: string): string {
  return `${home.replace(/\/+$/, "")}/.staps.conf`;
}

/**
 * Gets the configuration from, in this order, what overrides comes first: the
 * options, the environment, the files of {@linkcode configFiles}, the defaults.
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
  const { configFile, socket, adminSocket, environment = {} } = options;
  const context = { home: environment.HOME };
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  const sources: string[] = [];
  const problems: ConfigProblem[] = [];

  for (const file of filesToRead(options)) {
    const read = readConfigFile(file, context);
    if (read === undefined) {
      if (file !== configFile) continue;
      problems.push({ file, got: "no such file", expected: "a file" });
      continue;
    }
    if (read.isReadable) sources.push(file);
    problems.push(...read.problems);
    for (const [name, { value, line }] of read.values) {
      values.set(name, value);
      if (value === undefined) origins.delete(name);
      else origins.set(name, { file, line });
    }
  }
  const fromEnvironment = readEnvironment(environment, context);
  problems.push(...fromEnvironment.problems);
  for (const [name, { value, origin }] of fromEnvironment.values) {
    values.set(name, value);
    origins.set(name, origin);
  }
  for (
    const [name, option, path] of [
      ["staps.socket", "--socket", socket],
      ["admin.socket", "--admin-socket", adminSocket],
    ] as const
  ) {
    if (path === undefined) continue;
    values.set(name, readSocketOption(path, { option, context }));
    origins.delete(name);
  }

  const config = makeConfig(values, environment);
  problems.push(...crossCheck(config, { origins, problems }));
  const rank = ({ file }: ConfigProblem): number =>
    sources.includes(file) ? sources.indexOf(file) : sources.length;
  problems.sort((a, b) => rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0));
  const unknownVariables = fromEnvironment.unknown;
  return { config, sources, origins, unknownVariables, problems };
}

/**
 * Gets the files that may be there. A home folder that may not be searched has
 * none: it is root's where a service was started by root and became its user.
 * But a file that was read before doesn't vanish silently.
 */
function filesToRead(options: ConfigOptions): readonly string[] {
  const { configFile, environment, readBefore = [] } = options;
  const files = configFiles(options);
  if (configFile !== undefined || environment?.HOME === undefined) return files;
  const ofHome = homeFile(environment.HOME);
  return readBefore.includes(ofHome) || !isHidden(ofHome)
    ? files
    : files.filter((file) => file !== ofHome);
}

function readSocketOption(
  path: string,
  { option, context }: { option: string; context: ReadContext },
): string {
  const value = socketPath.read(path, context);
  if (!(value instanceof Invalid)) return value;
  const { got = quoteValue(path), expected } = value;
  throw new UsageError(
    `Cannot use "${option}": got ${got}, expected ${expected}`,
  );
}

/** Gets the names of the environment variables that set something, in the table's order. */
export function settingVariables(
  { origins }: Pick<LoadedConfig, "origins">,
): string[] {
  return allSettings.flatMap(({ section, key }) =>
    origins.get(`${section}.${key}`)?.variable ?? []
  );
}

/** Gets the files that environment variables name for values, which a reload reads again. */
export function valueFiles(
  { origins }: Pick<LoadedConfig, "origins">,
): string[] {
  return [...origins.values()]
    .filter(({ variable }) => variable !== undefined)
    .map(({ file }) => file)
    .filter((file) => file !== inEnvironment);
}

/** Makes the configuration of `values`, by `section.key`, and of defaults. */
function makeConfig(
  values: ReadonlyMap<string, unknown>,
  environment: Environment,
): Config {
  const config: Record<string, Record<string, unknown>> = {};
  for (const setting of allSettings) {
    const { section, key, property } = setting;
    (config[section] ??= {})[property] = values.get(`${section}.${key}`) ??
      setting.environmentDefault?.(environment) ?? setting.default;
  }
  return config as unknown as Config;
}
