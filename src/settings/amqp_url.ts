/**
 * The URL of a broker: `amqp://user:password@host:port/vhost`, as in
 * RabbitMQ's URI specification.
 *
 * Read here and not by `URL` or a client library, because these differ on what
 * administrators write: a `#` in a password, an empty password, an empty
 * virtual host.
 */
import type { BrokerUrl } from "../amqp/connect.ts";
import type { HostPort } from "../common/host_port.ts";

/** One of the nodes of a broker's cluster, as it is written in `[bridge] hosts`. */
export interface BrokerHost {
  /** A name or an address; IPv6 without its brackets. */
  readonly hostname: string;
  /** `undefined`: AMQP's own. */
  readonly port: number | undefined;
}

/** What is wrong with a URL, in words that contain nothing of it. */
export interface AmqpUrlProblem {
  readonly got: string;
  readonly expected: string;
}

/**
 * Takes a broker's URL apart, or tells what is wrong with it.
 *
 * The password reaches up to the last `@`, and `#`, `;`, `:`, `@` may stand in
 * it as they are; `/`, `?` and `%` are written `%2f`, `%3f` and `%25`. Without
 * user and password both are `guest`, as RabbitMQ has it; without virtual host
 * that is `/`.
 */
export function parseAmqpUrl(text: string): BrokerUrl | AmqpUrlProblem {
  const scheme = text.match(/^(amqps?):\/\//i);
  if (scheme === null) {
    return {
      got: "another beginning",
      expected: 'a URL that begins with "amqp://" or "amqps://"',
    };
  }
  const tls = scheme[1]!.toLowerCase() === "amqps";
  const rest = text.slice(scheme[0].length);
  if (/\s/.test(rest)) {
    return { got: "a blank in it", expected: "blanks written as %20" };
  }

  const at = rest.lastIndexOf("@");
  const userInfo = at < 0 ? "guest:guest" : rest.slice(0, at);
  if (/[/?]/.test(userInfo)) {
    return {
      got: 'a "/" or "?" before the last "@"',
      expected:
        'them written as %2f and %3f in user and password, and "@" as %40 in a virtual host',
    };
  }
  const colon = userInfo.indexOf(":");
  const user = decode(colon < 0 ? userInfo : userInfo.slice(0, colon));
  const password = decode(colon < 0 ? "" : userInfo.slice(colon + 1));
  if (user === undefined || password === undefined) return badPercent;
  if (user === "") {
    return { got: 'no user before the "@"', expected: '"user:password@"' };
  }

  const place = rest.slice(at + 1).match(
    /^(?<host>\[[^\]/?#]*\]|[^:/?#[\]]*)(?::(?<port>[^/?#]*))?(?:\/(?<vhost>[^/?#]*))?$/,
  )?.groups;
  if (place === undefined) {
    return {
      got: "something else after user and password",
      expected:
        '"host", "host:port" or "host:port/vhost", an IPv6 address in brackets, and "/", "?" and "#" in a virtual host as %2f, %3f and %23',
    };
  }
  const hostname = readHostname(place.host!);
  if (hostname === undefined) {
    return {
      got: place.host === "" ? "no host" : "no valid host",
      expected: "a host name, an IPv4 address or an IPv6 address in brackets",
    };
  }
  const port = place.port === undefined
    ? defaultPort({ tls })
    : readPort(place.port);
  if (port === undefined) {
    return { got: "no valid port", expected: "a port from 1 to 65535" };
  }
  const vhost = decode(place.vhost ?? "");
  if (vhost === undefined) return badPercent;
  return { tls, user, password, hostname, port, vhost: vhost || "/" };
}

/** Gets the brokers to try in turn, each with its port: `hosts`, or the one in `amqp`. */
export function brokerHosts(
  amqp: BrokerUrl,
  hosts: readonly BrokerHost[],
): HostPort[] {
  return (hosts.length > 0 ? hosts : [amqp]).map(({ hostname, port }) => ({
    hostname,
    port: port ?? defaultPort(amqp),
  }));
}

function defaultPort({ tls }: { tls: boolean }): number {
  return tls ? 5671 : 5672;
}

/** Gets a host as it is dialled, without brackets, or `undefined` if it is none. */
export function readHostname(text: string): string | undefined {
  const ipv6 = text.match(/^\[([0-9a-f:.]+)\]$/i)?.[1];
  if (ipv6 !== undefined) {
    return URL.canParse(`http://[${ipv6}]/`) ? ipv6 : undefined;
  }
  const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
  const name = new RegExp(`^${label}(?:\\.${label})*\\.?$`, "i");
  return text.length <= 253 && name.test(text) ? text : undefined;
}

/** Gets a port to dial, 1 to 65535, or `undefined`. */
export function readPort(text: string): number | undefined {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

const badPercent: AmqpUrlProblem = {
  got: 'a "%" without two hexadecimal digits of UTF-8 text',
  expected: '"%" itself written as %25',
};

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
