/**
 * The settings in words: `staps.conf.example` and the reference in the
 * documentation, both made from the table in `src/settings/table.ts`.
 */
import { variableFor } from "../src/settings/environment.ts";
import {
  allSettings,
  type PlacedSetting,
  type Section,
  settings,
} from "../src/settings/table.ts";

/** What {@linkcode renderExample} takes. */
export interface ExampleOptions {
  /** Values to set, as text by `section.key`; everything else is a comment with its default. */
  readonly set?: Readonly<Record<string, string>>;
}

/** What `staps.conf.example` sets: `staps status` and the monitoring ask there. */
export const exampleSettings = { "admin.socket": "/run/staps/admin.sock" };

/**
 * Gets a configuration file with every setting, its meaning and its default as
 * comments: a setting is changed by removing the `#` before it.
 *
 * @throws {RangeError} If `set` names a setting that there isn't.
 */
export function renderExample({ set = {} }: ExampleOptions = {}): string {
  const names = allSettings.map(({ section, key }) => `${section}.${key}`);
  for (const name of Object.keys(set)) {
    if (!names.includes(name)) throw new RangeError(`No setting "${name}"`);
  }
  const parts = [exampleHead(Object.keys(set).length > 0)];
  for (const [section, { doc }] of sections()) {
    parts.push(`[${section}]\n${comment(doc)}`);
    for (const setting of settingsOf(section)) {
      const value = set[`${section}.${setting.key}`];
      const line = `${setting.key} = ${value ?? defaultText(setting)}`;
      parts.push(
        comment(`${setting.doc} (${kindText(setting)})`) +
          `${value === undefined ? "#" : ""}${line.trimEnd()}\n`,
      );
    }
  }
  return parts.join("\n");
}

function exampleHead(hasActive: boolean): string {
  const rest = hasActive ? "The others are shown" : "All settings are shown";
  return comment(
    "The configuration of staps: /etc/staps/staps.conf for the machine, and ~/.staps.conf, whose keys win; " +
      "or the file after --config, alone. " +
      (hasActive ? "Lines without a # before them are in effect. " : "") +
      `${rest} with their defaults: remove the # before one to change it.`,
  ) + "#\n" + comment(
    "An environment variable wins over the files: STAPS_AMQP is amqp in [staps], STAPS_LOG_LEVEL is level in [log].",
  ) + "#\n" + comment(
    "Lines that begin with # or ; are comments; within a value both are ordinary characters, and so are quotes. " +
      "A key without a value has its default. staps names every mistake in this file, and doesn't start with one. " +
      "Settings marked with reload take effect on SIGHUP or systemctl reload, the others on a restart.",
  );
}

/** Gets the reference as Markdown: for each section a heading of level 3 and a table. */
export function renderReference(): string {
  const parts: string[] = [];
  for (const [section, { doc }] of sections()) {
    parts.push(
      `### [${section}]`,
      `${doc} ${environmentText(section)}`,
      [
        "| Key | Default | Value | Reload | Meaning |",
        "| --- | --- | --- | --- | --- |",
        ...settingsOf(section).map((setting) =>
          `| ${
            [
              code(setting.key),
              code(defaultText(setting)) || "unset",
              setting.type.name,
              setting.reload ? "yes" : "no",
              setting.doc,
            ].map((cell) => cell.replaceAll("|", "\\|")).join(" | ")
          } |`
        ),
      ].join("\n"),
    );
  }
  return parts.join("\n\n") + "\n";
}

/** Gets the rule for the names of a section's environment variables, a sentence. */
function environmentText(section: string): string {
  const name = variableFor({ section, key: "" });
  return `As environment variables: \`${name}\` and the key in capitals.`;
}

/** Gets a setting's default as it would stand in the file; empty if it is unset. */
export function defaultText(setting: PlacedSetting): string {
  return setting.default === undefined
    ? ""
    : setting.type.show(setting.default as NonNullable<unknown>);
}

/** Gets a setting's or section's doc without backticks, for where they would only stand in the way. */
export function plainText(doc: string): string {
  return doc.replaceAll("`", "");
}

function kindText({ type, reload }: PlacedSetting): string {
  return reload ? `${type.name}; reload` : type.name;
}

function sections(): [string, Section][] {
  return Object.entries(settings);
}

function settingsOf(section: string): readonly PlacedSetting[] {
  return allSettings.filter((setting) => setting.section === section);
}

function code(text: string): string {
  return text === "" ? "" : `\`${text}\``;
}

/** Turns a paragraph into comment lines of 78 characters at most, if its words let it. */
function comment(paragraph: string): string {
  const lines = ["#"];
  for (const word of plainText(paragraph).split(" ")) {
    const line = lines.at(-1)!;
    if (line.length + 1 + word.length > 78) lines.push(`# ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join("\n") + "\n";
}
