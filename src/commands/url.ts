/** `staps url`: a channel that nobody else knows. */
import { UsageError } from "../common/errors.ts";

/** WebSocket schemes by what people paste. */
const schemes: Readonly<Record<string, string>> = {
  "ws:": "ws:",
  "wss:": "wss:",
  "http:": "ws:",
  "https:": "wss:",
};

/**
 * Gets the URL of a fresh channel: `base` with a random UUID4 (RFC 9562
 * section 5.4) after its path. A `base` without a scheme gets `wss://`, and
 * `http` becomes the WebSocket scheme that belongs to it.
 *
 * @throws {UsageError} If `base` is no URL that a path can follow.
 */
export function freshUrl(base: string): string {
  const url = URL.parse(
    /^[a-z][a-z0-9+.-]*:\/\//i.test(base) ? base : `wss://${base}`,
  );
  const scheme = url && schemes[url.protocol];
  if (!url || !scheme || `${url.search}${url.hash}${url.username}` !== "") {
    throw new UsageError(
      `Cannot use the base "${base}": expected something like "wss://example.org/" or "example.org"`,
    );
  }
  const folder = url.pathname.replace(/\/*$/, "/");
  return `${scheme}//${url.host}${folder}${crypto.randomUUID()}`;
}
