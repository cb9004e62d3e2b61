/** A message that comes in parts, put together in the place where its frame will be. */
import { headBytes, maxHeadBytes, writeHead } from "./frames.ts";
import { giveBack, own } from "../common/large_memory.ts";
import { newBlock, unmask } from "./unmask.ts";

/** The least that is allocated, in bytes. */
const leastBytes = 512;

/**
 * Collects the payload of one message. It takes at most about twice the memory
 * of what has arrived, whatever was announced.
 */
export class MessageBuffer {
  #block = newBlock(0);
  /** Where the payload ends; the header goes before `maxHeadBytes`. */
  #end = maxHeadBytes;
  #isAscii = true;

  /** What has arrived, in bytes. */
  get payloadBytes(): number {
    return this.#end - maxHeadBytes;
  }

  /** Whether all that has arrived is ASCII. */
  get isAscii(): boolean {
    return this.#isAscii;
  }

  /**
   * Adds `count` bytes of `source`, from `from` on, without their mask.
   *
   * @param options.key The mask, turned so that it fits the first of them.
   * @param options.mostBytes How many the whole payload can become: no more is allocated.
   */
  append(
    source: Uint8Array,
    from: number,
    count: number,
    { key, mostBytes }: { key: number; mostBytes: number },
  ): void {
    const start = this.#end;
    this.#end += count;
    this.#grow(this.#end, maxHeadBytes + mostBytes);
    const block = this.#block;
    block.bytes.set(source.subarray(from, from + count), start);
    if (!unmask(block, start, block, start, count, key)) this.#isAscii = false;
  }

  /** Gets the message as one frame, alone in its memory, which the caller {@linkcode own}s. Nothing can be added after this. */
  toFrame(opcode: number): Uint8Array<ArrayBuffer> {
    const payloadBytes = this.payloadBytes;
    const start = maxHeadBytes - headBytes(payloadBytes);
    this.#grow(this.#end, this.#end);
    writeHead(this.#block.bytes, start, opcode, payloadBytes);
    const frame = this.#block.bytes.subarray(start, this.#end);
    // A frame may lie in queues for a while: not with much memory around it.
    const unusedBytes = this.#block.bytes.length - this.#end;
    if (unusedBytes <= frame.length >> 2) {
      own(frame);
      return frame;
    }
    const copy = frame.slice();
    giveBack(this.#block.bytes.buffer);
    own(copy);
    return copy;
  }

  /** Forgets the message. Nothing can be done with it after this. */
  discard(): void {
    giveBack(this.#block.bytes.buffer);
  }

  #grow(neededBytes: number, mostBytes: number): void {
    const oldBlock = this.#block;
    const old = oldBlock.bytes;
    if (neededBytes <= old.length) return;
    const doubled = Math.max(2 * old.length, leastBytes);
    this.#block = newBlock(Math.max(neededBytes, Math.min(doubled, mostBytes)));
    this.#block.bytes.set(old);
    giveBack(oldBlock.bytes.buffer);
  }
}
