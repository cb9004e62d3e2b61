/** What travels through a channel: text, or bytes. */

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
  return typeof message === "string" ? utf8Bytes(message) : message.byteLength;
}

/** Gets the number of bytes that `text` takes in UTF-8, without encoding it. */
function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // Two bytes up to U+07FF, three above. A surrogate pair is two units and
    // four bytes; the runtime turns a lone one into U+FFFD, three bytes.
    bytes += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) i++;
    }
  }
  return bytes;
}
