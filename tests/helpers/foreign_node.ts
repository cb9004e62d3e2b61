/**
 * Somebody else who publishes on the broker: an older or newer node, or no node
 * at all. It writes the frames of its messages by itself, so that it can send
 * what no library would: properties are the bytes that it is told to send.
 */
import { type Channel, type ChannelModel, connect } from "amqplib";
import { breakOff } from "../../src/amqp/connect.ts";
import { within } from "../../tools/eventually.ts";
import { concat } from "../../tools/raw_client.ts";

/** A message as it goes over the wire. */
export interface ForeignMessage {
  readonly exchange: string;
  readonly key: string;
  /** Flags and properties, see {@linkcode encodeProperties} (AMQP 0-9-1 section 4.2.6.1). */
  readonly properties: Uint8Array;
  readonly body: Uint8Array;
}

/** Properties of a message; text may be bytes that are no text. */
export interface ForeignProperties {
  readonly contentType?: Field;
  /** The table's bytes, without their length (section 4.2.5.5). */
  readonly headers?: Uint8Array;
  readonly deliveryMode?: number;
  readonly priority?: number;
  readonly correlationId?: Field;
  readonly replyTo?: Field;
  readonly messageId?: Field;
  readonly timestamp?: bigint;
  readonly type?: Field;
  readonly appId?: Field;
}

type Field = string | Uint8Array;

const frameTypes = { method: 1, header: 2, body: 3 } as const;
const frameEnd = 0xce;
/** RabbitMQ's default. */
const maxFrameBytes = 131_072;
/** What a frame may have beside its own bytes. */
const maxPayloadBytes = maxFrameBytes - 8;
/** Class and method numbers of basic.publish. */
const publishMethod = [uint(2, 60), uint(2, 40)];

/** A connection to a broker with one channel. */
export class ForeignNode implements Disposable {
  readonly #connection: ChannelModel;
  readonly #channel: Channel;

  private constructor(connection: ChannelModel, channel: Channel) {
    this.#connection = connection;
    this.#channel = channel;
    // Without a listener an error would end the process; questions fail, too.
    for (const each of [connection, channel]) each.on("error", () => {});
  }

  /** Logs in to the broker at a port of 127.0.0.1. */
  static async connect(
    { port, user, password, vhost }: {
      port: number;
      user: string;
      password: string;
      vhost: string;
    },
  ): Promise<ForeignNode> {
    const connection = await connect({
      ...{ hostname: "127.0.0.1", port, username: user, password },
      ...{ vhost: encodeURIComponent(vhost), frameMax: maxFrameBytes },
    }, { noDelay: true });
    return new ForeignNode(connection, await connection.createChannel());
  }

  /**
   * Publishes messages, and resolves when the broker has put all of them into
   * their queues.
   *
   * @throws {BrokerRefusal} If it takes one for malformed.
   */
  async publish(messages: readonly ForeignMessage[]): Promise<void> {
    const { connection } = this.#connection as unknown as {
      connection: { sendBytes(bytes: Uint8Array): void };
    };
    for (const message of messages) {
      connection.sendBytes(concat(this.#framesOf(message)));
    }
    // A question that the broker answers after everything before it.
    const answer = this.#channel.prefetch(0).catch((cause) => {
      throw new BrokerRefusal("The broker refused a message", { cause });
    });
    await within(answer, "an answer of the broker");
  }

  [Symbol.dispose](): void {
    breakOff(this.#connection);
  }

  #framesOf(
    { exchange, key, properties, body }: ForeignMessage,
  ): Uint8Array[] {
    const { ch } = this.#channel as unknown as { ch: number };
    const method = [...publishMethod, uint(2, 0), short(exchange), short(key)];
    const size = uint(8, body.length);
    const frames = [
      frame(frameTypes.method, ch, [...method, uint(1, 0)]),
      frame(frameTypes.header, ch, [uint(2, 60), uint(2, 0), size, properties]),
    ];
    for (let at = 0; at < body.length; at += maxPayloadBytes) {
      const part = body.subarray(at, at + maxPayloadBytes);
      frames.push(frame(frameTypes.body, ch, [part]));
    }
    return frames;
  }
}

/** The broker ended the connection or the channel: what it got makes no sense to it. */
export class BrokerRefusal extends Error {
  override readonly name = "BrokerRefusal";
}

/** Gets a message's flags and properties as bytes. */
export function encodeProperties(
  properties: ForeignProperties,
): Uint8Array<ArrayBuffer> {
  const of = <T>(value: T | undefined, write: (value: T) => Uint8Array) =>
    value === undefined ? undefined : write(value);
  const byte = (value: number): Uint8Array => uint(1, value);
  // The order of the bits, from the highest one.
  const fields = [
    of(properties.contentType, short),
    undefined,
    of(properties.headers, long),
    of(properties.deliveryMode, byte),
    of(properties.priority, byte),
    of(properties.correlationId, short),
    of(properties.replyTo, short),
    undefined,
    of(properties.messageId, short),
    of(properties.timestamp, (value) => uint(8, value)),
    of(properties.type, short),
    undefined,
    of(properties.appId, short),
  ];
  let flags = 0;
  for (const [i, field] of fields.entries()) {
    if (field) flags |= 0x8000 >> i;
  }
  return concat([
    uint(2, flags),
    ...fields.filter((field) => field !== undefined),
  ]);
}

/** Gets headers with `depth` tables within each other. */
export function nestedHeaders(depth: number): Uint8Array<ArrayBuffer> {
  // An empty name, the type of a table, and the length of what follows.
  const stepBytes = 1 + 1 + 4;
  const bytes = new Uint8Array(depth * stepBytes);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += stepBytes) {
    bytes[at + 1] = "F".charCodeAt(0);
    view.setUint32(at + 2, bytes.length - at - stepBytes);
  }
  return bytes;
}

function frame(
  type: number,
  channel: number,
  parts: readonly Uint8Array[],
): Uint8Array {
  const payload = concat(parts);
  return concat([
    ...[uint(1, type), uint(2, channel), uint(4, payload.length)],
    ...[payload, uint(1, frameEnd)],
  ]);
}

/** Gets a whole number in `width` bytes, the highest first. */
export function uint(
  width: number,
  value: number | bigint,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes.slice(-width);
}

/** Gets a short string: up to 255 bytes, of which more are cut off. */
export function short(value: Field): Uint8Array<ArrayBuffer> {
  const bytes = typeof value === "string"
    ? new TextEncoder().encode(value)
    : value;
  const kept = bytes.subarray(0, 255);
  return concat([uint(1, kept.length), kept]);
}

/** Gets a long string, or a table. */
function long(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([uint(4, bytes.length), bytes]);
}
