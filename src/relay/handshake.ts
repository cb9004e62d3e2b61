/**
 * What a request must look like to become a WebSocket (RFC 6455 section 4.2.1),
 * and which channel it asks for.
 *
 * The runtime's own upgrade checks less, and throws where this answers.
 */

/** Why a handshake is refused, as an HTTP response. */
export interface Refusal {
  readonly status: number;
  /** The response's body: one line for whoever reads it by hand. */
  readonly message: string;
  readonly headers: Record<string, string>;
}

/** A handshake that may become a WebSocket. */
export interface Handshake {
  /** The channel: the URL's path as the URL parser gives it. A secret. */
  readonly path: string;
  /** The first subprotocol offered, if any (RFC 6455 section 1.9). */
  readonly protocol: string | undefined;
}

/** 16 bytes in base64 (RFC 6455 section 4.1); a repeated header arrives joined with a comma and fails. */
const keyPattern = /^[0-9A-Za-z+/]{22}==$/;
/** A token of RFC 9110 section 5.6.2. */
const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Characters that would let a Host header reach into the URL's path. */
const badHostPattern = /[\s/?#\\@]/;

const upgradeRequired = {
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
} as const;

/** Reads the handshake in `request`, or tells why it is none. */
export function readHandshake(
  request: { method: string; url: string; headers: Headers },
): Handshake | Refusal {
  const { method, headers } = request;
  if (method !== "GET") {
    return refusal(405, "Connect with GET, or publish with POST", {
      Allow: "GET, POST",
    });
  }
  if (!hasToken(headers.get("upgrade"), "websocket")) {
    return refusal(
      426,
      "This is a WebSocket server: connect with a WebSocket client",
      upgradeRequired,
    );
  }
  if (!hasToken(headers.get("connection"), "upgrade")) {
    return refusal(400, 'The header "Connection: Upgrade" is missing');
  }
  if (headers.get("sec-websocket-version") !== "13") {
    return refusal(
      426,
      "The WebSocket version must be 13 (RFC 6455)",
      upgradeRequired,
    );
  }
  if (!keyPattern.test(headers.get("sec-websocket-key") ?? "")) {
    return refusal(
      400,
      'The header "Sec-WebSocket-Key" must occur once, with 16 bytes in base64',
    );
  }
  if (
    headers.has("transfer-encoding") ||
    (headers.get("content-length") ?? "0") !== "0"
  ) {
    return refusal(400, "A WebSocket handshake has no body");
  }

  const offered = headers.get("sec-websocket-protocol");
  const protocol = offered?.split(",", 1)[0]?.trim();
  if (protocol !== undefined && !tokenPattern.test(protocol)) {
    return refusal(400, 'The header "Sec-WebSocket-Protocol" is malformed');
  }

  const path = readPath(request);
  return typeof path === "string" ? { path, protocol } : path;
}

/** Gets the channel that any request names, or tells why it names none. */
export function readPath(
  { url, headers }: { url: string; headers: Headers },
): string | Refusal {
  if (badHostPattern.test(headers.get("host") ?? "")) {
    return refusal(400, 'The header "Host" is malformed');
  }
  return channelPath(url) ?? refusal(400, "The URL is malformed");
}

/**
 * Gets the channel that `url` names: its path, normalized by the URL parser
 * (https://url.spec.whatwg.org), or undefined if that can't read it.
 *
 * On a unix socket the runtime's URLs begin with `http+unix:`, whose paths the
 * parser treats differently; the scheme is replaced, so that a path means the
 * same channel on every listener.
 */
export function channelPath(url: string): string | undefined {
  const authority = url.indexOf("://") + 3;
  const length = url.slice(authority).search(/[/?#]/);
  const rest = length === -1 ? "/" : url.slice(authority + length);
  return URL.parse(
    `http://host${rest.startsWith("/") ? "" : "/"}${rest}`,
  )?.pathname;
}

/** Tells whether the comma-separated list `value` contains `token`, in any letter case. */
function hasToken(value: string | null, token: string): boolean {
  if (value === null) return false;
  const lower = value.toLowerCase();
  return lower === token ||
    lower.split(",").some((item) => item.trim() === token);
}

/** Gets a refusal with `status` and one line of text. */
export function refusal(
  status: number,
  message: string,
  headers: Record<string, string> = {},
): Refusal {
  return { status, message, headers };
}
