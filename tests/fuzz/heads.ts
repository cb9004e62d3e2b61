/**
 * Heads of requests to the own listener's parser and to the runtime's, which is
 * behind a real `Deno.serve`: both must accept or refuse, and read the same.
 */
import assert from "node:assert/strict";
import {
  type HeadRefusal,
  RequestHeadParser,
  type WholeHead,
} from "../../src/listener/request_head.ts";
import { channelPath } from "../../src/relay/handshake.ts";
import { TempFolder } from "../../tools/folder.ts";
import { RawClient } from "../../tools/raw_client.ts";
import { type Accepted, compareHeads, type Seen } from "./head_differences.ts";
import { randomHead } from "./request_input.ts";
import { lanes, type Target } from "./target.ts";

/** A head, and after how many bytes the second piece begins. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly cut: number;
}

/** What the own parser makes of a head. */
type OwnResult = WholeHead | HeadRefusal | undefined;

/** Gets what the own parser makes of `bytes`, in two pieces. */
function parse(bytes: Uint8Array, cut: number): OwnResult {
  const parser = new RequestHeadParser();
  const result = parser.push(bytes.subarray(0, cut));
  if (result === undefined) return parser.push(bytes.subarray(cut));
  if ("status" in result) return result;
  return { ...result, rest: bytes.subarray(cut - result.rest.length) };
}

function ownSeen(result: OwnResult): Seen {
  if (result === undefined) return "incomplete";
  if ("status" in result) return result;
  const { method, url, headers } = result.head;
  // As for the handler.
  const request = new Request(url, { method, headers });
  assert.equal(request.url, url);
  return seen(request, url);
}

function seen(request: Request, url: string): Accepted {
  return {
    method: request.method,
    url,
    channel: channelPath(request.url),
    headers: [...request.headers].map(([name, value]) => `${name}: ${value}`),
  };
}

/** The runtime's server, which answers with what it sees, in a header: HEAD has no body. */
function startRuntimes(socket: string): Deno.HttpServer {
  return Deno.serve({ path: socket, onListen: () => {} }, (request) => {
    // Of whom the client names no host, it has the path of the socket there.
    const url = request.url.replace(
      /^http\+unix:\/\/(%2F[^/?#]*)?/,
      (_, path) => path === undefined ? "http://" : "http://localhost",
    );
    const seenText = encodeURIComponent(JSON.stringify(seen(request, url)));
    return new Response(null, { headers: { "X-Seen": seenText } });
  });
}

/** Gets what the runtime makes of a head, and whether the client can ask again. */
async function ask(
  client: RawClient,
  bytes: Uint8Array,
  { isPlain }: { isPlain: boolean },
): Promise<{ runtimes: Seen; goesOn: boolean }> {
  // It may be refused before it is whole: the answer is there.
  await client.write(bytes).catch(() => {});
  // Whatever is missing then doesn't come.
  if (!isPlain) await client.closeWrite().catch(() => {});
  try {
    let status, headers;
    do {
      // A 100 says only that the body may come.
      ({ status, headers } = await client.readResponse({ toHead: true }));
    } while (status === 100);
    const seenText = headers.get("x-seen");
    return {
      runtimes: seenText === null
        ? { status, message: "" }
        : JSON.parse(decodeURIComponent(seenText)),
      goesOn: isPlain && headers.get("connection") !== "close",
    };
  } catch (error) {
    if (!/got the end after/.test(`${error}`)) throw error;
    return { runtimes: "incomplete", goesOn: false };
  }
}

/** Heads. */
export const heads: Target<Input> = {
  name: "heads",
  about:
    "heads of requests to the own parser and to the runtime's: accepted or refused, method, URL, headers",
  batch: 50 * lanes,
  quickCount: 8_000,
  make: (random) => {
    const bytes = randomHead(random, { handshakeChance: 0.05 });
    return { bytes, cut: random.integer(0, bytes.length) };
  },
  open: async (stack) => {
    const { path } = stack.use(await TempFolder.make());
    const socket = `${path}/socket`;
    const server = startRuntimes(socket);
    stack.defer(() => server.shutdown());
    /** Of each lane one, used again while nothing went wrong on it. */
    const clients = new Map<number, RawClient>();
    stack.defer(() => clients.forEach((client) => client.close()));
    return {
      try: async ({ bytes, cut }, lane) => {
        const whole = parse(bytes, bytes.length);
        assert.deepEqual(parse(bytes, cut), whole, `cut at ${cut}`);
        const isHead = whole !== undefined && "head" in whole;
        const rest = isHead ? whole.rest.length : 0;
        const client = clients.get(lane) ?? await RawClient.connect({ socket });
        clients.set(lane, client);
        const { runtimes, goesOn } = await ask(
          client,
          bytes.subarray(0, bytes.length - rest),
          {
            // It would read what is behind as a body, perhaps a wrong one, or as the next request.
            isPlain: isHead && whole.head.bodyLength === 0 &&
              whole.head.minorVersion === 1,
          },
        );
        if (!goesOn) {
          client.close();
          clients.delete(lane);
        }
        const own = ownSeen(whole);
        const outcome = compareHeads(bytes, { own, runtimes });
        if (outcome !== undefined) return outcome;
        const told = JSON.stringify({ own, runtimes });
        throw new Error(`Read differently: ${told}`);
      },
    };
  },
};
