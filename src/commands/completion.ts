/** `staps completion`: prints what makes a shell complete staps's command line. */
import { writeAll } from "../common/terminal.ts";
import type { Subcommand } from "./subcommand.ts";

/** The shells with completions. */
export const shells = ["bash", "zsh", "fish"] as const;

/** A shell with completions. */
export type Shell = typeof shells[number];

/** A subcommand, as far as completing it in a shell needs it. */
export interface CommandInfo {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly {
    readonly short: string | undefined;
    readonly long: string;
    readonly description: string;
    /** What follows: a file, a user, something that can't be completed, or nothing. */
    readonly value: "file" | "user" | "other" | undefined;
  }[];
  /** What its argument may be, if these are few words. */
  readonly choices: readonly string[];
}

/** `staps completion`, for the subcommands that `tree` returns, the default one first. */
export function completion(
  tree: () => readonly CommandInfo[],
): Subcommand<{ readonly shell: Shell }> {
  return {
    name: "completion",
    summary: "print completions for a shell",
    description:
      "Prints a script that makes the shell complete staps's commands and options:\n\n" +
      "bash: staps completion bash > /etc/bash_completion.d/staps\n" +
      "zsh:  staps completion zsh > /usr/local/share/zsh/site-functions/_staps\n" +
      "fish: staps completion fish > /etc/fish/completions/staps.fish",
    declare(command): void {
      command.addArgument(
        command.createArgument("<shell>", "the shell").choices(shells),
      );
    },
    async run({ shell }, { stdout }): Promise<number> {
      await writeAll(stdout, completionScript(shell, tree()));
      return 0;
    },
  };
}

/** Gets the script for `shell` that completes the subcommands `tree`, the default one first. */
export function completionScript(
  shell: Shell,
  tree: readonly CommandInfo[],
): string {
  return scripts[shell](tree);
}

const scripts: Record<Shell, (tree: readonly CommandInfo[]) => string> = {
  bash,
  zsh,
  fish,
};

/** What bash and fish complete users with, and files. */
const bashValues = {
  file: 'mapfile -t COMPREPLY < <(compgen -f -- "$word")',
  user: 'mapfile -t COMPREPLY < <(compgen -u -- "$word")',
  other: "COMPREPLY=()",
} as const;

function bash(tree: readonly CommandInfo[]): string {
  const names = tree.map(({ name }) => name).join(" ");
  const commands = tree.map(({ name, options, choices }) => {
    const values = options.flatMap(({ short, long, value }) =>
      value === undefined ? [] : [
        `        ${namesOf(short, long).join("|")}) ${
          bashValues[value]
        }; return ;;`,
      ]
    );
    const words = [...options.map(({ long }) => long), ...choices].join(" ");
    return [
      `    ${name})`,
      '      case "$previous" in',
      ...values,
      "      esac",
      `      words="${words}" ;;`,
    ].join("\n");
  });
  return `# Completion of staps for bash, made by: staps completion bash
_staps() {
  local word="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command="\${COMP_WORDS[1]}" words
  if (( COMP_CWORD == 1 )) && [[ $word != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${names}" -- "$word")
    return
  fi
  # Options without a command are those of serve.
  [[ $command == -* ]] && command=serve
  case "$command" in
${commands.join("\n")}
    *) return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o filenames -F _staps staps
`;
}

function zsh(tree: readonly CommandInfo[]): string {
  const zshValues = {
    file: ":file:_files",
    user: ":user:_users",
    other: ":value:",
  };
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  // In _arguments, brackets and colons have a meaning.
  const described = (text: string): string =>
    text.replaceAll(/[[\]:]/g, "\\$&");
  const commands = tree.map(({ name, options, choices }) => {
    const specs = options.flatMap(({ short, long, description, value }) => {
      const all = namesOf(short, long);
      return all.map((option) =>
        quote(
          `(${all.join(" ")})${option}[${described(description)}]${
            value === undefined ? "" : zshValues[value]
          }`,
        )
      );
    });
    if (choices.length > 0) specs.push(quote(`1:word:(${choices.join(" ")})`));
    return `    ${name}) _arguments ${specs.join(" \\\n      ")} ;;`;
  });
  const descriptions = tree.map(({ name, summary }) =>
    `    ${quote(`${name}:${summary}`)}`
  );
  return `#compdef staps
# Completion of staps for zsh, made by: staps completion zsh
_staps() {
  local -a commands
  commands=(
${descriptions.join("\n")}
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    return
  fi
  # Options without a command are those of serve.
  local command=$words[2]
  if [[ $command == -* ]]; then
    command=serve
  else
    shift words
    (( CURRENT-- ))
  fi
  case $command in
${commands.join("\n")}
  esac
}
if [[ $funcstack[1] == _staps ]]; then
  _staps "$@"
else
  compdef _staps staps
fi
`;
}

function fish(tree: readonly CommandInfo[]): string {
  const quote = (text: string): string =>
    `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const fishValues = {
    file: " -r -F",
    user: " -x -a '(__fish_complete_users)'",
    other: " -x",
  } as const;
  const names = tree.map(({ name }) => name).join(" ");
  const lines = tree.flatMap(({ name, summary, options, choices }, index) => {
    const inCommand = `__fish_seen_subcommand_from ${name}`;
    // Options without a command are those of the first, serve.
    const condition = index === 0
      ? `not __fish_seen_subcommand_from ${names}; or ${inCommand}`
      : inCommand;
    return [
      `complete -c staps -f -n 'not __fish_seen_subcommand_from ${names}' -a ${name} -d ${
        quote(summary)
      }`,
      ...options.map(({ short, long, description, value }) =>
        `complete -c staps -n ${quote(condition)}${
          short === undefined ? "" : ` -s ${short.slice(1)}`
        } -l ${long.slice(2)}${
          value === undefined ? " -f" : fishValues[value]
        } -d ${quote(description)}`
      ),
      ...choices.map((choice) =>
        `complete -c staps -f -n ${quote(inCommand)} -a ${choice}`
      ),
    ];
  });
  return `# Completion of staps for fish, made by: staps completion fish
complete -c staps -f
${lines.join("\n")}
`;
}

/** An option's names. */
function namesOf(short: string | undefined, long: string): string[] {
  return short === undefined ? [long] : [short, long];
}
