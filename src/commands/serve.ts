/** `staps serve`: runs a node. */
import { UsageError } from "../common/errors.ts";
import { instanceConfig } from "./instance.ts";
import { configOption, nonEmpty, type Subcommand } from "./subcommand.ts";

/** A TCP address on this machine. */
export interface ListenAddress {
  /** An address in 127.0.0.0/8, or `::1`. */
  readonly hostname: string;
  /** `0`: any free one. */
  readonly port: number;
}

/** What a node is told on the command line. Names of files are as given: relative ones to the working folder. */
export interface ServeOptions {
  readonly config?: string;
  readonly socket?: string;
  readonly adminSocket?: string;
  readonly listen?: ListenAddress;
  /** A file whose keys win over those of `config`; it need not exist. */
  readonly instanceFile?: string;
}

/** The command line; `--instance` is spelled out in {@linkcode ServeOptions}. */
interface CommandOptions extends Omit<ServeOptions, "instanceFile"> {
  /** What follows the `@` in the name of a unit. */
  readonly instance?: string;
}

/** `staps serve` */
export const serve: Subcommand<CommandOptions> = {
  name: "serve",
  summary: "run the server (the default)",
  description:
    "Runs the server in the foreground until SIGTERM or SIGINT.\n\n" +
    "Without --config, the settings come from /etc/staps/staps.conf and then\n" +
    "~/.staps.conf, as far as they exist; the later file's keys win. Environment\n" +
    "variables win over files: STAPS_SOCKET is [staps] socket, STAPS_LOG_LEVEL is\n" +
    "[log] level.",
  declare(command): void {
    command
      .option(...configOption)
      .option(
        "-s, --socket <path>",
        "listen on this unix socket, whatever the configuration says",
        nonEmpty,
      )
      .option(
        "--admin-socket <path>",
        "use this admin socket, whatever the configuration says",
        nonEmpty,
      )
      .option(
        "--instance <name>",
        "be one of several servers, as the unit staps@NAME starts it: read /etc/staps/NAME.conf too, and use the sockets in /run/staps-NAME",
        nonEmpty,
      )
      .option(
        "-l, --listen <address>",
        "listen on this loopback address too, such as 127.0.0.1:8080 (for development)",
        parseListen,
      );
  },
  async run({ instance, ...options }, context): Promise<number> {
    await context.serve({
      ...ofInstance(instance, options.config),
      ...options,
    });
    return 0;
  },
};

/** Gets what being the instance `name` means, unless other options say otherwise. */
function ofInstance(
  name: string | undefined,
  config: string | undefined,
): ServeOptions {
  if (name === undefined) return {};
  const { configFile, ...own } = instanceConfig(`staps@${name}`, config);
  return { config: configFile, ...own };
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
