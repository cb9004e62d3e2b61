/** A `Response` as the bytes of an HTTP response (RFC 9112), the last one on its connection. */
import { Buffer } from "node:buffer";
import { within } from "../common/timing.ts";

/**
 * Sends bytes. Resolves when the kernel has taken them, and rejects if the peer
 * is gone.
 *
 * @param isStream Whether they are a part of a body that may last. Whoever makes
 * it judges how slowly they may be taken.
 */
export type Write = (bytes: Uint8Array, isStream?: boolean) => Promise<void>;

/** What the request says of its response. */
export interface ResponseContext {
  /** The request's method: a response to HEAD has no body. */
  readonly method: string;
  /** 0 if the client speaks HTTP/1.0, which knows no chunks. */
  readonly minorVersion: 0 | 1;
  /** Aborted when the peer is gone while the body's next part is waited for. */
  readonly signal: AbortSignal;
  /** Called when the body fails, also while a part of it is being sent. */
  readonly onFailed?: () => void;
}

/** Reason phrases of the statuses that occur here (RFC 9110 section 15). Clients ignore them. */
const reasons: Readonly<Record<number, string>> = {
  101: "Switching Protocols",
  200: "OK",
  202: "Accepted",
  204: "No Content",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  411: "Length Required",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/** Headers that say how the connection goes on, which isn't the handler's to say. */
const ownHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "transfer-encoding",
]);

/**
 * Writes `response`: its body as the peer takes it, with its length if that is
 * known at once, else in chunks, or up to the end of the connection in
 * HTTP/1.0. A body that can't be written to its end is cancelled.
 *
 * @throws {unknown} What `write` rejects with, or the body's stream fails with.
 * The response then is incomplete, and the connection must end.
 */
export async function writeResponse(
  response: Response,
  write: Write,
  { method, minorVersion, signal, onFailed }: ResponseContext,
): Promise<void> {
  const reader = response.body?.getReader();
  reader?.closed.catch(() => onFailed?.());
  const cancel = (): void => {
    reader?.cancel(signal.reason).catch(() => {});
  };
  signal.addEventListener("abort", cancel);
  try {
    signal.throwIfAborted();
    const { parts, rest } = await begin(reader);
    const framing = rest === undefined
      ? lengthHeader(response.status, parts)
      : minorVersion === 1
      ? "Transfer-Encoding: chunked\r\n"
      : "";
    const head = headOf(response, `${framing}Connection: close\r\n`);
    if (method === "HEAD") {
      await write(bytesOf(head));
    } else if (rest === undefined) {
      // In one piece: whoever reads sees the whole of a short response at once.
      await write(joined([bytesOf(head), ...parts]));
    } else {
      const frame = minorVersion === 1 ? chunk : joined;
      await write(joined([bytesOf(head), frame(parts)]), true);
      for (let next = await rest; !next.done; next = await reader!.read()) {
        if (next.value.length > 0) await write(frame([next.value]), true);
      }
      signal.throwIfAborted();
      if (minorVersion === 1) await write(bytesOf("0\r\n\r\n"));
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    // Without effect on a body that was read to its end.
    cancel();
  }
}

/** Gets the head of a response: status line, `extraHeaders` (with their line ends), and the headers that are the handler's. */
export function headOf(
  { status, statusText, headers }: Response,
  extraHeaders: string,
): string {
  let head = `HTTP/1.1 ${status} ${statusText || (reasons[status] ?? "")}\r\n`;
  for (const [name, value] of headers) {
    if (!ownHeaders.has(name)) head += `${name}: ${value}\r\n`;
  }
  // RFC 9110 section 6.6.1: whoever has a clock says the time.
  if (!headers.has("date")) head += `Date: ${new Date().toUTCString()}\r\n`;
  return `${head}${extraHeaders}\r\n`;
}

/** What is there of a body at once, and the reading of what follows unless that was all. */
interface Beginning {
  readonly parts: Uint8Array[];
  readonly rest: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
}

/**
 * Reads the first part of a body, to learn whether it is the only one: of a
 * text or of bytes it is, and then the length is known. A second part counts
 * only if it is there in the same turn of the event loop.
 */
async function begin(
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined,
): Promise<Beginning> {
  const first = await reader?.read();
  if (first === undefined || first.done) return { parts: [], rest: undefined };
  const parts = [first.value];
  const rest = reader!.read();
  // If it rejects before anybody waits for it, that is told by who does later.
  rest.catch(() => {});
  const second = await within(rest, 0);
  return second?.done === true ? { parts, rest: undefined } : { parts, rest };
}

function lengthHeader(status: number, parts: readonly Uint8Array[]): string {
  // RFC 9110 section 8.6: not with these.
  if (status === 204 || status === 304) return "";
  return `Content-Length: ${sum(parts)}\r\n`;
}

/** Gets `parts` as one chunk (RFC 9112 section 7.1), or nothing: an empty one would end the body. */
function chunk(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = sum(parts);
  return bytes === 0 ? new Uint8Array(0) : joined([
    bytesOf(`${bytes.toString(16)}\r\n`),
    ...parts,
    bytesOf("\r\n"),
  ]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(sum(parts));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

function sum(parts: readonly Uint8Array[]): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0);
}

/** Gets the bytes of what a head consists of: each character is one (https://fetch.spec.whatwg.org/#headers-class). */
function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}
