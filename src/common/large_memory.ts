/**
 * The memory of large messages, given back as soon as nobody needs it.
 *
 * Left to the runtime, it stays until 64 MiB of such memory have been asked for
 * since the last collection. So whoever keeps a message's frame beyond the call
 * that brought it counts itself in with {@linkcode retain}, and out with
 * {@linkcode release}; the last one gives the memory back. Who forgets to count
 * itself out only leaves it to the runtime.
 */

/** From this size on it is worth it, in bytes. */
export const largeBytes = 64 * 1024;

/** How many need each memory that belongs to one message alone. */
const users = new WeakMap<ArrayBuffer, number>();

/** Says that nothing else lies in the memory of `frame`, and that the caller needs it. */
export function own({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (buffer.byteLength >= largeBytes) users.set(buffer, 1);
}

/** Says that one more needs the memory of `frame`, or of a part of it. */
export function retain({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (buffer.byteLength < largeBytes) return;
  const count = users.get(buffer);
  if (count !== undefined) users.set(buffer, count + 1);
}

/** Says that the caller needs it no longer: it may be gone after this. */
export function release({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (buffer.byteLength < largeBytes) return;
  const count = users.get(buffer);
  if (count === undefined) return;
  if (count > 1) {
    users.set(buffer, count - 1);
    return;
  }
  users.delete(buffer);
  giveBack(buffer);
}

/** Gives memory back at once, if it is large. Nothing can be read from it after this. */
export function giveBack(buffer: ArrayBuffer): void {
  if (buffer.byteLength >= largeBytes) buffer.transfer(0);
}
