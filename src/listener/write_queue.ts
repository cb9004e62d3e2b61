/** What waits to be written to one connection. */
import { frameOf, opcodes } from "./frames.ts";
import { release, retain } from "../common/large_memory.ts";
import { copyTogether } from "./shared_copy.ts";
import { mayWrite, type Writer } from "./write_pace.ts";

/**
 * What a queued piece takes beside its bytes, in bytes. Measured with Deno
 * 2.9.6 as resident memory after a collection: 200,000 pieces of 66 bytes take
 * 755 bytes each if each has memory of its own, as a message has that came
 * alone; 202 bytes if they are parts of the same.
 */
export const pieceOverheadBytes = 700;

/** Pieces are copied together up to this, in bytes: one write costs more than copying that. */
const maxTogetherBytes = 64 * 1024;
/** Pieces of this many bytes are written as they are. */
const largePieceBytes = 16 * 1024;
/** Pongs that may wait; then the last one is replaced, as RFC 6455 section 5.5.3 allows. */
const maxPongs = 16;

/** What a {@linkcode WriteQueue} tells its owner. */
export interface WriteQueueOwner {
  /** The kernel took some of it. */
  written(): void;
  /** The connection takes nothing more; the queue is empty and stays so. */
  writeFailed(): void;
}

/** Writes pieces in their order, one write at a time. */
export class WriteQueue implements Writer {
  /** For the pace. */
  round = 0;
  spent = 0;
  readonly #conn: Pick<Deno.Conn, "write">;
  readonly #owner: WriteQueueOwner;
  /** "next" until it may begin the next write. */
  #state: "waiting" | "next" | "writing" | "idle" | "dropped" = "waiting";
  /** What is being written. */
  #current = nothing;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #queuedBytes = 0;
  #pushedBytes = 0;
  #takenBytes = 0;
  /** How many of the pieces are pongs, and the last one of them. */
  #pongs = 0;
  #lastPong: Uint8Array<ArrayBuffer> | undefined;

  /** @param conn Nothing is written to it before {@linkcode start}. */
  constructor(conn: Pick<Deno.Conn, "write">, owner: WriteQueueOwner) {
    this.#conn = conn;
    this.#owner = owner;
  }

  /** What the kernel hasn't taken yet, with {@linkcode pieceOverheadBytes} for each piece. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** All that was ever pushed, in bytes; compare with {@linkcode takenBytes}. */
  get pushedBytes(): number {
    return this.#pushedBytes;
  }

  /** What the kernel has taken of that. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** For the pace. */
  get nextBytes(): number {
    return Math.min(this.#queuedBytes, maxTogetherBytes);
  }

  /** Begins to write. */
  start(): void {
    if (this.#state !== "waiting") return;
    this.#state = "idle";
    if (this.#pieces.length > 0) this.#writeNext();
  }

  /** For the pace. */
  writeNow(): void {
    if (this.#state === "next") this.#writeNext();
  }

  /** Adds a piece, which must not be empty and not change any more. Its memory is retained until it is written. */
  push(piece: Uint8Array<ArrayBuffer>): void {
    if (this.#state === "dropped") return;
    this.#queuedBytes += piece.length + pieceOverheadBytes;
    this.#pushedBytes += piece.length;
    retain(piece);
    if (this.#state === "idle" && mayWrite(this)) return this.#write(piece);
    this.#pieces.push(piece);
    if (this.#state === "idle") this.#state = "next";
  }

  /** Adds a pong; if many wait already, in the place of the last one. */
  pushPong(payload: Uint8Array): void {
    const pong = frameOf(opcodes.pong, payload);
    if (this.#state === "idle" || this.#state === "dropped") {
      return this.push(pong);
    }
    if (this.#pongs === maxPongs) {
      const replaced = this.#lastPong!;
      this.#pieces[this.#pieces.lastIndexOf(replaced)] = pong;
      this.#queuedBytes += pong.length - replaced.length;
      this.#pushedBytes += pong.length - replaced.length;
    } else {
      this.#pongs++;
      this.push(pong);
    }
    this.#lastPong = pong;
  }

  /** Forgets all of it, and ignores what is pushed from now on. */
  drop(): void {
    this.#state = "dropped";
    this.#current = nothing;
    this.#pieces = [];
    this.#queuedBytes = 0;
    this.#lastPong = undefined;
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    this.#state = "writing";
    this.#current = bytes;
    this.#conn.write(bytes).then(this.#onWritten, this.#onFailed);
  }

  #writeNext(): void {
    const pieces = this.#pieces;
    const first = pieces[0]!;
    let count = 1;
    let bytes = first.length;
    if (bytes < largePieceBytes) {
      for (; count < pieces.length; count++) {
        const { length } = pieces[count]!;
        if (length >= largePieceBytes || bytes + length > maxTogetherBytes) {
          break;
        }
        bytes += length;
      }
    }
    const taken = count === pieces.length ? pieces : pieces.splice(0, count);
    if (taken === pieces) this.#pieces = [];
    if (this.#pongs > 0) this.#countPongs();
    if (count === 1) return this.#write(first);
    this.#queuedBytes -= (count - 1) * pieceOverheadBytes;
    this.#write(copyTogether(taken));
  }

  /** Pongs are rare, and a wrong bit in another frame's place rarer: so they are just counted anew. */
  #countPongs(): void {
    this.#pongs = this.#pieces.filter(isPong).length;
  }

  // One function each for all writes: a closure per write costs more than all else here.
  readonly #onWritten = (bytes: number): void => {
    if (this.#state === "dropped") return;
    const current = this.#current;
    this.#takenBytes += bytes;
    if (bytes < current.length) {
      this.#queuedBytes -= bytes;
      this.#write(current.subarray(bytes));
    } else {
      this.#queuedBytes -= bytes + pieceOverheadBytes;
      this.#current = nothing;
      release(current);
      if (this.#pieces.length === 0) this.#state = "idle";
      else if (mayWrite(this)) this.#writeNext();
      else this.#state = "next";
    }
    this.#owner.written();
  };

  readonly #onFailed = (): void => {
    if (this.#state === "dropped") return;
    this.drop();
    this.#owner.writeFailed();
  };
}

const nothing = new Uint8Array(0);

/** Says whether a piece is a pong; none of more than one frame begins with one. */
function isPong(piece: Uint8Array): boolean {
  return (piece[0]! & 0x0f) === opcodes.pong;
}
