/** A server's host and port: how they are written, and the ports of AMQP brokers. */

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

/** Gets the port of a broker that is given without one, by IANA's registry. */
export function defaultBrokerPort({ tls }: { tls: boolean }): number {
  return tls ? 5671 : 5672;
}
