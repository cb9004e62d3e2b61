/** Where the own parser of request heads may differ from the runtime's, and where not. */
import {
  maxHeadBytes,
  maxTargetBytes,
} from "../../src/listener/request_head.ts";

/** What became of a head. */
export type Seen = Accepted | Refused | "incomplete";

/** What a handler gets. */
export interface Accepted {
  readonly method: string;
  readonly url: string;
  /** The channel that staps finds in the URL as it came. */
  readonly channel: string | undefined;
  /** `name: value`, sorted by name. */
  readonly headers: readonly string[];
}

/** An answer without asking a handler. */
export interface Refused {
  readonly status: number;
  /** Why; empty if nobody says. */
  readonly message: string;
}

const limitsOfHead = ["limits of the head"] as [string];

/**
 * Everything that the own parser refuses and the runtime takes, by the own
 * parser's words. Nothing else is excused. A pattern is what has to be in the
 * bytes where the words alone mean more than that.
 */
const strictness: Readonly<Record<string, [name: string, pattern?: RegExp]>> = {
  "A line ends with a bare line feed, expected CR LF": ["bare line feeds"],
  "The request line is malformed": ["two empty lines first", /^(\r?\n){2}/],
  'The header "Host" must occur once': ["no Host, or in HTTP/1.0 two"],
  'The header "Host" is malformed': ["a malformed Host"],
  "The request's target is malformed": [
    "a target that is no URL of HTTP, or with a fragment, a user or bytes beyond ASCII",
  ],
  "The method isn't known here": [
    "CONNECT, TRACE, TRACK, methods in small letters",
  ],
  'The only transfer coding known is "chunked"': ["other transfer codings"],
  'The header "Content-Length" must occur once, and be a number': [
    "a length twice, or of more than 15 digits",
    /(?:\ncontent-length:[^]*){2}|\ncontent-length:[ \t]*\d{16}/i,
  ],
  'The only expectation that can be met is "100-continue"': [
    "other expectations",
  ],
  [`The request's target has more than ${maxTargetBytes} bytes`]: limitsOfHead,
  [`The head of the request has more than ${maxHeadBytes} bytes`]: limitsOfHead,
  "The request has more than 100 headers": limitsOfHead,
};

/**
 * Gets what the own parser and the runtime's agree on, or the name of their
 * difference; `undefined` for one that nothing excuses.
 */
export function compareHeads(
  bytes: Uint8Array,
  { own, runtimes }: { own: Seen; runtimes: Seen },
): string | undefined {
  if (own === "incomplete") {
    if (runtimes === "incomplete") return "incomplete for both";
    return "status" in runtimes
      ? "refused by one before it is whole"
      : undefined;
  }
  if ("status" in own) {
    if (runtimes === "incomplete") return "refused by one before it is whole";
    if (!("status" in runtimes)) return excuse(own, bytes);
    return own.status === runtimes.status
      ? "refused by both"
      : "refused by both, with another status";
  }
  if (runtimes === "incomplete") return undefined;
  if ("status" in runtimes) {
    return hasUpgradeWithBody(own)
      ? "only the own one takes an Upgrade with a body"
      : undefined;
  }
  if (isSame(own, runtimes)) return "accepted by both";
  return isSame(withoutCookies(own), withoutCookies(runtimes))
    ? "accepted by both, Cookies joined differently"
    : undefined;
}

/** RFC 9110 section 7.8 has it read first; a WebSocket's is refused later. */
function hasUpgradeWithBody({ headers }: Accepted): boolean {
  return headers.some((line) => line.startsWith("upgrade: ")) &&
    headers.some((line) => /^connection: .*upgrade/i.test(line)) &&
    headers.some((line) => /^(transfer-encoding|content-length): /.test(line));
}

/** Several are an error of the client's (RFC 6265 section 5.4), and the runtime puts "; " between them. */
function withoutCookies(seen: Accepted): Accepted {
  const headers = seen.headers.filter((line) => !line.startsWith("cookie: "));
  return { ...seen, headers };
}

function excuse({ message }: Refused, bytes: Uint8Array): string | undefined {
  const [name, pattern = /^/] = strictness[message] ?? [];
  const isMeant = pattern.test(new TextDecoder("latin1").decode(bytes));
  return name && isMeant ? `only the runtime takes ${name}` : undefined;
}

/** The runtime hands over a URL as it came: what the URL parser makes of it counts. */
function isSame(own: Accepted, runtimes: Accepted): boolean {
  return own.method === runtimes.method &&
    own.url === URL.parse(runtimes.url)?.href &&
    own.channel === runtimes.channel &&
    own.headers.join("\n") === runtimes.headers.join("\n");
}
