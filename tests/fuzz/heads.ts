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
import { within } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { RawClient } from "../../tools/raw_client.ts";
import { compareHeads, type Seen } from "./head_differences.ts";
import { randomHead } from "./request_input.ts";
import { count, inLanes, lanes, type Session, type Target } from "./target.ts";

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

/** Gets what the runtime's handler sees; once it is answered, a request is empty. */
function runtimeSeen(request: Request): Seen {
  return seen(
    request,
    // Of whom the client names no host, it has the path of the socket there.
    request.url.replace(
      /^http\+unix:\/\/(%2F[^/?#]*)?/,
      (_, socket) => socket === undefined ? "http://" : "http://localhost",
    ),
  );
}

function seen(request: Request, url: string): Seen {
  return {
    method: request.method,
    url,
    channel: channelPath(request.url),
    headers: [...request.headers].map(([name, value]) => `${name}: ${value}`),
  };
}

/** The runtime's server, which answers with a number that stands for the request that it made. */
class RuntimeHeads implements AsyncDisposable {
  readonly #folder: TempFolder;
  readonly #server: Deno.HttpServer;
  readonly #socket: string;
  readonly #requests = new Map<number, Seen>();
  readonly #clients: (RawClient | undefined)[] = [];
  #count = 0;

  constructor(folder: TempFolder) {
    this.#folder = folder;
    this.#socket = `${folder.path}/socket`;
    this.#server = Deno.serve(
      { path: this.#socket, onListen: () => {} },
      (request) => {
        this.#requests.set(++this.#count, runtimeSeen(request));
        return new Response(null, { headers: { "X-Seen": `${this.#count}` } });
      },
    );
  }

  /**
   * Gets what the runtime makes of a head.
   *
   * @param lane One connection for each, used again while nothing went wrong on it.
   * @param isPlain Another one may follow it, as far as the own parser knows.
   */
  async ask(
    bytes: Uint8Array,
    { lane, isPlain }: { lane: number; isPlain: boolean },
  ): Promise<Seen> {
    const client = this.#clients[lane] ??
      await RawClient.connect({ socket: this.#socket });
    this.#clients[lane] = undefined;
    // It may be refused before it is whole: the answer is there.
    await client.write(bytes).catch(() => {});
    // Whatever is missing then doesn't come.
    if (!isPlain) await client.closeWrite().catch(() => {});
    try {
      let response = await client.readResponse({ toHead: true });
      // It says only that the body may come.
      while (response.status === 100) {
        response = await client.readResponse({ toHead: true });
      }
      const { status, headers } = response;
      if (isPlain && headers.get("connection") !== "close") {
        this.#clients[lane] = client;
      }
      const number = Number(headers.get("x-seen"));
      return this.#requests.get(number) ?? { status, message: "" };
    } catch (error) {
      if (!/got the end after/.test(`${error}`)) throw error;
      return "incomplete";
    } finally {
      if (this.#clients[lane] === undefined) client.close();
    }
  }

  /** Forgets the requests so far. */
  forget(): void {
    this.#requests.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client?.close();
    await this.#server.shutdown();
    await this.#folder[Symbol.asyncDispose]();
  }
}

class HeadSession implements Session<Input> {
  readonly counts = {};
  readonly #server: RuntimeHeads;

  constructor(server: RuntimeHeads) {
    this.#server = server;
  }

  async try(inputs: readonly Input[]): Promise<void> {
    const all = inLanes(inputs, (input, lane) => this.#tryOne(input, lane));
    await within(all, "the runtime's answers");
    this.#server.forget();
  }

  async #tryOne({ bytes, cut }: Input, lane: number): Promise<void> {
    const whole = parse(bytes, bytes.length);
    assert.deepEqual(parse(bytes, cut), whole, `cut at ${cut}`);
    const isHead = whole !== undefined && "head" in whole;
    const rest = isHead ? whole.rest.length : 0;
    const runtimes = await this.#server.ask(
      bytes.subarray(0, bytes.length - rest),
      {
        lane,
        // It would read what is behind as a body, perhaps a wrong one, or as the next request.
        isPlain: isHead && whole.head.bodyLength === 0 &&
          whole.head.minorVersion === 1,
      },
    );
    const own = ownSeen(whole);
    const outcome = compareHeads(bytes, { own, runtimes });
    if (outcome === undefined) {
      const told = JSON.stringify({ own, runtimes });
      throw new Error(`Read differently: ${told}`);
    }
    count(this.counts, outcome);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

/** Heads. */
export const heads: Target<Input> = {
  name: "heads",
  about:
    "heads of requests to the own parser and to the runtime's: accepted or refused, method, URL, headers",
  share: 2,
  batch: 50 * lanes,
  quickCount: 8_000,
  make: (random) => {
    const handshakeChance = 0.05;
    const bytes = randomHead(random, { handshakeChance });
    return { bytes, cut: random.integer(0, bytes.length) };
  },
  open: async () => new HeadSession(new RuntimeHeads(await TempFolder.make())),
};
