/**
 * Where a connection reads into: a small buffer while it is quiet, a large one
 * while much comes. A read under way has its buffer for itself, and a client
 * could keep that by saying nothing more: there is a fixed number of large ones
 * for all connections.
 */
import {
  type FrameReader,
  maxBufferBytes,
  minBufferBytes,
} from "./frame_reader.ts";
import { type Block, newBlock } from "./unmask.ts";

/** How many large buffers there are: 2 MiB in all. */
const maxLargeBuffers = 32;

/** Those that nobody has, and how many were made. */
const free: Block[] = [];
let made = 0;

/** The buffers of one connection. */
export class ReadBuffers {
  readonly #reader: FrameReader;
  readonly #small = newBlock(minBufferBytes);
  #current: Block | undefined;
  #isLarge = false;
  #spaceBytes = 0;
  #wasFilled = false;

  constructor(reader: FrameReader) {
    this.#reader = reader;
  }

  /** Whether the last read filled all the space that it had, so that more is likely there. */
  get wasFilled(): boolean {
    return this.#wasFilled;
  }

  /** Gives the reader what was read by somebody else. */
  fill(bytes: Uint8Array): void {
    this.#use(newBlock(bytes.length), { isLarge: false });
    this.#reader.space.set(bytes);
    this.#reader.filled(bytes.length);
  }

  /** Gets where the next read goes. The reader must have found all that it could. */
  space(): Uint8Array<ArrayBuffer> {
    if (!this.#wasFilled) this.#use(this.#small, { isLarge: false });
    else if (!this.#isLarge) {
      const large = takeLarge();
      this.#use(large ?? this.#small, { isLarge: large !== undefined });
    }
    const { space } = this.#reader;
    this.#spaceBytes = space.length;
    return space;
  }

  /** Says how many bytes were read into {@linkcode space}. */
  wasRead(bytes: number): void {
    this.#wasFilled = bytes === this.#spaceBytes;
  }

  /** Keeps no more memory than what the reader hasn't read takes. No read may be under way. */
  shrink(): void {
    if (!this.#isLarge) return;
    this.#use(newBlock(this.#reader.unreadBytes), { isLarge: false });
  }

  /** Gives a large buffer to others. No read may be under way, nor be made after this. */
  release(): void {
    if (this.#isLarge) free.push(this.#current!);
    this.#isLarge = false;
  }

  #use(buffer: Block, { isLarge }: { isLarge: boolean }): void {
    if (buffer === this.#current) return;
    this.#reader.useBuffer(buffer);
    this.release();
    this.#current = buffer;
    this.#isLarge = isLarge;
  }
}

function takeLarge(): Block | undefined {
  if (free.length > 0) return free.pop();
  if (made === maxLargeBuffers) return undefined;
  made++;
  return newBlock(maxBufferBytes);
}
