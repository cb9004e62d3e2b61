/**
 * Settings from environment variables, as containers have them: `STAPS_<KEY>`
 * for a key of `[staps]`, `STAPS_<SECTION>_<KEY>` for one of another section.
 * For a secret, the same with `_FILE` behind it names a file that has the value.
 */
import { isUtf8 } from "node:buffer";
import { nearMiss } from "../common/near_miss.ts";
import { readAtMost, whyUnreadable } from "./bounded_file.ts";
import { controlCharacter } from "./ini.ts";
import {
  type ConfigProblem,
  inEnvironment,
  type Origin,
  quoteValue,
} from "./problems.ts";
import { allSettings, type Environment, type PlacedSetting } from "./table.ts";
import { Invalid, path, type ReadContext } from "./types.ts";

/** What all names begin with. */
const prefix = "STAPS_";

/** The largest value in a file, in bytes. */
const maxFileBytes = 64 * 1024;

/** Variables with the same beginning that other parts of staps read. */
const otherVariables: readonly string[] = [
  // `staps join` and `staps publish`
  "STAPS_URL",
  // The self-extracting executable: scripts/launcher.sh
  "STAPS_CACHE",
];

/**
 * What Kubernetes and Docker's links set in each container for a service that
 * is called `staps` or `staps-NAME` (Kubernetes: Service, environment
 * variables). No setting may have such a name.
 */
export const ofServices =
  /^STAPS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_PROTO|_PORT|_ADDR)?)?)$/;

/** A variable that begins with `STAPS_`, and that nothing reads. */
export interface UnknownVariable {
  readonly name: string;
  /** The one that was probably meant. */
  readonly near: string | undefined;
}

/** What {@linkcode readEnvironment} found. */
export interface EnvironmentSettings {
  /** Values with where they come from, by `section.key`. */
  readonly values: ReadonlyMap<
    string,
    { readonly value: unknown; readonly origin: Origin }
  >;
  readonly problems: readonly ConfigProblem[];
  readonly unknown: readonly UnknownVariable[];
}

/** Gets the name of the variable for `[section] key`. */
export function variableFor(
  { section, key }: Pick<PlacedSetting, "section" | "key">,
): string {
  const place = section === "staps" ? [key] : [section, key];
  return `${prefix}${place.join("_").toUpperCase()}`;
}

/** Gets the name of the variable for a file with the value, or `undefined` if the setting is no secret. */
export function fileVariableFor(setting: PlacedSetting): string | undefined {
  return setting.secret ? `${variableFor(setting)}_FILE` : undefined;
}

/**
 * Reads all settings that `environment` has. An empty variable counts as
 * unset, as compose files make them of variables that nobody has set.
 */
export function readEnvironment(
  environment: Environment,
  context: ReadContext,
): EnvironmentSettings {
  const values = new Map<string, { value: unknown; origin: Origin }>();
  const problems: ConfigProblem[] = [];
  for (const setting of allSettings) {
    const { section, key } = setting;
    const found = findText(setting, environment, context);
    if (found === undefined) continue;
    const { text, origin } = found;
    const value = text instanceof Invalid
      ? text
      : readValue(text, setting, context);
    if (value instanceof Invalid) {
      const { got = quoteValue(String(text)), expected, hint } = value;
      problems.push({ ...origin, section, key, got, expected, hint });
    } else values.set(`${section}.${key}`, { value, origin });
  }
  return { values, problems, unknown: unknownIn(environment) };
}

/** Gets a setting's text from its variable, or from the file that one names; `undefined` if it has neither. */
function findText(
  setting: PlacedSetting,
  environment: Environment,
  context: ReadContext,
): { text: string | Invalid; origin: Origin } | undefined {
  const variable = variableFor(setting);
  const fileVariable = fileVariableFor(setting);
  const text = valueOf(environment, variable);
  const name = fileVariable && valueOf(environment, fileVariable);
  const origin = { file: inEnvironment, variable };
  if (name === undefined) return text === undefined ? text : { text, origin };
  const fileOrigin = { file: inEnvironment, variable: fileVariable };
  if (text !== undefined) {
    const expected = `only one of it and "${variable}"`;
    return {
      text: new Invalid(expected, { got: "both" }),
      origin: fileOrigin,
    };
  }
  const file = path.read(name, context);
  if (file instanceof Invalid) {
    const got = file.got ?? quoteValue(name);
    const text = new Invalid(file.expected, { got });
    return { text, origin: fileOrigin };
  }
  return { text: readText(file), origin: { ...fileOrigin, file } };
}

function valueOf(environment: Environment, name: string): string | undefined {
  const text = environment[name]?.trim();
  return text === "" ? undefined : text;
}

/** Gets the text in a file, without the blanks around it. */
function readText(file: string): string | Invalid {
  let content;
  try {
    content = readAtMost(file, maxFileBytes + 1);
  } catch (error) {
    const { got, expected } = whyUnreadable(error);
    return new Invalid(expected, { got });
  }
  if (content.length > maxFileBytes) {
    return new Invalid("one value", {
      got: `more than ${maxFileBytes / 1024} KiB`,
    });
  }
  if (!isUtf8(content)) {
    return new Invalid("text in UTF-8", { got: "bytes that are no UTF-8" });
  }
  const text = new TextDecoder().decode(content).trim();
  return text === "" ? new Invalid("a value", { got: "nothing" }) : text;
}

function readValue(
  text: string,
  { type }: PlacedSetting,
  context: ReadContext,
): unknown {
  const control = controlCharacter(text);
  return control === undefined
    ? type.read(text, context)
    : new Invalid("text", { got: `the control character ${control}` });
}

function unknownIn(environment: Environment): UnknownVariable[] {
  const known = allSettings.flatMap((setting) => [
    variableFor(setting),
    fileVariableFor(setting) ?? [],
  ]).flat();
  return Object.keys(environment)
    .filter((name) => name.startsWith(prefix) && environment[name] !== "")
    .filter((name) => ![...known, ...otherVariables].includes(name))
    .filter((name) => !ofServices.test(name))
    .sort()
    .map((name) => ({ name, near: nearVariable(name, known) }));
}

/** Gets the variable that was probably meant. What all have in common would make all of them near. */
function nearVariable(
  name: string,
  known: readonly string[],
): string | undefined {
  const bare = (name: string): string => name.slice(prefix.length);
  const near = nearMiss(bare(name), known.map(bare));
  return near && prefix + near;
}
