/** Why a connection can't be made, in plain words. */
import { untrustedCodes } from "../../common/certificate.ts";
import { StartupError } from "../../common/errors.ts";
import { harmless } from "../../common/terminal.ts";
import { distrust } from "./trust.ts";

/** What is shown of a text that a server wrote, in characters. */
const maxShown = 200;
/** A shorter path is no secret, and may be in any text by chance. */
const minSecret = 8;

/** A connection that couldn't be made. The message shows neither path nor query. */
export class ConnectError extends StartupError {
  /** Whether trying again makes no sense. */
  readonly permanent: boolean;
  /** When the server asks to come back, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    { permanent = false, retryAfterMs, hint, ...options }: ErrorOptions & {
      permanent?: boolean;
      retryAfterMs?: number | undefined;
      hint?: string | undefined;
    } = {},
  ) {
    super(message, { ...options, ...hint === undefined ? {} : { hint } });
    this.permanent = permanent;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A server's answer that isn't 101. */
export interface Refusal {
  readonly status: number;
  readonly contentType: string;
  /** The beginning of the body. */
  readonly body: string;
  /** The header `Retry-After`. */
  readonly retryAfter?: string | undefined;
}

/** What the system's errors mean, by their codes (errno(3), getaddrinfo(3), nodejs.org/api/errors.html). */
const meanings: Readonly<Record<string, readonly [string, string?]>> = {
  ECONNREFUSED: ["nobody listens there", "is the server running?"],
  ENOENT: ["there is no such socket", "is staps running?"],
  EACCES: ["permission denied", "connect as a member of the socket's group"],
  ENOTFOUND: ["there is no such host", "is its name spelled right?"],
  EAI_AGAIN: ["its address can't be looked up at the moment"],
  EHOSTUNREACH: ["the host can't be reached"],
  ENETUNREACH: ["there is no network that leads there"],
  ETIMEDOUT: ["no answer"],
  ECONNRESET: ["the server ended the connection without an answer"],
  ERR_SSL_WRONG_VERSION_NUMBER: [
    "the port doesn't speak TLS",
    "likely ws:// instead of wss://",
  ],
};

/** What refusals mean, by their statuses. */
const hints: Readonly<Record<number, string>> = {
  400: "likely wss:// instead of ws://, or no WebSocket server",
  404: "this frontend knows no such path: is it a UUID4, as of staps url?",
  502: "the frontend can't reach staps",
  503: "a limit is reached, or the node is stopping, or its broker is away",
};

/** Gets the error for what the library says about a connection to `place`. */
export async function connectError(
  cause: Error & { code?: unknown },
  { place, url, hasPath }: { place: string; url: URL; hasPath: boolean },
): Promise<ConnectError> {
  const code = String(cause.code ?? "");
  const fail = (reason: string, hint?: string): ConnectError =>
    new ConnectError(`Cannot connect to ${place}: ${reason}`, { cause, hint });
  if (untrustedCodes.test(code)) {
    const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const port = Number(url.port || 443);
    const { problem, hint } = await distrust({ hostname, port }, code);
    return fail(problem, hint);
  }
  const [reason, hint] = meanings[code] ?? [];
  if (reason !== undefined) {
    return code === "ECONNREFUSED" && hasPath
      ? fail("nobody answers there", "is staps running?")
      : fail(reason, hint);
  }
  if (code.startsWith("HPE_")) {
    return fail(
      "that is no web server",
      url.protocol === "ws:" && !hasPath
        ? "likely wss:// instead of ws://"
        : undefined,
    );
  }
  return fail(quotable(cause.message, url));
}

/** Gets the error for an answer that isn't 101. */
export function refusalError(
  { status, contentType, body, retryAfter }: Refusal,
  { place, url }: { place: string; url: URL },
): ConnectError {
  const words = quotable(textOf(body, contentType), url);
  return new ConnectError(
    `Cannot connect to ${place}: got HTTP status ${status}, expected 101${
      words === "" ? "" : ` ("${words}")`
    }`,
    {
      permanent: status >= 300 && status < 500 && status !== 429,
      retryAfterMs: millisecondsOf(retryAfter),
      hint: status >= 300 && status < 400
        ? "it leads elsewhere: likely wss:// instead of ws://"
        : hints[status],
    },
  );
}

/** Gets the milliseconds of a `Retry-After` (RFC 9110 section 10.2.3), which may also be a date. */
function millisecondsOf(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(retryAfter)) return Number(retryAfter) * 1000;
  const ms = Date.parse(retryAfter) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Gets what is to be read of a body: of a page for browsers, its title. */
function textOf(body: string, contentType: string): string {
  return /html/i.test(contentType)
    ? /<title[^>]*>([^<]*)/i.exec(body)?.[1] ?? ""
    : body;
}

/** Gets a stranger's words on one line, of bounded length, and without the path if they quote it. */
function quotable(words: string, { pathname, search }: URL): string {
  const secrets = [pathname + search, pathname, pathname.slice(1)];
  let line = words.trim().replaceAll(/\s+/g, " ");
  for (const secret of secrets) {
    if (secret.length >= minSecret) line = line.replaceAll(secret, "...");
  }
  const shown = line.length > maxShown ? `${line.slice(0, maxShown)}...` : line;
  return harmless(shown);
}
