/** WebSocket frames as a client writes and reads them, RFC 6455 section 5.2. */

/** The opcodes, RFC 6455 section 11.8. */
export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** The masking key of every frame: any will do for a server that isn't attacked. */
const key = [0x37, 0xfa, 0x21, 0x3d] as const;

/** Gets the byte of the masking key for a payload's byte at `index`. */
export function maskAt(index: number): number {
  return key[index & 3]!;
}

/** Gets a masked frame, final unless `more` fragments follow. */
export function frame(
  opcode: number,
  payload: Uint8Array,
  options: { more?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const start = 2 + extended + key.length;
  const bytes = new Uint8Array(start + length);
  const view = new DataView(bytes.buffer);
  bytes[0] = (options.more ? 0 : 0x80) | opcode;
  bytes[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) view.setUint16(2, length);
  if (extended === 8) view.setBigUint64(2, BigInt(length));
  bytes.set(key, 2 + extended);
  for (let i = 0; i < length; i++) bytes[start + i] = payload[i]! ^ maskAt(i);
  return bytes;
}

/** A whole message or control frame: its payload is at `start` to `end` of the bytes it is told with. */
export interface Frame {
  opcode: number;
  start: number;
  end: number;
}

/** Who a {@linkcode FrameReader} tells; `frame` is good during the call only. */
export interface FrameListener {
  onFrame(data: Uint8Array<ArrayBuffer>, frame: Frame): void;
}

/** One for all: a message costs no allocation. */
const told: Frame = { opcode: 0, start: 0, end: 0 };

/** Cuts one connection's bytes into frames, joining fragments. */
export class FrameReader {
  readonly #listener: FrameListener;
  /** The start of a frame whose end hasn't come yet. */
  #rest: Uint8Array<ArrayBuffer> | undefined;
  #fragments: Uint8Array<ArrayBuffer> | undefined;
  #fragmentsOpcode = 0;

  constructor(listener: FrameListener) {
    this.#listener = listener;
  }

  /**
   * Takes `count` bytes of `chunk`, which may be used anew afterwards.
   *
   * @throws {Error} If a frame is masked, which a server's never is.
   */
  read(chunk: Uint8Array<ArrayBuffer>, count: number): void {
    let data = chunk;
    let end = count;
    if (this.#rest !== undefined) {
      data = concat(this.#rest, chunk.subarray(0, count));
      end = data.length;
      this.#rest = undefined;
    }
    let at = 0;
    while (end - at >= 2) {
      const first = data[at]!;
      let length = data[at + 1]!;
      let start = at + 2;
      if (length >= 126) {
        if (length > 127) {
          throw new Error(
            "A server's frame is masked: expected none, RFC 6455 section 5.1",
          );
        }
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
      this.#frame(first, data, start, at);
    }
    if (at < end) this.#rest = data.slice(at, end);
  }

  // Without an options object: this runs once per delivery.
  #frame(
    first: number,
    data: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    const opcode = first & 0x0f;
    const isFinal = first >= 0x80;
    if (isFinal && opcode !== opcodes.continuation) {
      this.#tell(opcode, data, start, end);
      return;
    }
    if (opcode !== opcodes.continuation) this.#fragmentsOpcode = opcode;
    this.#fragments = concat(
      this.#fragments ?? new Uint8Array(),
      data.subarray(start, end),
    );
    if (!isFinal) return;
    const whole = this.#fragments;
    this.#fragments = undefined;
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

/** Gets `a` and `b` in one. */
export function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
