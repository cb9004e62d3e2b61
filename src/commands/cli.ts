/** The command line: arguments to a subcommand and its options; the only code that runs commander. */
import { Command, CommanderError } from "commander";
import { UsageError } from "../common/errors.ts";
import { nearMiss } from "../common/near_miss.ts";
import { build, version } from "../common/version.ts";
import { check } from "./check/check.ts";
import { type CommandInfo, completion } from "./completion.ts";
import { join } from "./join/join.ts";
import { license } from "./license.ts";
import { publish } from "./publish/publish.ts";
import { serve } from "./serve.ts";
import { status } from "./status/status.ts";
import type { Subcommand } from "./subcommand.ts";
import { url } from "./url.ts";

/** All subcommands, in the order of the help. */
const subcommands: readonly Subcommand[] = [
  serve,
  check,
  status,
  url,
  join,
  publish,
  completion(commandTree),
  license,
];

/** What somebody wants of staps: a subcommand with its options, or just a text to read. */
export type CommandLine =
  | { readonly subcommand: Subcommand; readonly options: object }
  | { readonly text: string };

/**
 * Gets what `words` mean, the arguments after the program's name. Neither prints
 * nor exits.
 *
 * @throws {UsageError} If they mean nothing.
 */
export function parseCommandLine(words: readonly string[]): CommandLine {
  const args = usualSpelling(words);
  let chosen: CommandLine | undefined;
  let text = "";
  const program = newProgram({
    // A node starts sooner without the options of commands that it isn't.
    subcommands: args[0] === "serve" ? [serve] : subcommands,
    print: (part) => text += part,
    choose: (subcommand, options) => chosen = { subcommand, options },
  });
  refuseUnknownCommand(program, args[0]);
  try {
    program.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { text };
    throw usageError(error);
  }
  return chosen!;
}

/** Gets `staps help join`, `staps -v` and the like, which people know from other programs, as they are spelled here. */
function usualSpelling(args: readonly string[]): readonly string[] {
  const [first, ...rest] = args;
  if (first === "help") return [...rest, "--help"];
  if (first === "-v" || first === "version") return ["--version", ...rest];
  if (first === "--license") return ["license", ...rest];
  return args;
}

/** Gets all subcommands, the default one first. */
export function commandTree(): CommandInfo[] {
  return newProgram({ subcommands }).commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    options: command.createHelp().visibleOptions(command).map((option) => ({
      short: option.short,
      long: option.long!,
      description: option.description,
      value: !option.required
        ? undefined
        : /<(file|path)>/.test(option.flags)
        ? "file"
        : /<user>/.test(option.flags)
        ? "user"
        : "other",
    })),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  }));
}

/** Gets commander's program, which passes the subcommand that it finds to `choose`. */
function newProgram(
  { subcommands, print = () => {}, choose = () => {} }: {
    subcommands: readonly Subcommand[];
    print?: (text: string) => void;
    choose?: (subcommand: Subcommand, options: object) => void;
  },
): Command {
  const program = new Command("staps")
    .description("Temporary publish/subscribe channels over WebSocket")
    .helpOption("-h, --help", "show this help, or a command's after its name")
    .helpCommand(false)
    .version(
      `staps ${version} (${build()})`,
      "-V, --version",
      "show the version; so does -v",
    )
    .exitOverride()
    // What commander would print as an error, it also throws.
    .configureOutput({
      writeOut: print,
      writeErr: () => {},
      getOutHelpWidth: () => 80,
      getOutHasColors: () => false,
    });
  for (const subcommand of subcommands) {
    const { name, summary, description } = subcommand;
    const command = program.command(name, { isDefault: subcommand === serve })
      .summary(summary).description(description);
    subcommand.declare(command);
    command.action(() => {
      const values = command.registeredArguments.map((argument, index) => [
        argument.name(),
        command.processedArgs[index],
      ]);
      choose(subcommand, { ...command.opts(), ...Object.fromEntries(values) });
    });
    if (subcommand === serve) {
      program.addHelpText("after", () => {
        const help = command.helpInformation();
        return `\n${
          help.slice(help.indexOf("Options:")).replace(":", " of serve:")
        }`;
      });
    }
  }
  return program;
}

/** Says what commander can't say where there is a default command. */
function refuseUnknownCommand(
  program: Command,
  first: string | undefined,
): void {
  if (first === undefined || first.startsWith("-")) return;
  const names = program.commands.map((command) => command.name());
  if (names.includes(first)) return;
  const near = nearMiss(first, names);
  throw new UsageError(`Cannot run "${first}": there is no such command`, {
    hint: near === undefined
      ? 'See "staps --help"'
      : `Did you mean "staps ${near}"?`,
  });
}

/** `error: unknown option '--confg'\n(Did you mean --config?)` in the words of this house. */
function usageError(error: CommanderError): UsageError {
  const [first = "", suggestion] = error.message.split("\n");
  const message = first.replace(/^error: /, "").replaceAll("'", '"')
    .replace(/\.$/, "");
  return new UsageError(
    `Cannot understand the command line: ${message}`,
    { hint: suggestion?.match(/^\((.*)\)$/)?.[1] ?? 'See "staps --help"' },
  );
}
