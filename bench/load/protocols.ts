/**
 * What the peers speak on top of WebSocket, as far as publishing and receiving
 * in a channel needs it.
 */
import { concat, type Frame, frame, opcodes } from "./frames.ts";

/** How to talk to a peer in one channel. */
export interface Protocol {
  /** The handshake's path. */
  path(channel: string): string;
  /** The subprotocol to ask for. */
  readonly subprotocol?: string;
  /**
   * Gets what a client sends to join, one frame per answer that it waits for:
   * the first after the 101 unless {@linkcode greeted}, the next after each
   * answer. Joined after the last answer.
   */
  hello(channel: string): Uint8Array<ArrayBuffer>[];
  /** The server speaks first. */
  readonly greeted?: boolean;
  /** Gets what publishes `payload`, and where the payload begins in it. Its bytes stay masked in phase. */
  publish(
    channel: string,
    options: { payload: Uint8Array; binary: boolean },
  ): Publication;
  /** Gets where the payload of a received message begins, or -1 for what is none. */
  find(data: Uint8Array, frame: Frame): number;
  /** Bytes behind the payload of a received message. */
  trailerBytes(binary: boolean): number;
  /** Gets the answer to a frame that {@linkcode find} refused. */
  answer?(data: Uint8Array, frame: Frame): Uint8Array<ArrayBuffer> | undefined;
}

/** Bytes that publish a message. */
export interface Publication {
  bytes: Uint8Array<ArrayBuffer>;
  /** Where the payload begins in {@linkcode bytes}. */
  payloadAt: number;
  /** The payload's first byte is at this place of its frame, as far as masking goes. */
  maskPhase: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Gets a publication whose payload stands in one frame between `before` and `after`. */
function inOneFrame(
  payload: Uint8Array,
  options: { binary: boolean; before?: Uint8Array; after?: Uint8Array },
): Publication {
  const { binary, before = new Uint8Array(), after = new Uint8Array() } =
    options;
  const whole = concat(concat(before, payload), after);
  const bytes = frame(binary ? opcodes.binary : opcodes.text, whole);
  const payloadAt = bytes.length - whole.length + before.length;
  return { bytes, payloadAt, maskPhase: before.length };
}

/** A message is a message: staps and every relay without a protocol of its own. */
const raw: Protocol = {
  path: (channel) => `/${channel}`,
  hello: () => [],
  publish: (_channel, { payload, binary }) => inOneFrame(payload, { binary }),
  find: (_data, { start, opcode }) =>
    opcode === opcodes.text || opcode === opcodes.binary ? start : -1,
  trailerBytes: () => 0,
};

/** Engine.IO 4 with Socket.IO 5, https://github.com/socketio/socket.io-protocol. */
const socketio: Protocol = {
  path: (channel) => `/socket.io/?EIO=4&transport=websocket&channel=${channel}`,
  greeted: true,
  hello: () => [frame(opcodes.text, encoder.encode("40"))],
  publish(_channel, { payload, binary }): Publication {
    if (!binary) {
      return inOneFrame(payload, {
        binary,
        before: encoder.encode('42["m","'),
        after: encoder.encode('"]'),
      });
    }
    const head = frame(
      opcodes.text,
      encoder.encode('451-["m",{"_placeholder":true,"num":0}]'),
    );
    const body = inOneFrame(payload, { binary });
    return {
      ...body,
      bytes: concat(head, body.bytes),
      payloadAt: head.length + body.payloadAt,
    };
  },
  find(data, { start, opcode }): number {
    if (opcode === opcodes.binary) return start;
    // `42["m","` is a text message, anything else a ping or the head of a binary one.
    return data[start] === 0x34 && data[start + 1] === 0x32 ? start + 8 : -1;
  },
  trailerBytes: (binary) => binary ? 0 : 2,
  answer: (data, { start }) =>
    data[start] === 0x32 ? frame(opcodes.text, encoder.encode("3")) : undefined,
};

/** STOMP 1.2, https://stomp.github.io/stomp-specification-1.2.html. */
const stomp: Protocol = {
  path: () => "/ws",
  subprotocol: "v12.stomp",
  hello: (channel) => [
    frame(
      opcodes.text,
      encoder.encode(
        "CONNECT\naccept-version:1.2\nhost:/\nlogin:staps\npasscode:secret\nheart-beat:0,0\n\n\0",
      ),
    ),
    // STOMP confirms a subscription only if asked for a receipt.
    frame(
      opcodes.text,
      encoder.encode(
        `SUBSCRIBE\nid:0\ndestination:/topic/${channel}\nack:auto\nreceipt:r\n\n\0`,
      ),
    ),
  ],
  publish: (channel, { payload, binary }) =>
    inOneFrame(payload, {
      binary,
      before: encoder.encode(
        `SEND\ndestination:/topic/${channel}\ncontent-length:${payload.length}\n\n`,
      ),
      after: new Uint8Array(1),
    }),
  find(data, { start, end }): number {
    if (data[start] !== 0x4d) return -1; // "M" of MESSAGE
    for (let i = start; i < end; i++) {
      if (data[i] === 10 && data[i + 1] === 10) return i + 2;
    }
    return -1;
  },
  // NUL, and a line end of which the specification allows any number.
  trailerBytes: () => 2,
};

/** MQTT 5, the first version in which a subscriber needn't get its own messages, section 3.8.3.1. */
const mqtt: Protocol = {
  path: () => "/mqtt",
  subprotocol: "mqtt",
  hello: (channel) => [
    // CONNECT: clean start, no keep-alive, no properties, the server chooses the client's name.
    frame(
      opcodes.binary,
      mqttPacket(0x10, [...mqttString("MQTT"), 5, 2, 0, 0, 0, 0, 0]),
    ),
    // SUBSCRIBE: packet 1, no properties, QoS 0 and "no local".
    frame(
      opcodes.binary,
      mqttPacket(0x82, [0, 1, 0, ...mqttString(channel), 4]),
    ),
  ],
  publish(channel, { payload }): Publication {
    const head = [...mqttString(channel), 0];
    const packet = mqttPacket(0x30, [...head, ...payload]);
    const before = packet.subarray(0, packet.length - payload.length);
    return inOneFrame(payload, { binary: true, before });
  },
  find(data, { start }): number {
    if ((data[start]! & 0xf0) !== 0x30) return -1;
    let at = start + 1;
    while (data[at]! >= 0x80) at++;
    at++;
    at += 2 + data[at]! * 256 + data[at + 1]!;
    // Properties: their length is below 128 bytes here.
    return at + 1 + data[at]!;
  },
  trailerBytes: () => 0,
};

/** Gets an MQTT packet, section 2.1. */
function mqttPacket(type: number, rest: number[]): Uint8Array {
  const length: number[] = [];
  let left = rest.length;
  do {
    length.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  return new Uint8Array([type, ...length, ...rest]);
}

/** Gets an MQTT string, section 1.5.4. */
function mqttString(text: string): number[] {
  const bytes = encoder.encode(text);
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

/** The protocols by name. */
export const protocols = {
  raw,
  socketio,
  stomp,
  mqtt,
} as const satisfies Record<string, Protocol>;

/** The name of a protocol in {@linkcode protocols}. */
export type ProtocolName = keyof typeof protocols;

/** Gets the bytes of a handshake request, RFC 6455 section 4.1. */
export function handshake(
  protocol: Protocol,
  channel: string,
): Uint8Array<ArrayBuffer> {
  return encoder.encode(
    [
      `GET ${protocol.path(channel)} HTTP/1.1`,
      "Host: localhost",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ...(protocol.subprotocol
        ? [`Sec-WebSocket-Protocol: ${protocol.subprotocol}`]
        : []),
      "\r\n",
    ].join("\r\n"),
  );
}

/**
 * Gets the length of a whole handshake response at the start of `data`, or 0 if more is to come.
 *
 * @throws {Error} If the server refused.
 */
export function handshakeLength(data: Uint8Array): number {
  const text = decoder.decode(data);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  if (!/^HTTP\/1\.1 101 /.test(text)) {
    throw new Error(
      `The server refused a client: got "${
        text.split("\r\n")[0]
      }", expected status 101`,
    );
  }
  if (
    !/\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i.test(text)
  ) {
    throw new Error(
      "The server's Sec-WebSocket-Accept is wrong: expected that of RFC 6455 section 1.3",
    );
  }
  return end + 4;
}
