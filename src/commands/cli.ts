/**
 * The command line: arguments to a {@linkcode Command}; the only code that
 * knows commander.
 *
 * Another subcommand is a variant of `Command` and a function beside
 * `addServe`.
 */
import { Argument, Command as Program, CommanderError } from "commander";
import { UsageError } from "../common/errors.ts";
import { nearMiss } from "../common/near_miss.ts";
import { version } from "../common/version.ts";

/** A TCP address on this machine. */
export interface ListenAddress {
  /** An address in 127.0.0.0/8, or `::1`. */
  readonly hostname: string;
  /** `0`: any free one. */
  readonly port: number;
}

/** `staps join`: to be a client of a channel. */
export interface JoinCommand {
  readonly kind: "join";
  /** Unset: what the environment variable `STAPS_URL` says. */
  readonly url?: string;
  /** The unix socket to connect to, whatever host the URL names. */
  readonly socket?: string;
  /** Whether messages are bytes instead of lines. */
  readonly binary: boolean;
  /** After how many printed messages to end; 0 for never. Unset: at the end of the input. */
  readonly count?: number;
  /** Whether to connect again when the connection ends. */
  readonly reconnect: boolean;
}

/** `staps check`: to look for what is wrong. */
export interface CheckCommand {
  readonly kind: "check";
  readonly configFile?: string;
  readonly json: boolean;
  /** The user that staps runs as, unless the configuration or the system says so. */
  readonly user?: string;
  /** The frontend's user, unless it is nginx's. */
  readonly frontend?: string;
}

/** `staps status`: to see how a node does. */
export interface StatusCommand {
  readonly kind: "status";
  readonly configFile?: string;
  /** The admin socket; the one in the configuration if it is missing. */
  readonly socket?: string;
  /** Whether to ask again and again. */
  readonly watch: boolean;
}

/** The shells that {@linkcode commandTree} is made into completions for. */
export const shells = ["bash", "zsh", "fish"] as const;

/** A shell with completions. */
export type Shell = typeof shells[number];

/** What somebody wants of staps. Names of files are as given: relative ones to the working folder. */
export type Command =
  | {
    readonly kind: "serve";
    readonly configFile?: string;
    readonly socket?: string;
    readonly adminSocket?: string;
    readonly listen?: ListenAddress;
  }
  | JoinCommand
  | CheckCommand
  | StatusCommand
  | { readonly kind: "completion"; readonly shell: Shell }
  | {
    readonly kind: "url";
    /** Where the channel is to be; see `commands/url.ts`. */
    readonly base: string;
  }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" };

/**
 * Gets the command that `args` mean, the arguments after the program's name.
 * Neither prints nor exits.
 *
 * @throws {UsageError} If they mean none.
 */
export function parseCommandLine(args: readonly string[]): Command {
  let command: Command | undefined;
  let output = "";
  const program = newProgram((text) => output += text);
  // A node starts sooner without the options of commands that it isn't.
  const add = args[0] === "serve" ? [addServe] : addCommands;
  for (const one of add) one(program, (result) => command = result);
  refuseUnknownCommand(program, args[0]);
  try {
    program.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.version") return { kind: "version" };
    if (error.exitCode === 0) return { kind: "help", text: output };
    throw usageError(error);
  }
  return command!;
}

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

/** Gets all subcommands, the default one first. */
export function commandTree(): CommandInfo[] {
  const program = newProgram(() => {});
  for (const add of addCommands) add(program, () => {});
  return program.commands.map((command) => ({
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

/** In the order of the help. */
const addCommands = [
  addServe,
  addCheck,
  addStatus,
  addUrl,
  addJoin,
  addCompletion,
] as const;

/** Takes a subcommand's result. */
type Run = (command: Command) => void;

function newProgram(print: (text: string) => void): Program {
  return new Program("staps")
    .description("Temporary publish/subscribe channels over WebSocket")
    .helpOption("-h, --help", "show this help, or a command's after its name")
    .helpCommand(false)
    .version(version, "-V, --version", "show the version")
    .exitOverride()
    // What commander would print as an error, it also throws.
    .configureOutput({
      writeOut: print,
      writeErr: () => {},
      getOutHelpWidth: () => 80,
      getOutHasColors: () => false,
    });
}

function addServe(program: Program, run: Run): void {
  const serve = program.command("serve", { isDefault: true })
    .summary("run the server (the default)")
    .description(
      "Runs the server in the foreground until SIGTERM or SIGINT.\n\n" +
        "Without --config, the settings come from /etc/staps/staps.conf and then\n" +
        "~/.staps.conf, as far as they exist; the later file's keys win.",
    )
    .option("-c, --config <file>", "read this configuration file only", filled)
    .option(
      "-s, --socket <path>",
      "listen on this unix socket, whatever the configuration says",
      filled,
    )
    .option(
      "--admin-socket <path>",
      "use this admin socket, whatever the configuration says",
      filled,
    )
    .option(
      "-l, --listen <address>",
      "listen on this loopback address too, such as 127.0.0.1:8080 (for development)",
      parseListen,
    )
    .action((options: {
      config?: string;
      socket?: string;
      adminSocket?: string;
      listen?: ListenAddress;
    }) => {
      const { config, ...others } = options;
      run({
        kind: "serve",
        ...(config === undefined ? {} : { configFile: config }),
        ...others,
      });
    });
  program.addHelpText("after", () => {
    const help = serve.helpInformation();
    return `\n${
      help.slice(help.indexOf("Options:")).replace(":", " of serve:")
    }`;
  });
}

function addCheck(program: Program, run: Run): void {
  program.command("check")
    .summary("look for what is wrong with the configuration and around it")
    .description(
      "Reads the configuration as the server would, and looks at what it needs: folders\n" +
        "and rights, the limit of open files, the broker, the frontend's access to the\n" +
        "socket. Reports every problem, not only the first.\n\n" +
        "Ends with 0 if nothing failed, 78 if the server wouldn't start with this\n" +
        "configuration, and 1 if something else failed.",
    )
    .option("-c, --config <file>", "read this configuration file only", filled)
    .option("-j, --json", "print JSON")
    .option(
      "-u, --user <user>",
      "check what this user may do, as whom staps runs",
      filled,
    )
    .option(
      "-f, --frontend <user>",
      "check whether this user can connect, instead of nginx's",
      filled,
    )
    .action((options: {
      config?: string;
      json?: boolean;
      user?: string;
      frontend?: string;
    }) => {
      const { config, ...others } = options;
      run({
        kind: "check",
        json: false,
        ...(config === undefined ? {} : { configFile: config }),
        ...others,
      });
    });
}

function addStatus(program: Program, run: Run): void {
  program.command("status")
    .summary("show how the server does")
    .description(
      "Asks the server on its admin socket, [admin] socket in the configuration.\n\n" +
        "Ends with 0 if the server is ready, 3 if it isn't, and 1 if it can't be asked.",
    )
    .option("-c, --config <file>", "read this configuration file only", filled)
    .option(
      "-s, --socket <path>",
      "ask on this admin socket, whatever the configuration says",
      filled,
    )
    .option("-w, --watch", "show it again each second, until Ctrl-C")
    .action((options: {
      config?: string;
      socket?: string;
      watch?: boolean;
    }) => {
      const { config, ...others } = options;
      run({
        kind: "status",
        watch: false,
        ...(config === undefined ? {} : { configFile: config }),
        ...others,
      });
    });
}

function addCompletion(program: Program, run: Run): void {
  program.command("completion")
    .summary("print completions for a shell")
    .description(
      "Prints a script that makes the shell complete staps's commands and options:\n\n" +
        "bash: staps completion bash > /etc/bash_completion.d/staps\n" +
        "zsh:  staps completion zsh > /usr/local/share/zsh/site-functions/_staps\n" +
        "fish: staps completion fish > /etc/fish/completions/staps.fish",
    )
    .addArgument(
      new Argument("<shell>", "the shell").choices(shells),
    )
    .action((shell: Shell) => run({ kind: "completion", shell }));
}

function addUrl(program: Program, run: Run): void {
  program.command("url")
    .summary("print the URL of a fresh channel")
    .description(
      "Prints the URL of a channel that nobody else knows: BASE with a random\n" +
        "UUID4 after it. Whoever has the URL may read and write.",
    )
    .argument(
      "[base]",
      "where staps is reached, such as wss://example.org/ or example.org",
      "ws://localhost/",
    )
    .action((base: string) => run({ kind: "url", base }));
}

function addJoin(program: Program, run: Run): void {
  program.command("join")
    .summary("be a client: publish lines, print messages")
    .description(
      "Publishes each line of standard input as a message, and prints the messages\n" +
        "of others, each on a line. Ends with the input, or as -n says.\n\n" +
        "URL is ws:// or wss://, and with --socket a path alone will do. A command line\n" +
        "is visible to other users of the machine: to keep the URL from them, leave it\n" +
        "out and set the environment variable STAPS_URL.",
    )
    .argument("[url]", "the channel; STAPS_URL if it is missing")
    .option(
      "-s, --socket <path>",
      "connect to this unix socket, whatever host the URL names",
      filled,
    )
    .option(
      "-b, --binary",
      "publish all of the input as one binary message; print bytes as they come",
    )
    .option(
      "-n, --count <number>",
      "end after printing this many messages, not with the input; 0: never",
      parseCount,
    )
    .option("-r, --reconnect", "connect again when the connection is lost")
    .action((url: string | undefined, options: {
      socket?: string;
      binary?: boolean;
      count?: number;
      reconnect?: boolean;
    }) =>
      run({
        kind: "join",
        binary: false,
        reconnect: false,
        ...(url === undefined ? {} : { url }),
        ...options,
      })
    );
}

/** Takes a whole number. @throws {UsageError} If it is none. */
function parseCount(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) {
    throw new UsageError(
      `Cannot use "-n": got "${text}", expected a whole number`,
    );
  }
  return Number(text);
}

/** Takes an option's value that may be anything but empty. */
function filled(text: string): string {
  if (text === "") {
    throw new UsageError("Cannot use an empty option: expected a file's name");
  }
  return text;
}

/**
 * Takes `HOST:PORT` on the loopback interface; `localhost` is 127.0.0.1.
 *
 * @throws {UsageError} If it is anything else.
 */
function parseListen(text: string): ListenAddress {
  const match = text.match(/^(\[[^\]]*\]|[^:]*):([0-9]{1,5})$/);
  const [, host = "", portText = ""] = match ?? [];
  const port = Number(portText);
  if (match === null || port > 65535) {
    throw new UsageError(
      `Cannot use "--listen": got "${text}", expected an address and a port such as 127.0.0.1:8080`,
    );
  }
  if (host.toLowerCase() === "localhost") {
    return { hostname: "127.0.0.1", port };
  }
  if (host === "[::1]") return { hostname: "::1", port };
  const byte = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
  if (new RegExp(`^127(\\.${byte}){3}$`).test(host)) {
    return { hostname: host, port };
  }
  throw new UsageError(
    `Cannot use "--listen": got "${text}", expected a loopback address (127.0.0.0/8, [::1] or localhost)`,
    {
      hint:
        "staps has no authentication, no TLS and no limits per address: for other machines, put a frontend such as nginx before its socket",
    },
  );
}

/** Says what commander can't say where there is a default command. */
function refuseUnknownCommand(
  program: Program,
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
