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

/** The protocols by name. */
export const protocols = {
  raw,
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
