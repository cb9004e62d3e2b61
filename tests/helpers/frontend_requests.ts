/** Requests whose answers the tables in docs/frontends.md tell, for staps alone and for each frontend. */
import {
  handshakeBytes,
  type HandshakeOptions,
} from "../../tools/handshake.ts";
import { RawClient, type Target } from "../../tools/raw_client.ts";

/** Makes the bytes of a request from a UUID of version 4 in lower case. */
export type MakeRequest = (uuid: string) => Uint8Array<ArrayBuffer>;

/** Ways to write what may be the channel `/U`: the path itself, or what it is called and how it is made. */
const paths: readonly (string | [string, (uuid: string) => string])[] = [
  "/U",
  ["`/U` in upper case", (uuid) => `/${uuid.toUpperCase()}`],
  ...["/U?", "/U?a=b", "http://localhost/U"],
  [
    "`/%UU`, a digit with a percent sign",
    (uuid) => `/%${uuid.charCodeAt(0).toString(16)}${uuid.slice(1)}`,
  ],
  ...["//U", "/./U", "/x/../U", "/x/%2e%2e/U", "/x%2f..%2fU", "/%2fU"],
  ...["/x\\..\\U", "/U/", "/U/.", "/U/x/..", "/U/../..", "/x/U", "/Ux"],
  ...["/U;a", "/U#a", "/U%3fa", "/U%20", "/U%0a", "/U%00", "/U%zz"],
  "/U%c3%a9",
  ["`/Ué`, in UTF-8", (uuid) => `/${uuid}é`],
  ["a UUID of version 1", (uuid) => `/${uuid.replace(/^(.{14})4/, "$11")}`],
  [
    "a UUID of another variant",
    (uuid) => `/${uuid.replace(/^(.{19})./, "$1c")}`,
  ],
  ["a UUID without its last digit", (uuid) => `/${uuid.slice(0, -1)}`],
  "/test",
];

/** Handshakes for {@linkcode paths}, by how those are written in the table. */
export const writings: Readonly<Record<string, MakeRequest>> = Object
  .fromEntries(paths.map((entry) => {
    const [name, make] = typeof entry === "string"
      ? [`\`${entry}\``, (uuid: string) => entry.replace("U", uuid)] as const
      : entry;
    return [name, (uuid: string) => handshakeBytes({ path: make(uuid) })];
  }));

/** How a request differs from a handshake for `/U`. */
type Difference = HandshakeOptions & {
  readonly body?: string;
  /** Changes the text of the whole head. */
  readonly change?: (head: string) => string;
};

function request({ body = "", change, ...options }: Difference): MakeRequest {
  return (uuid) => {
    const bytes = handshakeBytes({ path: `/${uuid}`, ...options });
    const head = new TextDecoder().decode(bytes);
    return new TextEncoder().encode((change?.(head) ?? head) + body);
  };
}

function handshake(headers: Difference["headers"] & object): MakeRequest {
  return request({ headers });
}

/** Another request than a handshake. */
function plain(
  method: string,
  { headers = {}, ...more }: Difference = {},
): MakeRequest {
  const none = { Upgrade: undefined, Connection: "close" };
  return request({ method, headers: { ...none, ...headers }, ...more });
}

function post(body: string, options: Difference = {}): MakeRequest {
  const headers = { "Content-Length": String(body.length) };
  return plain("POST", { body, headers, ...options });
}

/** Requests that may be refused, by what they are called in the table. */
export const requests: Readonly<Record<string, MakeRequest>> = {
  "a GET without `Upgrade`": plain("GET"),
  "WebSocket version 12": handshake({ "Sec-WebSocket-Version": "12" }),
  "a malformed `Sec-WebSocket-Key`": handshake({ "Sec-WebSocket-Key": "x" }),
  "a handshake with a body": request({
    headers: { "Content-Length": "1" },
    body: "x",
  }),
  "a handshake by HTTP/1.0": request({ version: "HTTP/1.0" }),
  "`Origin` of another site": handshake({ Origin: "https://evil.example" }),
  "`Origin` of the same site": handshake({
    Host: "a.example:8080",
    Origin: "http://a.example:8080",
  }),
  "`Origin` of another port": handshake({
    Host: "a.example:8080",
    Origin: "http://a.example",
  }),
  "PUT": plain("PUT"),
  "OPTIONS": plain("OPTIONS"),
  "TRACE": plain("TRACE"),
  "CONNECT": plain("CONNECT"),
  "a method that isn't one, BREW": plain("BREW"),
  "a POST, and nobody is there": post("x"),
  "a POST without a length": plain("POST"),
  "a POST over `message_bytes`": post("x".repeat((1 << 20) + 1)),
  "`Transfer-Encoding: x`": plain("POST", {
    headers: { "Transfer-Encoding": "x" },
  }),
  "`Expect: x`": handshake({ Expect: "x" }),
  "no `Host`": handshake({ Host: undefined }),
  "two `Host`": handshake({ Host: ["localhost", "localhost"] }),
  "`Host: a/b`": handshake({ Host: "a/b" }),
  "HTTP/2.0 in the request line": request({ version: "HTTP/2.0" }),
  "a request line of two words": request({
    change: (head) => head.replace(" HTTP/1.1", ""),
  }),
  "a header without a colon": request({
    change: (head) => head.replace("\r\n", "\r\nx\r\n"),
  }),
  "lines that end without a carriage return": request({
    change: (head) => head.replaceAll("\r\n", "\n"),
  }),
  "9 KiB of query": request({
    change: (head) => head.replace(" HTTP", `?${"x".repeat(9 << 10)} HTTP`),
  }),
  "a header of 9 KiB": handshake({ X: "x".repeat(9 << 10) }),
  "headers of 17 KiB": handshake({ X: Array(4).fill("x".repeat(17 << 8)) }),
  "110 headers": handshake({ X: Array(105).fill("x") }),
  "GET of `/`": plain("GET", { path: "/" }),
  "HEAD of `/`": plain("HEAD", { path: "/" }),
  "POST of `/`": post("", { path: "/" }),
  "a handshake for `/`": request({ path: "/" }),
  "a handshake for `/?a=b`": request({ path: "/?a=b" }),
};

/** Sends a request, and gets the status of the answer; 0 if it has none. */
export async function statusOf(
  target: Target,
  bytes: Uint8Array,
): Promise<number> {
  using client = await RawClient.connect(target);
  try {
    await client.write(bytes);
  } catch (error) {
    if (
      !(error instanceof Deno.errors.BrokenPipe ||
        error instanceof Deno.errors.ConnectionReset)
    ) throw error;
  }
  const line = await client.readText("HTTP/1.1 200".length);
  return Number(/^HTTP\/1\.[01] (\d{3})$/.exec(line)?.[1] ?? 0);
}
