/** The broker's certificate, looked at when it isn't trusted: the error doesn't tell why. */
import { isIP } from "node:net";
import { connect } from "node:tls";
import type { HostPort } from "../common/host_port.ts";
import { within } from "../common/timing.ts";

/** When a certificate is valid, in milliseconds since 1970. */
export interface Validity {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** How long the look may take. */
const lookMs = 2_000;

/**
 * Gets from when until when the certificate of the server at `place` is valid;
 * `undefined` if that can't be told. Trusts nobody, and sends nothing.
 */
export async function certificateValidity(
  { hostname: host, port }: HostPort,
): Promise<Validity | undefined> {
  const found = Promise.withResolvers<Validity | undefined>();
  const socket = connect({
    host,
    port,
    // A server may have one for each of its names.
    ...(isIP(host) ? {} : { servername: host }),
    rejectUnauthorized: false,
  });
  socket.on("secureConnect", () => {
    const { valid_from: from, valid_to: until } = socket.getPeerCertificate();
    const validity = { fromMs: Date.parse(from), untilMs: Date.parse(until) };
    const isKnown = Object.values(validity).every(Number.isFinite);
    found.resolve(isKnown ? validity : undefined);
  });
  socket.on("error", () => found.resolve(undefined));
  try {
    return await within(found.promise, lookMs, () => undefined);
  } finally {
    socket.destroy();
  }
}
