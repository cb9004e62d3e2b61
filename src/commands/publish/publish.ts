/** `staps publish`: one message by POST, and the honest answer whether anybody got it. */
import { UsageError } from "../../common/errors.ts";
import { harmless, writeAll } from "../../common/terminal.ts";
import { trustOf } from "../join/trust.ts";
import { type Context, nonEmpty, type Subcommand } from "../subcommand.ts";
import { readMessage } from "./input.ts";
import { type Answer, post } from "./post.ts";

/** What `staps publish` is told on the command line. */
export interface PublishOptions {
  /** Unset: what the environment variable `STAPS_URL` says. */
  readonly url?: string | undefined;
  /** Unset: standard input is the message. */
  readonly message?: string;
  /** The unix socket to connect to, whatever host the URL names. */
  readonly socket?: string;
  /** A PEM file with the authorities to trust over TLS. Unset: those of the system. */
  readonly ca?: string;
  /** Whether the message is bytes instead of text. */
  readonly binary?: boolean;
  /** For how many seconds to wait until somebody joins. */
  readonly wait?: number;
}

/** The exit statuses of `staps publish`, by what happened; the table in docs/commands.md. */
export const publishStatus = {
  /** Somebody got it. */
  delivered: 0,
  /** Whether anybody got it isn't known, or the server or a frontend takes nothing now. */
  later: 3,
  /** The server or a frontend refused it. */
  refused: 4,
  /** Nobody is there, and nobody got it. */
  nobody: 7,
} as const;

/** `staps publish`; ends with one of `publishStatus`. */
export const publish: Subcommand<PublishOptions> = {
  name: "publish",
  summary: "publish one message, and tell whether anybody got it",
  description:
    "Publishes standard input, or the text after -m, as one message, and prints what\n" +
    "the server answers. Exit status 0: somebody got it; 7: nobody is there; 3: try\n" +
    "later; 4: refused.\n\n" +
    "URL is that of the channel, with any of ws, wss, http and https, and with\n" +
    "--socket a path alone will do. A command line is visible to other users of the\n" +
    "machine: to keep the URL from them, leave it out and set STAPS_URL.",
  declare(command): void {
    command
      .argument("[url]", "the channel; STAPS_URL if it is missing")
      .option("-m, --message <text>", "publish this text instead of the input")
      .option(
        "-w, --wait <seconds>",
        "wait for so long, 60 at most, until somebody joins",
        parseSeconds,
      )
      .option("-b, --binary", "publish the input as a binary message")
      .option(
        "-s, --socket <path>",
        "connect to this unix socket, whatever host the URL names",
        nonEmpty,
      )
      .option(
        "--ca <file>",
        "trust the authorities in this PEM file, too",
        nonEmpty,
      );
  },
  async run(options, context): Promise<number> {
    const url = httpUrl(options, context.environment.STAPS_URL);
    const { message, binary: isBinary = false, socket, wait: waitS } = options;
    const body = message === undefined
      ? await readMessage(context.stdin.readable, { isBinary })
      : new TextEncoder().encode(message);
    const { ca } = await trustOf({
      ...options.ca !== undefined && { ca: options.ca },
    });
    const signal = context.interruption();
    const answer = await post(url, body, {
      ...{ isBinary, socket, ca, waitS, signal },
    });
    if (answer === undefined) return signal.reason;
    await tell(answer, context);
    return statusOf(answer);
  },
};

/** Gets the exit status for an answer. */
export function statusOf({ status, isReport }: Answer): number {
  if (status === 200 && isReport) return publishStatus.delivered;
  if (status === 404 && isReport) return publishStatus.nobody;
  const isLater = status >= 500 && status !== 501 && status !== 505;
  return isLater || status === 408 || status === 429
    ? publishStatus.later
    : publishStatus.refused;
}

/** Prints the account on standard output, and anything else as an error. */
async function tell(
  { status, isReport, line }: Answer,
  { stdout, stderr }: Context,
): Promise<void> {
  // A server may send anything, and terminals obey.
  const shown = harmless(line);
  if (isReport) return await writeAll(stdout, `${shown}\n`);
  // A frontend's page is of no use here.
  const words = shown === "" || shown.startsWith("<") ? "" : `: ${shown}`;
  await writeAll(stderr, `staps: HTTP status ${status}${words}\n`);
}

function parseSeconds(text: string): number {
  if (/^[0-9]{1,2}$/.test(text) && Number(text) <= 60) return Number(text);
  throw new UsageError(
    `Cannot use "--wait": got "${text}", expected a number of seconds up to 60`,
  );
}

/**
 * Gets the URL to post to. Errors don't show it: it is a secret.
 *
 * @throws {UsageError} If there is none, or one that can't be used.
 */
export function httpUrl(
  { url, socket }: Pick<PublishOptions, "url" | "socket">,
  fromEnvironment: string | undefined,
): string {
  const text = url ?? fromEnvironment ?? "";
  if (text === "") {
    throw new UsageError("Cannot publish: there is no URL", {
      hint: 'give one, such as the one that "staps url" prints',
    });
  }
  if (socket !== undefined && text.startsWith("/")) {
    return `http://localhost${text.replace(/#.*/s, "")}`;
  }
  const parsed = URL.parse(text.replace(/^ws(s?):/i, "http$1:"));
  if (parsed?.protocol !== "http:" && parsed?.protocol !== "https:") {
    throw new UsageError(
      "Cannot publish: expected a URL that begins with wss://, ws://, https:// or http://",
      text.startsWith("/") ? { hint: "a path alone needs --socket" } : {},
    );
  }
  parsed.hash = "";
  return parsed.href;
}
