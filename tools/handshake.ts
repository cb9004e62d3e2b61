/** The opening handshake of a WebSocket client, without a connection (RFC 6455 section 4.1). */

/** How to ask for an upgrade; the defaults make a correct request. */
export interface HandshakeOptions {
  readonly method?: string;
  readonly path?: string;
  readonly version?: string;
  /** Headers by name; `undefined` removes a default one, an array repeats it. */
  readonly headers?: Record<string, string | readonly string[] | undefined>;
}

/** The head of an HTTP response. */
export interface ResponseHead {
  /** 0 if the response doesn't begin with an HTTP/1 status line. */
  readonly status: number;
  readonly headers: Headers;
  /** Status line and headers as they came. */
  readonly head: string;
  /** Where the head ends, with its empty line. */
  readonly length: number;
}

/** The key of RFC 6455 section 1.3, and what it must be answered with. */
export const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==";
const sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** Gets the bytes of a request for an upgrade. */
export function handshakeBytes(
  options: HandshakeOptions = {},
): Uint8Array<ArrayBuffer> {
  const { method = "GET", path = "/", version = "HTTP/1.1" } = options;
  const headers: NonNullable<HandshakeOptions["headers"]> = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": sampleKey,
    ...options.headers,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}: ${one}`)
  );
  return new TextEncoder().encode(
    [`${method} ${path} ${version}`, ...lines, "", ""].join("\r\n"),
  );
}

/** Gets the head of the response at the start of `data`, or `undefined` if more is to come. */
export function readHead(data: Uint8Array): ResponseHead | undefined {
  const end = new TextDecoder("latin1").decode(data).indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = new TextDecoder().decode(data.subarray(0, end));
  const [statusLine, ...lines] = head.split("\r\n");
  const headers = new Headers(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  }));
  const match = /^HTTP\/1\.[01] (\d{3})( |$)/.exec(statusLine!);
  return { status: Number(match?.[1] ?? 0), headers, head, length: end + 4 };
}

/** Whether a response is a 101 that answers {@linkcode sampleKey}. */
export function isUpgrade({ status, headers }: ResponseHead): boolean {
  return status === 101 && headers.get("sec-websocket-accept") === sampleAccept;
}
