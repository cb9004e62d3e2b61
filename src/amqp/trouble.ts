/** Why a node isn't connected, for what may heal: it goes into the log, the status and `staps check`. */
import { type BrokerError, wordsOf } from "./broker_error.ts";
import type { Endpoint } from "./connect.ts";

/** What is looked at to tell a reason. */
interface Case {
  readonly error: BrokerError;
  readonly endpoint: Endpoint;
  /** What the broker, or the system, said. */
  readonly words: string;
  /** Node.js's or Deno's code for an error that isn't the broker's. */
  readonly systemCode: string;
}

/**
 * Gets what is wrong in plain words, with the broker's own in parentheses. A
 * cause that is a guess is called likely.
 */
export function describeTrouble(
  error: BrokerError,
  endpoint: Endpoint,
): string {
  const words = wordsOf(error);
  const { code } = (error.detail.cause ?? {}) as { code?: unknown };
  const systemCode = typeof code === "string" ? code : "";
  const one: Case = { error, endpoint, words, systemCode };
  const meaning = limitReached(one) ?? otherTls(one) ?? untrusted(one) ??
    ownCertificate(one);
  return meaning === undefined ? words : `${meaning} (${words})`;
}

/** What an administrator of the broker allows, or has stopped. */
function limitReached({ endpoint, words }: Case): string | undefined {
  const { user, vhost } = endpoint;
  const limits: [RegExp, string][] = [
    [
      /user connection limit .* is reached/,
      `the user "${user}" may have no more connections: each node needs two`,
    ],
    [
      /node connection limit .* is reached/,
      "the broker may have no more connections: each node needs two",
    ],
    [
      /connection limit .* is reached/,
      `the virtual host "${vhost}" may have no more connections: each node needs two`,
    ],
    [
      /number of channels opened for user/,
      `the user "${user}" may open no more channels: each node needs three or more`,
    ],
    [
      /number of channels opened on node/,
      "the broker may have no more channels: each node needs three or more",
    ],
    [
      /queue limit in cluster .* is reached/,
      "the broker may have no more queues: each node needs one",
    ],
    [
      /queue limit in vhost .* is reached/,
      `the virtual host "${vhost}" may have no more queues: each node needs one`,
    ],
    [/: vhost '.*' is down$/, `the virtual host "${vhost}" is down`],
    [
      /invalid arg .* of queue type/,
      `the broker's queues can't do what a node needs: likely the virtual host "${vhost}" ` +
      "has another default queue type than classic or quorum",
    ],
  ];
  return limits.find(([pattern]) => pattern.test(words))?.[1];
}

/** TLS on one side only. */
function otherTls({ error, endpoint, words, systemCode }: Case):
  | string
  | undefined {
  const { opening, code } = error.detail;
  if (!opening || code !== undefined) return undefined;
  if (endpoint.tls) {
    return /WRONG_VERSION_NUMBER|InvalidContentType/.test(systemCode + words)
      ? `port ${endpoint.port} doesn't speak TLS: likely it wants "amqp://" instead of "amqps://"`
      : undefined;
  }
  const speaksTls = opening.voice === "TLS" ||
    opening.certificate !== undefined;
  return speaksTls
    ? `port ${endpoint.port} speaks TLS: it wants "amqps://" instead of "amqp://"`
    : undefined;
}

/** This node doesn't trust the broker. */
function untrusted({ error, systemCode }: Case): string | undefined {
  const { opening } = error.detail;
  if (opening?.doubt !== "untrusted") return undefined;
  const validity = opening.certificate;
  const nowMs = Date.now();
  const clock = `this machine's clock says ${time(nowMs)}`;
  if (validity && nowMs < validity.fromMs) {
    return `the broker's certificate isn't valid before ${
      time(validity.fromMs)
    }, and ${clock}: likely the clock is off`;
  }
  if (validity && nowMs > validity.untilMs) {
    return `the broker's certificate expired at ${
      time(validity.untilMs)
    }, and ${clock}: if that is right, the broker needs a new one`;
  }
  return systemCode.startsWith("ERR_TLS_CERT_ALTNAME")
    ? "the broker's certificate is for another name"
    : `the broker's certificate isn't trusted, and ${clock}: if that is right, likely ` +
      `"ca" in [bridge] has to name the authority that signed it`;
}

/** The broker doesn't trust this node. */
function ownCertificate(
  { error, endpoint, words, systemCode }: Case,
): string | undefined {
  if (!error.detail.opening || !/fatal alert/.test(words)) return undefined;
  if (!/CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE/.test(systemCode)) {
    return undefined;
  }
  const isSure = !systemCode.endsWith("HANDSHAKE_FAILURE");
  return endpoint.pem.cert === undefined
    ? `the broker ${
      isSure ? "wants" : "ends TLS: likely it wants"
    } a certificate of this node, "cert" and "key" in [bridge]`
    : `the broker ${
      isSure ? "refuses" : "ends TLS: likely it refuses"
    } this node's certificate, "cert" and "key" in [bridge]`;
}

function time(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, "");
}
