/** Requests whose answers the tables in docs/frontends.md tell, for staps alone and for each frontend. */
import {
  handshakeBytes,
  RawClient,
  type Target,
} from "../../tools/raw_client.ts";

/** Makes the bytes of a request from a UUID of version 4 in lower case. */
export type MakeRequest = (uuid: string) => Uint8Array<ArrayBuffer>;

/** Handshakes for what may be the channel `/U`, by how that is written in the table. */
export const writings: Readonly<Record<string, MakeRequest>> = Object
  .fromEntries(
    Object.entries<(uuid: string) => string>({
      "`/U`": (uuid) => `/${uuid}`,
      "`/U` in upper case": (uuid) => `/${uuid.toUpperCase()}`,
      "`/U?`": (uuid) => `/${uuid}?`,
      "`/U?a=b`": (uuid) => `/${uuid}?a=b`,
      "`http://localhost/U`": (uuid) => `http://localhost/${uuid}`,
      "`/%UU`, a digit with a percent sign": (uuid) =>
        `/%${uuid.charCodeAt(0).toString(16)}${uuid.slice(1)}`,
      "`//U`": (uuid) => `//${uuid}`,
      "`/./U`": (uuid) => `/./${uuid}`,
      "`/x/../U`": (uuid) => `/x/../${uuid}`,
      "`/x/%2e%2e/U`": (uuid) => `/x/%2e%2e/${uuid}`,
      "`/x%2f..%2fU`": (uuid) => `/x%2f..%2f${uuid}`,
      "`/%2fU`": (uuid) => `/%2f${uuid}`,
      "`/x\\..\\U`": (uuid) => `/x\\..\\${uuid}`,
      "`/U/`": (uuid) => `/${uuid}/`,
      "`/U/.`": (uuid) => `/${uuid}/.`,
      "`/U/x/..`": (uuid) => `/${uuid}/x/..`,
      "`/U/../..`": (uuid) => `/${uuid}/../..`,
      "`/x/U`": (uuid) => `/x/${uuid}`,
      "`/Ux`": (uuid) => `/${uuid}x`,
      "`/U;a`": (uuid) => `/${uuid};a`,
      "`/U#a`": (uuid) => `/${uuid}#a`,
      "`/U%3fa`": (uuid) => `/${uuid}%3fa`,
      "`/U%20`": (uuid) => `/${uuid}%20`,
      "`/U%0a`": (uuid) => `/${uuid}%0a`,
      "`/U%00`": (uuid) => `/${uuid}%00`,
      "`/U%zz`": (uuid) => `/${uuid}%zz`,
      "`/U%c3%a9`": (uuid) => `/${uuid}%c3%a9`,
      "`/Ué`, in UTF-8": (uuid) => `/${uuid}é`,
      "a UUID of version 1": (uuid) => `/${uuid.replace(/^(.{14})4/, "$11")}`,
      "a UUID of another variant": (uuid) =>
        `/${uuid.replace(/^(.{19})./, "$1c")}`,
      "a UUID without its last digit": (uuid) => `/${uuid.slice(0, -1)}`,
      "`/test`": () => "/test",
    }).map(([name, write]) => [
      name,
      (uuid: string) => handshakeBytes({ path: write(uuid) }),
    ]),
  );

const plain = { Upgrade: undefined, Connection: "close" };

/** How a request differs from a handshake for `/U`. */
type Difference = Parameters<typeof handshakeBytes>[0] & {
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

function post(headers: Record<string, string>, body = ""): MakeRequest {
  return request({ method: "POST", headers: { ...plain, ...headers }, body });
}

function method(name: string): MakeRequest {
  return request({ method: name, headers: plain });
}

function handshake(headers: Record<string, string | string[]>): MakeRequest {
  return request({ headers });
}

/** Requests that may be refused, by what they are called in the table. */
export const requests: Readonly<Record<string, MakeRequest>> = {
  "a GET without `Upgrade`": method("GET"),
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
  "PUT": method("PUT"),
  "OPTIONS": method("OPTIONS"),
  "TRACE": method("TRACE"),
  "CONNECT": method("CONNECT"),
  "a method that isn't one, BREW": method("BREW"),
  "a POST, and nobody is there": post({ "Content-Length": "1" }, "x"),
  "a POST without a length": post({}),
  "a POST over `message_bytes`": post(
    { "Content-Length": "1048577" },
    "x".repeat((1 << 20) + 1),
  ),
  "`Transfer-Encoding: x`": post({ "Transfer-Encoding": "x" }),
  "`Expect: x`": handshake({ Expect: "x" }),
  "no `Host`": request({ headers: { Host: undefined } }),
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
  "9 KiB of query": (uuid) =>
    handshakeBytes({ path: `/${uuid}?${"x".repeat(9 << 10)}` }),
  "a header of 9 KiB": handshake({ X: "x".repeat(9 << 10) }),
  "headers of 17 KiB": handshake({ X: Array(4).fill("x".repeat(17 << 8)) }),
  "110 headers": handshake({ X: Array(105).fill("x") }),
  "GET of `/`": () => handshakeBytes({ headers: plain }),
  "HEAD of `/`": () => handshakeBytes({ method: "HEAD", headers: plain }),
  "POST of `/`": () =>
    handshakeBytes({
      method: "POST",
      headers: { ...plain, "Content-Length": "0" },
    }),
  "a handshake for `/`": () => handshakeBytes(),
  "a handshake for `/?a=b`": () => handshakeBytes({ path: "/?a=b" }),
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
