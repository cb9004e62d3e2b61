/** The opening handshake of a client, RFC 6455 section 4.1. */

/** Gets the bytes of a request to join a channel. */
export function handshake(channel: string): Uint8Array<ArrayBuffer> {
  const lines = [
    `GET /${channel} HTTP/1.1`,
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "\r\n",
  ];
  return new TextEncoder().encode(lines.join("\r\n"));
}

/**
 * Gets the length of a whole handshake response at the start of `data`, or 0 if more is to come.
 *
 * @throws {Error} If the server refused.
 */
export function handshakeLength(data: Uint8Array): number {
  const text = new TextDecoder().decode(data);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  if (!/^HTTP\/1\.1 101 /.test(text)) {
    const [status] = text.split("\r\n");
    throw new Error(
      `The server refused a client: got "${status}", expected status 101`,
    );
  }
  if (
    !/\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i.test(text)
  ) {
    throw new Error(
      "The server's Sec-WebSocket-Accept is wrong: expected that of RFC 6455 section 1.3",
    );
  }
  return end + 4;
}
