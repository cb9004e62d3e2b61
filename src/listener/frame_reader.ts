/**
 * Reading what a client sends: RFC 6455 framing, strict, without I/O. Bytes go
 * into a buffer of the reader, and messages and control frames come out.
 *
 * Small messages are the case that matters. All that lie whole in the buffer
 * are unmasked together, into new memory of just their size, where they stand
 * as the frames that they are sent on with. A larger message, or one in
 * fragments, is collected in a {@linkcode MessageBuffer}.
 */
import { isUtf8 } from "node:buffer";
import {
  fault,
  type FaultEvent,
  type Head,
  maskBit,
  maskBytes,
  readHead,
  readKey,
} from "./frame_head.ts";
import { finBit, opcodes, payloadBytes, readClosePayload } from "./frames.ts";
import { MessageBuffer } from "./message_buffer.ts";
import type { Message, SocketLimits } from "./socket.ts";
import { type Block, newBlock, turnKey, unmask } from "./unmask.ts";

/** The largest buffer that a reader may get, in bytes. */
export const maxBufferBytes = 64 * 1024;
/**
 * The smallest buffer that a reader may get, in bytes. A frame that fits in is
 * waited for in the buffer; of a larger one, what came is taken out.
 */
export const minBufferBytes = 2 * 1024;

/** A ping, with what its pong must carry. */
export interface PingEvent {
  readonly kind: "ping";
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A pong, to a ping of ours or none. */
export interface PongEvent {
  readonly kind: "pong";
}

/** A close frame; its code is 1005 if it has none. */
export interface CloseEvent {
  readonly kind: "close";
  readonly code: number;
  readonly reason: string;
}

/** What a reader finds. */
export type FrameEvent =
  | MessageEvent
  | PingEvent
  | PongEvent
  | CloseEvent
  | FaultEvent;

/** A whole message. */
export class MessageEvent implements Message {
  readonly kind = "message";
  readonly frame: Uint8Array<ArrayBuffer>;

  /** @param frame Without a mask; the message itself, its memory is not copied. */
  constructor(frame: Uint8Array<ArrayBuffer>) {
    this.frame = frame;
  }

  get isText(): boolean {
    return this.frame[0] === (finBit | opcodes.text);
  }

  get payload(): Uint8Array<ArrayBuffer> {
    const { frame } = this;
    return frame.subarray(frame.length - payloadBytes(frame));
  }
}

const lengthBits = 0x7f;
const pong: PongEvent = { kind: "pong" };
const wholeText = finBit | opcodes.text;
const wholeBinary = finBit | opcodes.binary;
const nothing = new Uint8Array(0);
const notUtf8 = fault("not_utf8", "text message is not UTF-8");

/** Where messages are unmasked. Nothing stays in it after a call. */
const workspace = newBlock(maxBufferBytes);

/** Reads the frames of one client. */
export class FrameReader {
  readonly #limits: Pick<SocketLimits, "messageBytes">;
  #block = newBlock(0);
  /** What of the buffer is filled and not yet read. */
  #start = 0;
  #end = 0;
  /** Messages that were unmasked together and are not handed out yet: frames, from `#readyAt` on. */
  #ready = nothing;
  #readyAt = 0;
  /** Found behind what is ready. */
  #fault: FaultEvent | undefined;
  /** The message that is under way, and its opcode. */
  #message: MessageBuffer | undefined;
  #messageOpcode = 0;
  /** The frame that is under way, if it is taken out of the buffer in parts. */
  #frameLeftBytes = 0;
  #frameKey = 0;
  #frameIsLast = true;
  #discards = false;

  /** @param limits Looked at for every frame. A buffer is needed, too: {@linkcode useBuffer}. */
  constructor(limits: Pick<SocketLimits, "messageBytes">) {
    this.#limits = limits;
  }

  /** How much of the buffer is filled and not yet read, in bytes. */
  get unreadBytes(): number {
    return this.#end - this.#start;
  }

  /**
   * Where the next bytes go; tell their number with {@linkcode filled}. Never
   * empty once {@linkcode next} has nothing more.
   */
  get space(): Uint8Array<ArrayBuffer> {
    this.#moveTo(this.#block);
    const { bytes } = this.#block;
    return this.#end === 0 ? bytes : bytes.subarray(this.#end);
  }

  /** Says that `bytes` are in {@linkcode space}. */
  filled(bytes: number): void {
    this.#end += bytes;
  }

  /** Uses another buffer from now on; it must have room for {@linkcode unreadBytes}. */
  useBuffer(buffer: Block): void {
    this.#moveTo(buffer);
    this.#block = buffer;
  }

  /** Skips all messages from now on, and forgets those that came. Frames are still looked at. */
  discardMessages(): void {
    this.#discards = true;
    this.#message?.discard();
    this.#message = undefined;
    this.#ready = nothing;
    this.#readyAt = 0;
  }

  /** Forgets all that came. What comes is to be dropped: it can't be read any more. */
  discardAll(): void {
    this.discardMessages();
    this.#start = 0;
    this.#end = 0;
  }

  /** Gets what comes next, or `undefined` if that isn't there yet. */
  next(): FrameEvent | undefined {
    while (true) {
      if (this.#readyAt < this.#ready.length) return this.#takeReady();
      if (this.#fault !== undefined) return this.#fault;
      if (this.#frameLeftBytes > 0) {
        if (this.#start === this.#end) return undefined;
        this.#takePart();
        if (this.#frameLeftBytes > 0) return undefined;
      } else {
        if (this.#start === this.#end) return undefined;
        if (this.#unmaskWholeOnes()) continue;
        const held = this.#message?.payloadBytes ?? 0;
        const { messageBytes } = this.#limits;
        const head = readHead(this.#block.bytes, this.#start, this.#end, {
          hasMessage: this.#message !== undefined,
          leftBytes: messageBytes - held,
          messageBytes,
          discards: this.#discards,
        });
        if (head === undefined) return undefined;
        if (head.kind === "fault") {
          this.#fault = head;
          continue;
        }
        const missingBytes = head.bytes + head.payloadBytes - this.unreadBytes;
        if (head.opcode >= opcodes.close) {
          return missingBytes > 0 ? undefined : this.#takeControl(head);
        }
        // Not worth a buffer of its own; it is unmasked with those behind it.
        if (
          missingBytes > 0 && missingBytes + this.unreadBytes <= minBufferBytes
        ) return undefined;
        this.#beginFrame(head);
        if (this.#frameLeftBytes > 0) continue;
      }
      if (!this.#frameIsLast || this.#discards) continue;
      const message = this.#endMessage();
      if (message !== undefined) return message;
    }
  }

  /** Puts what isn't read to the start of `target`, which may be the buffer itself. */
  #moveTo(target: Block): void {
    if (this.#start === 0 && target === this.#block) return;
    if (this.#start < this.#end) {
      target.bytes.set(this.#block.bytes.subarray(this.#start, this.#end));
    }
    this.#end -= this.#start;
    this.#start = 0;
  }

  #takeReady(): MessageEvent {
    const ready = this.#ready;
    const start = this.#readyAt;
    const end = start + frameBytes(ready, start);
    this.#readyAt = end;
    if (end < ready.length) return new MessageEvent(ready.subarray(start, end));
    this.#ready = nothing;
    this.#readyAt = 0;
    return new MessageEvent(start === 0 ? ready : ready.subarray(start));
  }

  /**
   * Unmasks all messages that come now, are whole and aren't in fragments, and
   * makes them ready. Stops at anything else, and says whether there were any.
   */
  #unmaskWholeOnes(): boolean {
    if (this.#message !== undefined || this.#discards) return false;
    const source = this.#block;
    const bytes = source.bytes;
    const begin = this.#start;
    let at = begin;
    // From the same place in a word, so that words fit (each frame loses the 4 bytes of its mask).
    const first = begin & 3;
    let to = first;
    while (this.#end - at >= 2 + maskBytes) {
      const head = bytes[at]!;
      if (head !== wholeText && head !== wholeBinary) break;
      let count = bytes[at + 1]! - maskBit;
      let keyAt = at + 2;
      if (count === 126) {
        count = bytes[at + 2]! << 8 | bytes[at + 3]!;
        keyAt += 2;
        if (count < 126) break;
      } else if (count === 127 || count < 0) {
        break;
      }
      const from = keyAt + maskBytes;
      if (from + count > this.#end || count > this.#limits.messageBytes) break;
      for (let i = at; i < keyAt; i++) workspace.bytes[to + i - at] = bytes[i]!;
      workspace.bytes[to + 1]! &= lengthBits;
      const payloadAt = to + keyAt - at;
      const key = readKey(bytes, keyAt);
      const isAscii = unmask(source, from, workspace, payloadAt, count, key);
      if (
        head === wholeText && !isAscii &&
        !isUtf8(workspace.bytes.subarray(payloadAt, payloadAt + count))
      ) {
        this.#fault = notUtf8;
        break;
      }
      to = payloadAt + count;
      at = from + count;
    }
    this.#start = at;
    if (to > first) this.#ready = workspace.bytes.slice(first, to);
    return to > first || this.#fault !== undefined;
  }

  #takeControl(head: Head): FrameEvent {
    if (head.opcode === opcodes.pong) {
      this.#start += head.bytes + head.payloadBytes;
      return pong;
    }
    const block = newBlock(head.payloadBytes);
    const payload = block.bytes.subarray(0, head.payloadBytes);
    const from = this.#start + head.bytes;
    payload.set(this.#block.bytes.subarray(from, from + head.payloadBytes));
    unmask(block, 0, block, 0, head.payloadBytes, head.key);
    this.#start = from + head.payloadBytes;
    if (head.opcode === opcodes.ping) return { kind: "ping", payload };
    const close = readClosePayload(payload);
    if (!("fault" in close)) return { kind: "close", ...close };
    return this.#fault = fault(close.fault, close.text);
  }

  #beginFrame(head: Head): void {
    this.#start += head.bytes;
    this.#frameLeftBytes = head.payloadBytes;
    this.#frameKey = head.key;
    this.#frameIsLast = head.isLast;
    if (this.#discards) return;
    if (head.opcode !== opcodes.continuation) this.#messageOpcode = head.opcode;
    this.#message ??= new MessageBuffer();
  }

  /** Takes what there is of the frame that is under way out of the buffer. */
  #takePart(): void {
    const count = Math.min(this.unreadBytes, this.#frameLeftBytes);
    const message = this.#message;
    message?.append(this.#block.bytes, this.#start, count, {
      key: this.#frameKey,
      mostBytes: this.#frameIsLast
        ? message.payloadBytes + this.#frameLeftBytes
        : this.#limits.messageBytes,
    });
    this.#frameKey = turnKey(this.#frameKey, count);
    this.#frameLeftBytes -= count;
    this.#start += count;
  }

  /** Gets the message that is complete now, or sets the fault that it has. */
  #endMessage(): MessageEvent | undefined {
    const message = this.#message!;
    this.#message = undefined;
    const event = new MessageEvent(message.toFrame(this.#messageOpcode));
    if (!event.isText || message.isAscii || isUtf8(event.payload)) return event;
    this.#fault = notUtf8;
    return undefined;
  }
}

/** Gets the size of the frame without a mask that is at `at`, shorter than 64 KiB. */
function frameBytes(bytes: Uint8Array, at: number): number {
  const length = bytes[at + 1]!;
  return length < 126 ? 2 + length : 4 + (bytes[at + 2]! << 8 | bytes[at + 3]!);
}
