/** What travels through a channel: text, or bytes. */
import { Buffer } from "node:buffer";

/**
 * One WebSocket message, whole: a `string` is a text message, bytes are a
 * binary one (RFC 6455 section 5.6). Both may be empty.
 *
 * Bytes may be either class, as they arrive from the runtime (`ArrayBuffer`)
 * or from the bridge (`Uint8Array`): sending either avoids a copy here.
 */
export type Message = string | ArrayBuffer | Uint8Array<ArrayBuffer>;

/** Gets the size of `message` in bytes as it is on the wire: UTF-8 for text. */
export function messageBytes(message: Message): number {
  // byteLength() takes bytes, too, and needs 75 ns more for them.
  return typeof message === "string"
    ? Buffer.byteLength(message)
    : message.byteLength;
}
