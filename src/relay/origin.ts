/**
 * Which web pages may use staps: those of its own host, and those that
 * `[http] origins` lists.
 *
 * A browser names the page that asks in the header `Origin` (RFC 6454 section
 * 7, https://fetch.spec.whatwg.org/#origin-header), and no page can change
 * that. Programs hardly ever send it.
 *
 * It leaves that header out where the page can't see the answer
 * (`mode: "no-cors"`), and says `Sec-Fetch-Site` instead
 * (https://w3c.github.io/webappsec-fetch-metadata/): such a page would be a
 * member that listens. Only links lead here from other sites.
 */
import { type Refusal, refusal } from "./handshake.ts";

/** In `[http] origins`: pages of every origin. */
export const anyOrigin = "*";

/** Refuses a request that a page of another origin makes; `undefined` if it may be answered. */
export function refuseOrigin(
  headers: Headers,
  origins: readonly string[],
): Refusal | undefined {
  if (origins.includes(anyOrigin)) return undefined;
  const origin = headers.get("origin");
  const isRefused = origin === null
    ? isHiddenFromPage(headers)
    : !mayAsk(origin, headers, origins);
  return isRefused
    ? refusal(403, "Pages of other sites can't use this server")
    : undefined;
}

function mayAsk(
  origin: string,
  headers: Headers,
  origins: readonly string[],
): boolean {
  const page = URL.parse(origin);
  return page !== null &&
    (origins.includes(page.origin) || page.host === hostFor(page, headers));
}

/** Tells whether a page of another origin asks without `Origin`, but for links that are followed. */
function isHiddenFromPage(headers: Headers): boolean {
  const site = headers.get("sec-fetch-site");
  return (site === "cross-site" || site === "same-site") &&
    headers.get("sec-fetch-mode") !== "navigate";
}

/**
 * Lets the browser show an answer to the page that asked, if that is one of
 * another origin that may ask (https://fetch.spec.whatwg.org/#http-responses).
 */
export function shareWithPage(request: Request, response: Response): void {
  const origin = request.headers.get("origin");
  if (origin === null) return;
  response.headers.set("Access-Control-Allow-Origin", origin);
  response.headers.append("Vary", "Origin");
}

/** Gets the host that was asked, without the port that `page` has by default. */
function hostFor(page: URL, headers: Headers): string | undefined {
  return URL.parse(`${page.protocol}//${headers.get("host") ?? ""}`)?.host;
}
