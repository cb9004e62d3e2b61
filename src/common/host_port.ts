/** A server's host and port, and how they are written. */

/** Where a server listens. */
export interface HostPort {
  /** A name or an address; IPv6 without its brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** Gets `host:port`, or only the host without a port, with an IPv6 address in brackets. */
export function formatHostPort(
  { hostname, port }: { hostname: string; port?: number | undefined },
): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return port === undefined ? host : `${host}:${port}`;
}
