/** Configurations from text: each is loaded from a file of its own, as `--config FILE` is. */
import assert from "node:assert/strict";
import { loadConfig, type LoadedConfig } from "../../src/settings/config.ts";
import { ConfigProblemsError } from "../../src/settings/problems.ts";
import {
  type Config,
  type Environment,
  findSetting,
} from "../../src/settings/table.ts";

/** Loads a file with this content; it is gone afterwards. */
export function loadText(
  content: string | Uint8Array,
  options: { readonly environment?: Environment } = {},
): LoadedConfig {
  const folder = Deno.makeTempDirSync({ prefix: "staps-test-" });
  const configFile = `${folder}/staps.conf`;
  try {
    if (typeof content === "string") {
      Deno.writeTextFileSync(configFile, content);
    } else Deno.writeFileSync(configFile, content);
    return loadConfig({ ...options, configFile });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Gets the error that a file with this text causes. */
export function refusal(text: string): ConfigProblemsError {
  try {
    loadText(text);
  } catch (error) {
    assert.ok(error instanceof ConfigProblemsError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: `Accepted: ${text}` });
}

/** Gets an error's message with `path` in place of the file that {@linkcode loadText} made. */
export function messageFor(
  path: string,
  { message, problems }: ConfigProblemsError,
): string {
  return message.replaceAll(problems[0]!.file, path);
}

/** Gets the value that `config` has for a key of the file. */
export function valueOf(
  config: Config,
  { section, key }: { section: string; key: string },
): unknown {
  const values: Readonly<Record<string, Readonly<Record<string, unknown>>>> =
    config;
  return values[section]?.[findSetting(section, key)!.property];
}
