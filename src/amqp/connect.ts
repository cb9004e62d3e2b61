/** Opens connections to a broker. The only file that imports amqplib. */
import type { EventEmitter } from "node:events";
import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  connect as connectTo,
} from "amqplib";
import type { HostPort } from "../common/host_port.ts";
import { answerWithin, BrokerError, toBrokerError } from "./broker_error.ts";

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
  /** Certificates of the authorities to trust, in PEM; `undefined`: the system's. */
  readonly ca: string | undefined;
}

/** Settings of {@linkcode connect}. */
export interface ConnectOptions {
  readonly heartbeatS: number;
  /** How many channels there are for bindings. */
  readonly binderCount: number;
}

/** How long the connections may take, the broker's greeting included; and then their channels. */
const connectTimeoutMs = 5_000;

/**
 * Connects and logs in, twice, and opens the channels.
 *
 * @throws {BrokerError} If that fails or takes too long.
 */
export async function connect(
  endpoint: Endpoint,
  { heartbeatS, binderCount }: ConnectOptions,
): Promise<Connections> {
  const made: Connection[] = [];
  let hasFailed = false;
  const one = async (name: string): Promise<Connection> => {
    const connection = await connectOnce(endpoint, { name, heartbeatS });
    // Without a listener the first error ends the process.
    connection.on("error", () => {});
    made.push(connection);
    // The other one may have failed meanwhile, or this one be too late.
    if (hasFailed) breakOff(connection);
    return connection;
  };
  try {
    const login = Promise.all([one("staps publish"), one("staps consume")])
      .catch((error) => {
        throw toBrokerError(error, { opening: true });
      });
    const [sending, receiving] = await answerWithin(login, {
      timeoutMs: connectTimeoutMs,
      what: "to connect",
    });
    // It may come with the first answer.
    const blocked: Connections["blocked"] = {};
    sending.on("blocked", (reason) => blocked.reason = reason || "no reason");
    sending.on("unblocked", () => blocked.reason = undefined);
    const channels = Promise.all([
      sending.createConfirmChannel(),
      receiving.createChannel(),
      ...Array.from({ length: binderCount }, () => receiving.createChannel()),
    ]);
    const [publisher, control, ...binders] = await answerWithin(channels, {
      timeoutMs: connectTimeoutMs,
      what: "to open channels",
    });
    return { sending, receiving, publisher, control, binders, blocked };
  } catch (error) {
    hasFailed = true;
    for (const connection of made) breakOff(connection);
    throw toBrokerError(error);
  }
}

/** Opens one connection, which the broker lists by its `name`. */
function connectOnce(
  { tls, hostname, port, user, password, vhost, ca }: Endpoint,
  { name, heartbeatS }: { name: string; heartbeatS: number },
): Promise<Connection> {
  return connectTo(
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
      ...(ca === undefined ? {} : { ca: [ca] }),
    },
  );
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
