/** Opens connections to a broker. The only file that imports amqplib. */
import type { EventEmitter } from "node:events";
import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  connect as connectTo,
} from "amqplib";
import { shownCertificate, untrustedCodes } from "../common/certificate.ts";
import type { HostPort } from "../common/host_port.ts";
import {
  answerWithin,
  BrokerError,
  replyCodes,
  toBrokerError,
} from "./broker_error.ts";
import { type Opening, readAlong } from "./opening.ts";
import type { PemFiles } from "./pem.ts";

export type { Channel, ConsumeMessage } from "amqplib";

/** A connection to a broker, for channels to be opened on. */
export type Connection = ChannelModel;

/** Two connections to one broker, with their channels. */
export interface Connections {
  readonly sending: Connection;
  readonly receiving: Connection;
  readonly publisher: ConfirmChannel;
  readonly control: Channel;
  /** For bindings: each channel waits for one answer at a time. */
  readonly binders: readonly Channel[];
  /** Why the broker takes no messages at the moment; changes in place. */
  readonly blocked: { reason?: string | undefined };
}

/** A broker's URL, taken apart and decoded. */
export interface BrokerUrl extends HostPort {
  /** `amqps`: through TLS. */
  readonly tls: boolean;
  readonly user: string;
  readonly password: string;
  /** The virtual host, such as `/`. */
  readonly vhost: string;
}

/** Where a broker is, as whom to log in, and whom to trust. */
export interface Endpoint extends BrokerUrl {
  /** The contents of the files; without `ca` the system's authorities are trusted. */
  readonly pem: PemFiles;
}

/** Settings of {@linkcode connect}. */
export interface ConnectOptions {
  readonly heartbeatS: number;
  /** How many channels there are for bindings, if the broker allows so many. */
  readonly binderCount: number;
}

/** A connection, and how many channels the broker allows on it. */
interface Opened {
  readonly connection: Connection;
  readonly channelMax: number;
}

/** How long the connections may take, the broker's greeting included; and then their channels. */
const connectTimeoutMs = 5_000;

/**
 * The channels that receiving takes beside those for bindings: one to consume,
 * and one that comes and goes with each question (`scratch_channel.ts`).
 */
const otherChannels = 2;

/**
 * Connects and logs in, twice, and opens the channels: fewer for bindings where
 * the broker allows few.
 *
 * @throws {BrokerError} If that fails or takes too long.
 */
export async function connect(
  endpoint: Endpoint,
  options: ConnectOptions,
): Promise<Connections> {
  try {
    return await connectTwice(endpoint, options);
  } catch (error) {
    const { binderCount } = options;
    if (binderCount === 0 || !isChannelLimit(error)) throw error;
    // What is left of a user's channels can only be found by trying.
    return await connect(endpoint, {
      ...options,
      binderCount: Math.floor(binderCount / 2),
    });
  }
}

function isChannelLimit(error: unknown): boolean {
  return error instanceof BrokerError &&
    error.detail.code === replyCodes.notAllowed &&
    /number of channels opened/.test(error.message);
}

async function connectTwice(
  endpoint: Endpoint,
  { heartbeatS, binderCount }: ConnectOptions,
): Promise<Connections> {
  const made: Connection[] = [];
  let hasFailed = false;
  const refused = Promise.withResolvers<never>();
  // Nobody may be waiting.
  refused.promise.catch(() => {});
  const one = async (name: string): Promise<Opened> => {
    const opened = await connectOnce(endpoint, { name, heartbeatS });
    const { connection } = opened;
    // Without a listener the first error ends the process. It says more than
    // the error of the channel that it comes before.
    connection.on("error", refused.reject);
    connection.on(
      "close",
      (error) => refused.reject(error ?? "connection closed"),
    );
    made.push(connection);
    // The other one may have failed meanwhile, or this one be too late.
    if (hasFailed) breakOff(connection);
    return opened;
  };
  try {
    const login = Promise.all([one("staps publish"), one("staps consume")]);
    const [{ connection: sending }, { connection: receiving, channelMax }] =
      await answerWithin(login, {
        timeoutMs: connectTimeoutMs,
        what: "to connect",
      });
    // It may come with the first answer.
    const blocked: Connections["blocked"] = {};
    sending.on("blocked", (reason) => blocked.reason = reason || "no reason");
    sending.on("unblocked", () => blocked.reason = undefined);
    const ownBinders = Math.min(binderCount, binderRoom(channelMax));
    const channels = Promise.all([
      sending.createConfirmChannel(),
      receiving.createChannel(),
      receiving.createChannel(),
      ...Array.from({ length: ownBinders }, () => receiving.createChannel()),
    ]);
    const [publisher, control, spare, ...binders] = await answerWithin(
      Promise.race([channels, refused.promise]),
      { timeoutMs: connectTimeoutMs, what: "to open channels" },
    );
    // There is room for it when a question comes.
    await answerWithin(spare.close(), {
      timeoutMs: connectTimeoutMs,
      what: "to close a channel",
    });
    // Where there is no room for others, one does both.
    if (binders.length === 0) binders.push(control);
    return { sending, receiving, publisher, control, binders, blocked };
  } catch (error) {
    hasFailed = true;
    for (const connection of made) breakOff(connection);
    throw await lookCloser(toBrokerError(error), endpoint);
  }
}

/** Gets how many channels may be for bindings alone. */
function binderRoom(channelMax: number): number {
  if (channelMax >= otherChannels) return channelMax - otherChannels;
  throw new BrokerError(
    `the broker allows ${channelMax} channel on a connection (channel_max), and staps needs ${otherChannels} or more`,
  );
}

/** Opens one connection, which the broker lists by its `name`. */
async function connectOnce(
  endpoint: Endpoint,
  { name, heartbeatS }: { name: string; heartbeatS: number },
): Promise<Opened> {
  const { tls, hostname, port, user, password, vhost, pem } = endpoint;
  const { opening, connection } = readAlong(() =>
    connectTo(
      {
        protocol: tls ? "amqps" : "amqp",
        hostname,
        port,
        username: user,
        password,
        // amqplib decodes it.
        vhost: encodeURIComponent(vhost),
        heartbeat: heartbeatS,
      },
      {
        noDelay: true,
        timeout: connectTimeoutMs,
        clientProperties: { connection_name: name },
        ...(tls ? pem : {}),
      },
    )
  );
  try {
    return {
      connection: await connection,
      channelMax: opening.channelMax ?? Infinity,
    };
  } catch (error) {
    throw openingError(error, { endpoint, opening });
  }
}

/** How a server that wants TLS ends a connection without. */
const hungUpCodes = /^ECONNRESET |Socket closed abruptly/;

/** Gets what is known of an opening that failed. */
function openingError(
  cause: unknown,
  { endpoint, opening }: { endpoint: Endpoint; opening: Opening },
): BrokerError {
  const { voice, close } = opening;
  const { message, code } = cause as Error & { code?: unknown };
  const ended = endpoint.tls ? untrustedCodes : hungUpCodes;
  const doubt = voice === "nothing" && ended.test(`${code} ${message}`)
    ? endpoint.tls ? "untrusted" : "hung up"
    : undefined;
  return new BrokerError(close ? `${close.code} ${close.text}` : message, {
    cause,
    code: close?.code,
    opening: { voice, doubt },
  });
}

/** Looks for a certificate where that explains more. */
async function lookCloser(
  error: BrokerError,
  endpoint: Endpoint,
): Promise<BrokerError> {
  const { message, detail } = error;
  const { opening } = detail;
  if (opening?.doubt === undefined) return error;
  const certificate = await shownCertificate(endpoint);
  return new BrokerError(message, {
    ...detail,
    opening: { ...opening, certificate },
  });
}

/** Calls `onLost` when a connection or a channel ends, perhaps several times; `exchange` is published to. */
export function whenLost(
  { sending, receiving, publisher, control, binders }: Connections,
  exchange: string,
  onLost: (reason: BrokerError) => void,
): void {
  for (const connection of [sending, receiving]) {
    connection.on("error", (error) => onLost(toBrokerError(error)));
    connection.on(
      "close",
      (error) => onLost(toBrokerError(error ?? "connection closed")),
    );
  }
  // Before amqplib's own listener, which would only tell of a lost connection.
  const frames = receiving.connection as unknown as EventEmitter;
  frames.prependListener("frameError", (error: Error) => {
    const message = `a message can't be read: ${error.message}`;
    onLost(new BrokerError(message, { cause: error, unreadable: true }));
  });
  const toPublish = {
    right: "write",
    kind: "exchange",
    name: exchange,
  } as const;
  for (const channel of [publisher, control, ...binders]) {
    const access = channel === publisher ? toPublish : undefined;
    // The error of an answer says more, and comes right behind these.
    channel.on(
      "error",
      (error) => queueMicrotask(() => onLost(toBrokerError(error, { access }))),
    );
    channel.on(
      "close",
      () => queueMicrotask(() => onLost(new BrokerError("channel closed"))),
    );
  }
}

/** Breaks a connection off at once; its `close()` may wait for ever in a silent network. */
export function breakOff(connection: Connection): void {
  const { stream } = connection.connection as unknown as {
    stream: { destroy(error: Error): void };
  };
  // With an error: amqplib takes no notice of an end without one, and goes on
  // with its heartbeats and with waiting for answers.
  stream.destroy(new Error("broken off"));
}
