/**
 * Somebody else who publishes on the broker: an older or newer node, or no node
 * at all. It writes AMQP 0-9-1 by itself, so that it can send what no library
 * would: properties are the bytes that it is told to send.
 */
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

/** Class and method numbers of AMQP 0-9-1. */
const methods = {
  start: [10, 10],
  startOk: [10, 11],
  tune: [10, 30],
  tuneOk: [10, 31],
  open: [10, 40],
  openOk: [10, 41],
  connectionClose: [10, 50],
  openChannel: [20, 10],
  openChannelOk: [20, 11],
  channelClose: [20, 40],
  qos: [60, 10],
  qosOk: [60, 11],
  publish: [60, 40],
} as const;

const frameTypes = { method: 1, header: 2, body: 3 } as const;
const frameEnd = 0xce;
/** What one frame may have, beside its own 8 bytes: RabbitMQ's default less these. */
const maxPayloadBytes = 131_072 - 8;

/** A connection to a broker with one channel. */
export class ForeignNode implements Disposable {
  readonly #connection: Deno.Conn;
  #unread = new Uint8Array(0);

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
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
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    // Else each question waits 40 ms for the acknowledgement of what it follows.
    connection.setNoDelay();
    const node = new ForeignNode(connection);
    try {
      await node.#write([bytesOf("AMQP\0\0\x09\x01")]);
      await node.#expect(methods.start);
      await node.#call(methods.startOk, [
        uint(4, 0),
        short("PLAIN"),
        long(bytesOf(`\0${user}\0${password}`)),
        short("en_US"),
      ], { channel: 0 });
      await node.#expect(methods.tune);
      await node.#call(methods.tuneOk, [
        uint(2, 2047),
        uint(4, maxPayloadBytes + 8),
        uint(2, 0),
      ], { channel: 0 });
      await node.#call(methods.open, [short(vhost), short(""), uint(1, 0)], {
        channel: 0,
      });
      await node.#expect(methods.openOk);
      await node.#call(methods.openChannel, [short("")]);
      await node.#expect(methods.openChannelOk);
      return node;
    } catch (error) {
      node[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Publishes messages, and resolves when the broker has put all of them into
   * their queues.
   *
   * @throws {BrokerRefusal} If it takes one for malformed.
   */
  async publish(messages: readonly ForeignMessage[]): Promise<void> {
    try {
      for (const message of messages) await this.#publish(message);
      // A question that the broker answers after everything before it.
      await this.#call(methods.qos, [uint(4, 0), uint(2, 0), uint(1, 0)]);
      await this.#expect(methods.qosOk);
    } catch (error) {
      if (error instanceof BrokerRefusal) throw error;
      // The broker said why before it broke the connection.
      if (isEnd(error)) await this.#expect(methods.qosOk);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #publish(
    { exchange, key, properties, body }: ForeignMessage,
  ): Promise<void> {
    const parts = [
      methodFrame(methods.publish, [
        uint(2, 0),
        short(exchange),
        short(key),
        uint(1, 0),
      ]),
      frame(frameTypes.header, [
        uint(2, 60),
        uint(2, 0),
        uint(8, body.length),
        properties,
      ]),
    ];
    for (let at = 0; at < body.length; at += maxPayloadBytes) {
      parts.push(
        frame(frameTypes.body, [body.subarray(at, at + maxPayloadBytes)]),
      );
    }
    await this.#write(parts);
  }

  #call(
    method: Method,
    args: readonly Uint8Array[],
    { channel = 1 }: { channel?: number } = {},
  ): Promise<void> {
    return this.#write([methodFrame(method, args, channel)]);
  }

  async #expect(expected: Method): Promise<void> {
    const { method } = await this.#method();
    if (!is(method, expected)) {
      throw new Error(`Expected the method ${expected}, got ${method}`);
    }
  }

  /** Gets the next method. @throws {BrokerRefusal} If it ends the connection or channel. */
  async #method(): Promise<{ method: Method; args: Uint8Array }> {
    while (true) {
      const head = await this.#read(7);
      const size = new DataView(head.buffer).getUint32(3);
      const payload = await this.#read(size + 1);
      if (head[0] !== frameTypes.method) continue;
      const view = new DataView(payload.buffer);
      const method = [view.getUint16(0), view.getUint16(2)] as const;
      const args = payload.subarray(4, size);
      if (
        is(method, methods.connectionClose) || is(method, methods.channelClose)
      ) {
        const length = args[2]!;
        throw new BrokerRefusal(
          new TextDecoder().decode(args.subarray(3, 3 + length)),
        );
      }
      return { method, args };
    }
  }

  async #read(count: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#unread.length < count) {
      const chunk = new Uint8Array(64 * 1024);
      const got = await within(
        this.#connection.read(chunk),
        "an answer of the broker",
      );
      if (got === null) throw new BrokerRefusal("The broker hung up");
      this.#unread = concat([this.#unread, chunk.subarray(0, got)]);
    }
    const taken = this.#unread.slice(0, count);
    this.#unread = this.#unread.subarray(count);
    return taken;
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    const bytes = concat(parts);
    for (let sent = 0; sent < bytes.length;) {
      sent += await within(
        this.#connection.write(bytes.subarray(sent)),
        "a write to the broker",
      );
    }
  }
}

/** The broker ended the connection or the channel: what it got makes no sense to it. */
export class BrokerRefusal extends Error {
  override readonly name = "BrokerRefusal";
}

type Method = readonly [number, number];

/** Gets a message's flags and properties as bytes. */
export function encodeProperties(
  properties: ForeignProperties,
): Uint8Array<ArrayBuffer> {
  // The order of the bits, from the highest one.
  const fields: (Uint8Array | undefined)[] = [
    textField(properties.contentType),
    undefined,
    properties.headers && long(properties.headers),
    numberField(1, properties.deliveryMode),
    numberField(1, properties.priority),
    textField(properties.correlationId),
    textField(properties.replyTo),
    undefined,
    textField(properties.messageId),
    numberField(8, properties.timestamp),
    textField(properties.type),
    undefined,
    textField(properties.appId),
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

function textField(value: Field | undefined): Uint8Array | undefined {
  return value === undefined ? undefined : short(value);
}

function numberField(
  width: number,
  value: number | bigint | undefined,
): Uint8Array | undefined {
  return value === undefined ? undefined : uint(width, value);
}

function methodFrame(
  method: Method,
  args: readonly Uint8Array[],
  channel = 1,
): Uint8Array<ArrayBuffer> {
  return frame(
    frameTypes.method,
    [uint(2, method[0]), uint(2, method[1]), ...args],
    channel,
  );
}

function frame(
  type: number,
  parts: readonly Uint8Array[],
  channel = 1,
): Uint8Array<ArrayBuffer> {
  const payload = concat(parts);
  return concat([
    uint(1, type),
    uint(2, channel),
    uint(4, payload.length),
    payload,
    uint(1, frameEnd),
  ]);
}

/** Gets a whole number in `width` bytes, the highest first. */
export function uint(
  width: number,
  value: number | bigint,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(width);
  let rest = BigInt(value);
  for (let i = width - 1; i >= 0; i--, rest >>= 8n) {
    bytes[i] = Number(rest & 0xffn);
  }
  return bytes;
}

/** Gets a short string: up to 255 bytes, of which more are cut off. */
export function short(value: Field): Uint8Array<ArrayBuffer> {
  const bytes = bytesOf(value).subarray(0, 255);
  return concat([uint(1, bytes.length), bytes]);
}

/** Gets a long string, or a table. */
export function long(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([uint(4, bytes.length), bytes]);
}

function bytesOf(value: Field): Uint8Array {
  return typeof value === "string" ? new TextEncoder().encode(value) : value;
}

function is(a: Method, b: Method): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

function isEnd(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionReset;
}
