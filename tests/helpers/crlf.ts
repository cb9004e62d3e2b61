/** Gets the bytes of `text`: each character is one. A line feed stands for a whole line end, `␊` for a bare one. */
export function crlf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    text.replaceAll("\n", "\r\n").replaceAll("␊", "\n"),
    (character) => character.charCodeAt(0),
  );
}
