/** `staps join`: a client for people and scripts. */
import { UsageError } from "../../common/errors.ts";
import { nonEmpty, type Subcommand } from "../subcommand.ts";
import type { TrustOptions } from "./trust.ts";

/** What `staps join` is told on the command line. */
export interface JoinOptions extends TrustOptions {
  /** Unset: what the environment variable `STAPS_URL` says. */
  readonly url?: string | undefined;
  /** The unix socket to connect to, whatever host the URL names. */
  readonly socket?: string;
  /** Whether messages are bytes instead of lines. */
  readonly binary?: boolean;
  /** After how many printed messages to end; 0 for never. Unset: at the end of the input. */
  readonly count?: number;
  /** Whether to connect again when the connection ends. */
  readonly reconnect?: boolean;
}

/** `staps join`; ends with one of `joinStatus`. */
export const join: Subcommand<JoinOptions> = {
  name: "join",
  summary: "be a client: publish lines, print messages",
  description:
    "Publishes each line of standard input as a message, and prints the messages\n" +
    "of others, each on a line. Ends with the input, or as -n says.\n\n" +
    "URL is ws:// or wss://, and with --socket a path alone will do. A command line\n" +
    "is visible to other users of the machine: to keep the URL from them, leave it\n" +
    "out and set the environment variable STAPS_URL.",
  declare(command): void {
    command
      .argument("[url]", "the channel; STAPS_URL if it is missing")
      .option(
        "-s, --socket <path>",
        "connect to this unix socket, whatever host the URL names",
        nonEmpty,
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
      .option(
        "--ca <file>",
        "trust the authorities in this PEM file, not the system's (wss://)",
        nonEmpty,
      )
      .option("--insecure", "trust anybody, whatever the certificate (wss://)");
  },
  async run(options, context): Promise<number> {
    const url = channelUrl(options, context.environment.STAPS_URL);
    // The client takes a while to load.
    const { Session } = await import("./session.ts");
    return await new Session({ ...options, url }, context).run();
  },
};

/** Takes a whole number. @throws {UsageError} If it is none. */
function parseCount(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) {
    throw new UsageError(
      `Cannot use "-n": got "${text}", expected a whole number`,
    );
  }
  return Number(text);
}

/**
 * Gets the URL to connect to. Errors don't show it: it is a secret.
 *
 * @throws {UsageError} If there is none, or one that can't be used.
 */
export function channelUrl(
  { url, socket }: Pick<JoinOptions, "url" | "socket">,
  fromEnvironment: string | undefined,
): string {
  const text = url ?? fromEnvironment ?? "";
  if (text === "") {
    throw new UsageError("Cannot join: there is no URL", {
      hint: 'give one, such as the one that "staps url" prints',
    });
  }
  if (socket !== undefined && text.startsWith("/")) {
    return `ws://localhost${text.replace(/#.*/s, "")}`;
  }
  const parsed = URL.parse(text);
  if (parsed?.protocol !== "ws:" && parsed?.protocol !== "wss:") {
    const scheme = parsed?.protocol.replace(/^http/, "ws");
    throw new UsageError(
      parsed === null && /^wss?:/i.test(text)
        ? "Cannot join: expected a URL with a host, and a port below 65536 if any"
        : "Cannot join: expected a URL that begins with ws:// or wss://",
      parsed?.protocol.startsWith("http")
        ? { hint: `${scheme}// instead of ${parsed.protocol}//` }
        : text.startsWith("/")
        ? { hint: "a path alone needs --socket" }
        : {},
    );
  }
  // A fragment never leaves a client, and WebSockets refuse it.
  parsed.hash = "";
  return parsed.href;
}
