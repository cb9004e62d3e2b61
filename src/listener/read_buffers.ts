/**
 * Buffers to read into, for connections that bring much. A read under way has
 * its buffer for itself, so a client could keep one by saying nothing more:
 * there is a fixed number of them for all connections.
 */
import { maxBufferBytes } from "./frame_reader.ts";
import { type Block, newBlock } from "./unmask.ts";

/** How many there are: 2 MiB in all. */
const buffers = 32;

/** Those that nobody has, and how many were made. */
const free: Block[] = [];
let made = 0;

/** Gets a buffer of {@linkcode maxBufferBytes}, or `undefined` if all are in use. */
export function takeLargeBuffer(): Block | undefined {
  if (free.length > 0) return free.pop();
  if (made === buffers) return undefined;
  made++;
  return newBlock(maxBufferBytes);
}

/** Gives back what {@linkcode takeLargeBuffer} gave; no read into it may be under way. */
export function giveLargeBuffer(buffer: Block): void {
  free.push(buffer);
}
