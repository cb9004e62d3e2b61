/** A server's certificate, looked at when it isn't trusted: the error doesn't tell why. */
import { isIP } from "node:net";
import { connect } from "node:tls";
import type { HostPort } from "./host_port.ts";
import { within } from "./timing.ts";

/** When a certificate is valid, in milliseconds since 1970. */
export interface Validity {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** What a certificate says. The texts are whoever's answers there. */
export interface Certificate extends Validity {
  /** Whom it is for, such as `example.org, 192.0.2.1`. */
  readonly names: string;
  /** Who signed it; empty if it doesn't say. */
  readonly issuer: string;
}

/** How long the look may take. */
const lookMs = 2_000;

/**
 * Gets the certificate of the server at `place`; `undefined` if that can't be
 * told. Trusts nobody, and sends nothing.
 */
export async function shownCertificate(
  { hostname: host, port }: HostPort,
): Promise<Certificate | undefined> {
  const found = Promise.withResolvers<Certificate | undefined>();
  const socket = connect({
    host,
    port,
    // A server may have one for each of its names.
    ...(isIP(host) ? {} : { servername: host }),
    rejectUnauthorized: false,
  });
  socket.on("secureConnect", () => {
    const { valid_from: from, valid_to: until, subjectaltname, issuer } = socket
      .getPeerCertificate();
    const [fromMs, untilMs] = [Date.parse(from), Date.parse(until)];
    const isKnown = Number.isFinite(fromMs) && Number.isFinite(untilMs);
    found.resolve(
      isKnown
        ? {
          fromMs,
          untilMs,
          names: (subjectaltname ?? "").replaceAll(
            /(^|, )(DNS|IP Address):/g,
            "$1",
          ),
          issuer: String(issuer?.CN ?? issuer?.O ?? ""),
        }
        : undefined,
    );
  });
  socket.on("error", () => found.resolve(undefined));
  try {
    return await within(found.promise, lookMs, () => undefined);
  } finally {
    socket.destroy();
  }
}

/** How Node.js's codes for a certificate that isn't trusted begin (nodejs.org/api/tls.html). */
export const untrustedCodes =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_(CA|PURPOSE)|ERR_TLS_CERT_ALTNAME)/;
