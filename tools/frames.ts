/**
 * WebSocket frames as a client writes and reads them (RFC 6455 section 5.2),
 * without a connection, and apart from src/listener on purpose.
 */

/** RFC 6455 section 11.8. */
export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** What masks a frame unless it is told: any key will do for a server that isn't attacked. */
export const maskKey = [0x37, 0xfa, 0x21, 0x3d] as const;

/** How to write a frame; the defaults make a correct one. */
export interface FrameOptions {
  /** The last frame of its message. Default true. */
  readonly fin?: boolean;
  /** The reserved bits, 0 to 7. Default 0. */
  readonly rsv?: number;
  /** Masked with this key; `false` leaves the frame unmasked. Default {@linkcode maskKey}. */
  readonly mask?: readonly [number, number, number, number] | false;
  /** How many bytes the extended length takes: 0, 2 or 8. Default the fewest. */
  readonly lengthBytes?: 0 | 2 | 8;
  /** The length to declare, if it isn't that of the payload. */
  readonly declaredLength?: bigint;
}

const encoder = new TextEncoder();

/** Gets the bytes of a frame. Text becomes UTF-8. */
export function frameBytes(
  opcode: number,
  payload: string | Uint8Array = "",
  options: FrameOptions = {},
): Uint8Array<ArrayBuffer> {
  const { fin = true, rsv = 0, mask = maskKey } = options;
  const data = typeof payload === "string" ? encoder.encode(payload) : payload;
  const length = options.declaredLength ?? BigInt(data.length);
  const lengthBytes = options.lengthBytes ??
    (length < 126n ? 0 : length < 65536n ? 2 : 8);
  const headBytes = 2 + lengthBytes + (mask ? 4 : 0);
  const bytes = new Uint8Array(headBytes + data.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = (fin ? 0x80 : 0) | rsv << 4 | opcode;
  bytes[1] = (mask ? 0x80 : 0) |
    (lengthBytes === 0 ? Number(length) : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) view.setUint16(2, Number(length));
  if (lengthBytes === 8) view.setBigUint64(2, length);
  bytes.set(data, headBytes);
  if (mask) {
    bytes.set(mask, 2 + lengthBytes);
    for (let i = 0; i < data.length; i++) bytes[headBytes + i]! ^= mask[i % 4]!;
  }
  return bytes;
}

/** Gets the payload of a close frame (RFC 6455 section 5.5.1). */
export function closePayload(
  code: number,
  reason: string | Uint8Array = "",
): Uint8Array<ArrayBuffer> {
  const text = typeof reason === "string" ? encoder.encode(reason) : reason;
  return concat([Uint8Array.of(code >> 8, code & 0xff), text]);
}

/** Gets the code and reason in a close frame's payload; 1005 if it has none (RFC 6455 section 7.1.5). */
export function readClose(
  payload: Uint8Array,
): { code: number; reason: string } {
  if (payload.length === 0) return { code: 1005, reason: "" };
  return {
    code: payload[0]! << 8 | payload[1]!,
    reason: new TextDecoder().decode(payload.subarray(2)),
  };
}

/** Gets the parts as one array. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** A whole message or control frame: its payload is at `start` to `end` of the bytes it is told with. */
export interface Told {
  opcode: number;
  start: number;
  end: number;
}

/** Who a {@linkcode FrameReader} tells; both arguments are good during the call only. */
export interface FrameListener {
  onFrame(data: Uint8Array<ArrayBuffer>, told: Told): void;
}

/** One for all: a message that comes whole costs no allocation. */
const told: Told = { opcode: 0, start: 0, end: 0 };

/** Cuts one connection's bytes into messages and control frames. */
export class FrameReader {
  readonly #listener: FrameListener;
  /** The start of a frame whose end hasn't come yet: the first `#waiting` bytes. */
  #rest = new Uint8Array(0);
  #waiting = 0;
  readonly #fragments: Uint8Array[] = [];
  #fragmentsOpcode = 0;

  constructor(listener: FrameListener) {
    this.#listener = listener;
  }

  /**
   * Takes `count` bytes of `chunk`, which may be used anew afterwards.
   *
   * @throws {SyntaxError} If a server may not send that (RFC 6455 sections 5.1, 5.2 and 5.4).
   */
  read(chunk: Uint8Array<ArrayBuffer>, count: number): void {
    if (this.#waiting === 0) {
      const taken = this.#cut(chunk, count);
      if (taken < count) this.#keep(chunk.subarray(taken, count));
      return;
    }
    this.#keep(chunk.subarray(0, count));
    const taken = this.#cut(this.#rest, this.#waiting);
    if (taken === 0) return;
    this.#waiting -= taken;
    this.#rest = this.#rest.slice(taken, taken + this.#waiting);
  }

  /** Puts bytes behind those that wait. */
  #keep(bytes: Uint8Array): void {
    const length = this.#waiting + bytes.length;
    if (length > this.#rest.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#rest.length));
      larger.set(this.#rest.subarray(0, this.#waiting));
      this.#rest = larger;
    }
    this.#rest.set(bytes, this.#waiting);
    this.#waiting = length;
  }

  /** Takes the whole frames at the start of `data`, and gets where they end. */
  #cut(data: Uint8Array<ArrayBuffer>, end: number): number {
    let at = 0;
    while (end - at >= 2) {
      const first = data[at]!;
      let length = data[at + 1]!;
      let start = at + 2;
      if ((first & 0x70) !== 0 || length > 127) {
        throw new SyntaxError("a frame with a mask or reserved bits");
      }
      if (length >= 126) {
        const extended = length === 126 ? 2 : 8;
        if (end - start < extended) break;
        length = 0;
        for (let i = 0; i < extended; i++) {
          length = length * 256 + data[start + i]!;
        }
        start += extended;
      }
      if (end - start < length) break;
      at = start + length;
      this.#take(first, data, start, at);
    }
    return at;
  }

  // Without an options object: this runs once per delivery.
  #take(
    first: number,
    data: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    const opcode = first & 0x0f;
    const isFinal = first >= 0x80;
    if (opcode >= opcodes.close) {
      if (!isFinal || opcode > opcodes.pong) throw unknownFrame(first);
      return this.#tell(opcode, data, start, end);
    }
    if (opcode > opcodes.binary) throw unknownFrame(first);
    const continues = opcode === opcodes.continuation;
    if (continues !== this.#fragments.length > 0) {
      throw new SyntaxError("a fragment out of turn");
    }
    if (isFinal && !continues) return this.#tell(opcode, data, start, end);
    if (!continues) this.#fragmentsOpcode = opcode;
    this.#fragments.push(data.slice(start, end));
    if (!isFinal) return;
    const whole = concat(this.#fragments.splice(0));
    this.#tell(this.#fragmentsOpcode, whole, 0, whole.length);
  }

  #tell(
    opcode: number,
    data: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    told.opcode = opcode;
    told.start = start;
    told.end = end;
    this.#listener.onFrame(data, told);
  }
}

function unknownFrame(first: number): SyntaxError {
  return new SyntaxError(`a frame that begins with the byte ${first}`);
}
