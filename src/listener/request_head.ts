/**
 * The head of an HTTP request (RFC 9112), read strictly and within limits;
 * without I/O.
 *
 * Stricter than the RFC asks for, because whatever two parsers read differently
 * is a way past the first one: no line folding, no bare line feed, no repeated
 * Content-Length, not even an equal one.
 */
import { Buffer } from "node:buffer";

/** How long a body is: its bytes, or up to its last chunk. 0 if there is none. */
export type BodyLength = number | "chunked";

/** The head of a request. */
export interface RequestHead {
  /** A token, as it came: `GET`. */
  readonly method: string;
  /** What follows the method, as it came. May be a secret. */
  readonly target: string;
  /** The absolute URL that is asked for, with the host `localhost` if the client names none. May be a secret. */
  readonly url: string;
  /** The 0 of HTTP/1.0, or the 1 of HTTP/1.1. */
  readonly minorVersion: 0 | 1;
  /** Names in lower case and values, in the order in which they came. Each byte of a value is one character. */
  readonly headers: [name: string, value: string][];
  readonly bodyLength: BodyLength;
  /** Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1). */
  readonly expectsContinue: boolean;
}

/** Why a request isn't taken, as a response. */
export interface HeadRefusal {
  readonly status: number;
  /** One line for whoever reads it by hand. Quotes nothing that came. */
  readonly message: string;
}

/** A head, and what came behind it. */
export interface WholeHead {
  readonly head: RequestHead;
  readonly rest: Uint8Array;
}

/**
 * The longest head in bytes, with all its line ends. Frontends pass on more:
 * nginx 32 KiB in lines of 8 KiB, Caddy 1 MiB. Beyond this, 431.
 */
export const maxHeadBytes = 16 * 1024;
/** The longest target in bytes. Beyond this, 414. */
export const maxTargetBytes = 8 * 1024;
/** The most headers. Beyond this, 431. */
export const maxHeaders = 100;
/** Room for the method, two spaces and the version beside the longest target. */
const maxRequestLineBytes = maxTargetBytes + 64;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** A token of RFC 9110 section 5.6.2. */
const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 section 5.5; bytes from 0x80 on are allowed there. */
// deno-lint-ignore no-control-regex
const controlPattern = /[\0-\x08\x0a-\x1f\x7f]/;
/** Visible ASCII. Browsers send more of it than RFC 3986 allows, such as `|`. A fragment is never sent. */
const targetPattern = /^[!"$-~]+$/;
/** RFC 3986 section 3.2, without user: a host and perhaps a port. */
const hostPattern =
  /^(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(?::\d*)?$/;
const versionPattern = /^HTTP\/\d\.\d$/;
/** The URL parser finds a host in `http:///h`, too, and takes `\` for `/`. */
const absolutePattern = /^https?:\/\/([^/?]*)/i;
/** 15 digits are exact as a number. */
const lengthPattern = /^\d{1,15}$/;

/** Methods that no `Request` can have (https://fetch.spec.whatwg.org/#methods). */
const forbiddenMethods = new Set(["CONNECT", "TRACE", "TRACK"]);
/** Methods that a `Request` would write in capitals: `get` is another method than `GET`. */
const normalizedMethods = new Set([
  ...["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"],
]);

/** Reads one head, from bytes in whatever pieces they come. */
export class RequestHeadParser {
  /** The start of a line whose end hasn't come: the first `#heldBytes` of it. */
  #held = new Uint8Array(0);
  #heldBytes = 0;
  /** The bytes of the lines that are read. */
  #readBytes = 0;
  #skippedEmptyLine = false;
  #requestLine:
    | Pick<RequestHead, "method" | "target" | "minorVersion">
    | undefined;
  readonly #headers: [string, string][] = [];

  /**
   * Takes the next bytes. Gets the head once it is whole, or why it is refused;
   * `undefined` while more is to come. To be called no more after either.
   */
  push(bytes: Uint8Array): WholeHead | HeadRefusal | undefined {
    let start = 0;
    while (true) {
      const end = bytes.indexOf(lineFeed, start) + 1;
      const part = bytes.subarray(start, end === 0 ? bytes.length : end);
      const refusal = this.#tooLong(this.#heldBytes + part.length);
      if (refusal !== undefined) return refusal;
      if (end === 0) {
        this.#hold(part);
        return undefined;
      }
      const result = this.#takeLine(this.#withHeld(part));
      if (result === "end") return this.#finish(bytes.subarray(end));
      if (result !== undefined) return result;
      start = end;
    }
  }

  #tooLong(lineBytes: number): HeadRefusal | undefined {
    if (this.#requestLine === undefined && lineBytes > maxRequestLineBytes) {
      return targetTooLong;
    }
    if (this.#readBytes + lineBytes > maxHeadBytes) {
      return {
        status: 431,
        message: `The head of the request has more than ${maxHeadBytes} bytes`,
      };
    }
    return undefined;
  }

  /** Keeps the start of a line. Doubles the room for it, so that many small pieces cost no more than a large one. */
  #hold(part: Uint8Array): void {
    const needed = this.#heldBytes + part.length;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#held.length));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    this.#held.set(part, this.#heldBytes);
    this.#heldBytes = needed;
  }

  #withHeld(part: Uint8Array): Uint8Array {
    if (this.#heldBytes === 0) return part;
    this.#hold(part);
    const line = this.#held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    return line;
  }

  /** Takes a line with its end; "end" is the empty one behind the headers. */
  #takeLine(bytes: Uint8Array): HeadRefusal | "end" | undefined {
    this.#readBytes += bytes.length;
    if (bytes[bytes.length - 2] !== carriageReturn) {
      return bad("A line ends with a bare line feed, expected CR LF");
    }
    const line = latin1(bytes.subarray(0, -2));
    if (this.#requestLine !== undefined) {
      return line === "" ? "end" : this.#takeHeader(line);
    }
    // RFC 9112 section 2.2: some clients send one behind the body before.
    if (line === "" && !this.#skippedEmptyLine) {
      this.#skippedEmptyLine = true;
      return undefined;
    }
    const parsed = parseRequestLine(line);
    if ("status" in parsed) return parsed;
    this.#requestLine = parsed;
    return undefined;
  }

  #takeHeader(line: string): HeadRefusal | undefined {
    if (this.#headers.length === maxHeaders) {
      return {
        status: 431,
        message: `The request has more than ${maxHeaders} headers`,
      };
    }
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    // This refuses folded lines, too, which begin with white space.
    if (!tokenPattern.test(name)) return bad("A header has no proper name");
    const value = trimmed(line, colon + 1);
    if (controlPattern.test(value)) {
      return bad("A header has control characters in its value");
    }
    this.#headers.push([name.toLowerCase(), value]);
    return undefined;
  }

  #finish(rest: Uint8Array): WholeHead | HeadRefusal {
    const { method, target, minorVersion } = this.#requestLine!;
    const headers = this.#headers;
    const host = hostOf(headers, minorVersion);
    if (typeof host !== "string") return host;
    const url = urlOf(target, host);
    if (typeof url !== "string") return url;
    const bodyLength = bodyLengthOf(headers, minorVersion);
    if (typeof bodyLength === "object") return bodyLength;

    const expectations = valuesOf(headers, "expect");
    const expectsContinue = expectations.length === 1 &&
      expectations[0]!.toLowerCase() === "100-continue";
    if (expectations.length > 0 && !expectsContinue) {
      return {
        status: 417,
        message: 'The only expectation that can be met is "100-continue"',
      };
    }
    const head = {
      ...{ method, target, url, minorVersion, headers, bodyLength },
      // RFC 9110 section 10.1.1: ignored in HTTP/1.0, and without a body.
      expectsContinue: expectsContinue && minorVersion === 1 &&
        bodyLength !== 0,
    };
    return { head, rest };
  }
}

const targetTooLong = {
  status: 414,
  message: `The request's target has more than ${maxTargetBytes} bytes`,
} as const;

function parseRequestLine(
  line: string,
): Pick<RequestHead, "method" | "target" | "minorVersion"> | HeadRefusal {
  const [method, target, version, ...more] = line.split(" ");
  if (
    version === undefined || more.length > 0 || !tokenPattern.test(method!) ||
    !versionPattern.test(version)
  ) return bad("The request line is malformed");
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    return { status: 505, message: "Expected HTTP/1.1 or HTTP/1.0" };
  }
  if (
    forbiddenMethods.has(method!.toUpperCase()) ||
    normalizedMethods.has(method!.toUpperCase()) &&
      !normalizedMethods.has(method!)
  ) return { status: 501, message: "The method isn't known here" };
  if (target!.length > maxTargetBytes) return targetTooLong;
  if (!targetPattern.test(target!)) return badTarget;
  const minorVersion = version === "HTTP/1.1" ? 1 : 0;
  return { method: method!, target: target!, minorVersion };
}

const badTarget = bad("The request's target is malformed");

/** Gets what stands in the header Host, or `localhost` if that is empty or, in HTTP/1.0, missing. */
function hostOf(
  headers: [string, string][],
  minorVersion: 0 | 1,
): string | HeadRefusal {
  const hosts = valuesOf(headers, "host");
  if (hosts.length > 1 || hosts.length === 0 && minorVersion === 1) {
    return bad('The header "Host" must occur once');
  }
  const host = hosts[0] || "localhost";
  return hostPattern.test(host) ? host : bad('The header "Host" is malformed');
}

/** Gets the URL of a target in origin-form or absolute-form (RFC 9112 section 3.2), if the URL parser takes it. */
function urlOf(target: string, host: string): string | HeadRefusal {
  const authority = absolutePattern.exec(target)?.[1];
  const isAbsolute = authority !== undefined;
  // RFC 9110 section 4.2: no user, and no empty host.
  const isProper = isAbsolute
    ? hostPattern.test(authority)
    : target.startsWith("/");
  if (!isProper) return badTarget;
  const url = URL.parse(isAbsolute ? target : `http://${host}${target}`);
  return url === null ? badTarget : url.href;
}

/** RFC 9112 section 6. */
function bodyLengthOf(
  headers: [string, string][],
  minorVersion: 0 | 1,
): BodyLength | HeadRefusal {
  const codings = valuesOf(headers, "transfer-encoding");
  const lengths = valuesOf(headers, "content-length");
  if (codings.length > 0) {
    if (lengths.length > 0) {
      return bad("The body has both a length and a transfer coding");
    }
    if (minorVersion === 0) {
      return bad("HTTP/1.0 knows no transfer codings");
    }
    if (codings.length > 1 || codings[0]!.toLowerCase() !== "chunked") {
      return {
        status: 501,
        message: 'The only transfer coding known is "chunked"',
      };
    }
    return "chunked";
  }
  if (lengths.length === 0) return 0;
  return lengths.length === 1 && lengthPattern.test(lengths[0]!)
    ? Number(lengths[0])
    : bad('The header "Content-Length" must occur once, and be a number');
}

function valuesOf(headers: [string, string][], name: string): string[] {
  return headers.filter(([each]) => each === name).map(([, value]) => value);
}

/** Gets `text` from `start` on, without the spaces and tabs around it. A regular expression would take quadratic time. */
function trimmed(text: string, start: number): string {
  const isBlank = (i: number): boolean => text[i] === " " || text[i] === "\t";
  let end = text.length;
  while (start < end && isBlank(start)) start++;
  while (start < end && isBlank(end - 1)) end--;
  return text.slice(start, end);
}

/** `TextDecoder` has another table by this name (https://encoding.spec.whatwg.org/#names-and-labels). */
function latin1({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString("latin1");
}

function bad(message: string): HeadRefusal {
  return { status: 400, message };
}
