/** The body of an HTTP request (RFC 9112 sections 6 and 7), read strictly and within limits; without I/O. */
import { Buffer } from "node:buffer";
import type { BodyLength } from "./request_head.ts";

/**
 * A body that can't be read: it is malformed, too large, too slow, or cut off. Reading
 * from the request's stream throws it; a handler that doesn't catch it answers
 * with its `status`.
 */
export class BodyError extends Error {
  /** What to answer with. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "BodyError";
    this.status = status;
  }
}

/** Gets what to throw for a body of more than `maxBytes`. */
export function bodyTooLarge(maxBytes: number): BodyError {
  return new BodyError(413, `The body has more than ${maxBytes} bytes`);
}

/** The longest line before a chunk, with its extensions, in bytes. */
const maxSizeLineBytes = 256;
/** The longest trailer section in bytes. */
const maxTrailerBytes = 4 * 1024;

const lineFeed = 0x0a;

/** A chunk's size, and perhaps extensions (RFC 9112 section 7.1), which are ignored. */
const sizeLinePattern = /^([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?\r\n$/;
/** A line of the trailer section. What it says is dropped. */
const trailerPattern =
  /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n$/;

/** Gets the data of a body out of the bytes of a connection, in whatever pieces they come. */
export class BodyDecoder {
  readonly #maxBytes: number;
  readonly #isChunked: boolean;
  /** What comes next; "data" also is what a body of a known length consists of. */
  #next: "size" | "data" | "data end" | "trailer" | "nothing";
  /** Of the data that comes next: how many bytes of it are missing. */
  #missingBytes = 0;
  #bodyBytes = 0;
  #trailerBytes = 0;
  /** The start of a line whose end hasn't come. */
  #line = "";

  /** @throws {BodyError} If the body is known to be larger than `maxBytes`. */
  constructor(length: BodyLength, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#isChunked = length === "chunked";
    if (length === "chunked") this.#next = "size";
    else {
      this.#announce(length);
      this.#next = length === 0 ? "nothing" : "data";
    }
  }

  /** Whether the body is whole. */
  get isDone(): boolean {
    return this.#next === "nothing";
  }

  /**
   * Takes the next bytes, and gets the data in them: parts of `bytes`, none of
   * them empty. What comes behind the body is ignored.
   *
   * @throws {BodyError} If it is malformed or too large.
   */
  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    const parts = [];
    while (bytes.length > 0 && this.#next !== "nothing") {
      if (this.#next === "data") {
        const part = bytes.subarray(0, this.#missingBytes);
        parts.push(part);
        bytes = bytes.subarray(part.length);
        this.#missingBytes -= part.length;
        if (this.#missingBytes === 0) {
          this.#next = this.#isChunked ? "data end" : "nothing";
        }
      } else {
        const end = bytes.indexOf(lineFeed) + 1 || bytes.length;
        this.#takeLinePart(bytes.subarray(0, end));
        bytes = bytes.subarray(end);
      }
    }
    return parts;
  }

  #takeLinePart({ buffer, byteOffset, length }: Uint8Array): void {
    this.#line += Buffer.from(buffer, byteOffset, length).toString("latin1");
    const line = this.#line;
    if (line.length > maxSizeLineBytes && this.#next === "size") {
      throw malformed("The size of a chunk is too long");
    }
    if (this.#trailerBytes + line.length > maxTrailerBytes) {
      throw malformed("The trailer section is too long");
    }
    if (!line.endsWith("\n")) return;
    this.#line = "";
    if (this.#next === "size") this.#takeSize(line);
    else if (this.#next === "data end") {
      if (line !== "\r\n") throw malformed("A chunk is longer than its size");
      this.#next = "size";
    } else if (line === "\r\n") this.#next = "nothing";
    else {
      if (!trailerPattern.test(line)) {
        throw malformed("The trailer section is malformed");
      }
      this.#trailerBytes += line.length;
    }
  }

  #takeSize(line: string): void {
    const digits = sizeLinePattern.exec(line)?.[1];
    if (digits === undefined) {
      throw malformed("The size of a chunk is malformed");
    }
    const bytes = parseInt(digits, 16);
    this.#announce(bytes);
    this.#next = bytes === 0 ? "trailer" : "data";
  }

  #announce(bytes: number): void {
    this.#missingBytes = bytes;
    this.#bodyBytes += bytes;
    if (this.#bodyBytes > this.#maxBytes) {
      throw bodyTooLarge(this.#maxBytes);
    }
  }
}

function malformed(message: string): BodyError {
  return new BodyError(400, message);
}
