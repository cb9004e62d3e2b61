/**
 * Reads along while a connection is opened, and keeps what amqplib doesn't
 * tell: the broker's words when it refuses, how many channels it allows, and
 * whether it speaks AMQP at all.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Socket } from "node:net";

/** What a server's first bytes look like. */
export type Voice = "nothing" | "AMQP" | "TLS" | "something else";

/** The broker's words in `connection.close` (AMQP 0-9-1, 1.4.2.7). */
export interface CloseWords {
  /** AMQP's reply code. */
  readonly code: number;
  readonly text: string;
}

/** Nothing beyond this is read: a broker's greeting takes about 500 bytes. */
const maxBytes = 64 * 1024;

/** The kind of a frame, its channel and the length of its payload, AMQP 0-9-1, 4.2.3. */
const headerBytes = 7;
const methodFrame = 1;

/** Class and method in one number. */
const methods = { tune: 0x000a_001e, close: 0x000a_0032 } as const;

/** The first byte of a TLS record with an alert, or of the handshake, RFC 8446, 5.1. */
const tlsRecords = [21, 22];

/** Everything one server said while a connection was opened. */
export class Opening {
  #bytes = new Uint8Array();
  #voice: Voice = "nothing";
  #channelMax: number | undefined;
  #close: CloseWords | undefined;

  /** What the server seems to speak. */
  get voice(): Voice {
    return this.#voice;
  }

  /** How many channels the connection may have; `undefined` if the broker didn't limit them. */
  get channelMax(): number | undefined {
    return this.#channelMax;
  }

  /** Why the broker refused the connection, if it did. */
  get close(): CloseWords | undefined {
    return this.#close;
  }

  /** Takes what came in, in pieces of any size, decrypted. */
  take(chunk: Uint8Array): void {
    const before = this.#bytes;
    if (before.length + chunk.length > maxBytes) return;
    this.#bytes = new Uint8Array(before.length + chunk.length);
    this.#bytes.set(before);
    this.#bytes.set(chunk, before.length);
    if (this.#voice === "nothing") this.#voice = voiceOf(this.#bytes);
    if (this.#voice === "AMQP") this.#takeFrames();
  }

  #takeFrames(): void {
    while (this.#bytes.length >= headerBytes) {
      const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset);
      // A byte that ends the frame follows the payload.
      const end = headerBytes + view.getUint32(3) + 1;
      if (this.#bytes.length < end) return;
      const payload = this.#bytes.subarray(headerBytes, end - 1);
      if (view.getUint8(0) === methodFrame) this.#takeMethod(payload);
      this.#bytes = this.#bytes.subarray(end);
    }
  }

  #takeMethod(payload: Uint8Array): void {
    if (payload.length < 7) return;
    const view = new DataView(payload.buffer, payload.byteOffset);
    const number = view.getUint16(4);
    switch (view.getUint32(0)) {
      case methods.tune:
        this.#channelMax = number === 0 ? undefined : number;
        break;
      case methods.close: {
        const text = payload.subarray(7, 7 + payload[6]!);
        this.#close = { code: number, text: new TextDecoder().decode(text) };
      }
    }
  }
}

function voiceOf([first]: Uint8Array): Voice {
  if (first === undefined) return "nothing";
  if (first === methodFrame) return "AMQP";
  return tlsRecords.includes(first) ? "TLS" : "something else";
}

/**
 * Reads along on the socket that `connect` makes before it returns, until its
 * promise is settled.
 *
 * amqplib's error for a refused opening is `Expected ConnectionOpenOk`, without
 * the frame, and its connection is out of reach until it is open. But Node.js
 * publishes each socket that it makes in `net.client.socket`
 * (nodejs.org/api/diagnostics_channel.html); and a socket with listeners to
 * both `readable` and `data` tells these what others read from it.
 */
export function readAlong<T>(
  connect: () => Promise<T>,
): { opening: Opening; connection: Promise<T> } {
  const opening = new Opening();
  const stops: (() => void)[] = [];
  const listen = (message: unknown): void => {
    const { socket } = message as { socket?: unknown };
    if (!(socket instanceof Socket)) return;
    const take = (chunk: Uint8Array): void => opening.take(chunk);
    const nothing = (): void => {};
    // First, as `data` alone would make it flow past those who read.
    socket.on("readable", nothing);
    socket.on("data", take);
    stops.push(() => {
      socket.off("data", take);
      socket.off("readable", nothing);
    });
  };
  subscribe("net.client.socket", listen);
  let connection: Promise<T>;
  try {
    connection = connect();
  } finally {
    unsubscribe("net.client.socket", listen);
  }
  return {
    opening,
    connection: connection.finally(() => {
      for (const stop of stops) stop();
    }),
  };
}
