/** The 101 that opens a WebSocket (RFC 6455 section 4.2.2). */
import { Buffer } from "node:buffer";
import process from "node:process";
import type { hash } from "node:crypto";

/** RFC 6455 section 1.3. */
const keySuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Loaded when it is needed first, because that takes long; per handshake it takes a thirtieth of `crypto.subtle`. */
let digest: typeof hash | undefined;

/** The 101 to a handshake, and the `Response` that stands for it: none can have that status. */
export class HandshakeAnswer {
  /** For the handler to return. Its headers become those of the 101. */
  readonly response = new Response(null);
  readonly #key: string;

  constructor({ headers }: Request, protocol: string | undefined) {
    this.#key = headers.get("sec-websocket-key")!;
    if (protocol !== undefined) {
      this.response.headers.set("Sec-WebSocket-Protocol", protocol);
    }
  }

  /** Gets the 101 as it is sent. */
  bytes(): Uint8Array {
    digest ??= process.getBuiltinModule("node:crypto").hash;
    let head = "HTTP/1.1 101 Switching Protocols\r\n" +
      "Connection: Upgrade\r\nUpgrade: websocket\r\n" +
      `Sec-WebSocket-Accept: ${
        digest("sha1", this.#key + keySuffix, "base64")
      }\r\n`;
    for (const [name, value] of this.response.headers) {
      head += `${name}: ${value}\r\n`;
    }
    return Buffer.from(`${head}\r\n`, "latin1");
  }
}
