/**
 * Heads of requests to the own listener's parser and to the runtime's, which is
 * behind a real `Deno.serve`: both must accept or refuse, and read the same.
 */
import assert from "node:assert/strict";
import {
  type HeadRefusal,
  type RequestHead,
  RequestHeadParser,
} from "../../src/listener/request_head.ts";
import { within } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import { randomHead } from "./head_input.ts";
import { compareHeads, type Seen } from "./head_differences.ts";
import { type Session, shorterBytes, type Target } from "./target.ts";

/** A head, and after how many bytes the second piece begins. */
interface Input {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly cut: number;
}

/** How many heads are with the runtime at once. */
const lanes = 16;

/** What the own parser makes of a head. */
type OwnResult =
  | { readonly head: RequestHead; readonly restBytes: number }
  | HeadRefusal
  | undefined;

/** Gets what the own parser makes of `pieces`. */
function parse(pieces: readonly Uint8Array[]): OwnResult {
  const parser = new RequestHeadParser();
  for (const [i, piece] of pieces.entries()) {
    const result = parser.push(piece);
    if (result === undefined) continue;
    if ("status" in result) return result;
    const restBytes = pieces.slice(i + 1).reduce(
      (sum, { length }) => sum + length,
      result.rest.length,
    );
    return { head: result.head, restBytes };
  }
  return undefined;
}

/** Gets how to ask the runtime. */
function shapeOf(
  result: OwnResult,
  { length }: Uint8Array,
): { isPlain: boolean; headBytes: number } {
  if (result === undefined || "status" in result) {
    return { isPlain: false, headBytes: length };
  }
  const { head: { bodyLength, minorVersion }, restBytes } = result;
  // It would read what is behind as a body, perhaps a wrong one, or as the next request.
  return {
    isPlain: bodyLength === 0 && minorVersion === 1,
    headBytes: length - restBytes,
  };
}

function ownSeen(result: OwnResult): Seen {
  if (result === undefined) return "incomplete";
  if ("status" in result) return result;
  const { method, url, headers } = result.head;
  // As for the handler.
  const request = new Request(url, { method, headers });
  assert.equal(request.url, url);
  return {
    method: request.method,
    url,
    headers: [...request.headers].map(([name, value]) => `${name}: ${value}`),
  };
}

/** A connection to the runtime, used again while nothing went wrong on it. */
class Lane {
  readonly #server: RuntimeHeads;
  #connection: Deno.Conn | undefined;
  readonly #buffer = new Uint8Array(64 * 1024);

  constructor(server: RuntimeHeads) {
    this.#server = server;
  }

  /** Gets what the runtime makes of a head. `isPlain`: another one may follow it, as far as the own parser knows. */
  async ask(
    bytes: Uint8Array,
    { isPlain }: { isPlain: boolean },
  ): Promise<Seen> {
    const connection = this.#connection ??= await this.#server.connect();
    try {
      await writeAll(connection, bytes);
      // Whatever is missing then doesn't come.
      if (!isPlain) await connection.closeWrite().catch(() => {});
      const answer = await this.#read(connection, { toEnd: !isPlain });
      if (!isPlain || /^connection: close/im.test(answer)) this.close();
      return this.#server.seenBy(answer);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Reads one response, or all that comes. */
  async #read(
    connection: Deno.Conn,
    { toEnd }: { toEnd: boolean },
  ): Promise<string> {
    let text = "";
    while (toEnd || !text.includes("\r\n\r\n")) {
      const count = await connection.read(this.#buffer).catch(() => null);
      if (count === null) {
        this.close();
        break;
      }
      text += latin1.decode(this.#buffer.subarray(0, count));
    }
    return text;
  }
}

const latin1 = new TextDecoder("latin1");

async function writeAll(
  connection: Deno.Conn,
  bytes: Uint8Array,
): Promise<void> {
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += await connection.write(bytes.subarray(sent));
    } catch {
      // It was refused before it was whole: the answer is there.
      return;
    }
  }
}

/** The runtime's server, which answers with a number that stands for the request that it made. */
class RuntimeHeads implements AsyncDisposable {
  readonly #folder: TempFolder;
  readonly #server: Deno.HttpServer;
  readonly #requests = new Map<number, Seen>();
  #count = 0;

  constructor(folder: TempFolder) {
    this.#folder = folder;
    this.#server = Deno.serve(
      { path: this.#path, onListen: () => {} },
      (request) => {
        this.#requests.set(++this.#count, runtimeSeen(request));
        return new Response(null, { headers: { "X-Seen": `${this.#count}` } });
      },
    );
  }

  connect(): Promise<Deno.Conn> {
    return Deno.connect({ transport: "unix", path: this.#path });
  }

  /** Gets what stands behind an answer: the request, or the status of a refusal. */
  seenBy(answer: string): Seen {
    if (answer === "") return "incomplete";
    const number = Number(/^x-seen: (\d+)/im.exec(answer)?.[1]);
    const seen = this.#requests.get(number);
    if (seen !== undefined) return seen;
    const status = Number(/^HTTP\/1\.[01] (\d+)/.exec(answer)?.[1]);
    return { status, message: "" };
  }

  /** Forgets the requests so far. */
  forget(): void {
    this.#requests.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await this.#folder[Symbol.asyncDispose]();
  }

  get #path(): string {
    return `${this.#folder.path}/socket`;
  }
}

/** Gets what the handler sees; once it is answered, a request of the runtime is empty. */
function runtimeSeen({ method, url, headers }: Request): Seen {
  return {
    method,
    // Of whom the client names no host, it has the path of the socket there.
    url: url.replace(
      /^http\+unix:\/\/(%2F[^/?#]*)?/,
      (_, socket) => socket === undefined ? "http://" : "http://localhost",
    ),
    headers: [...headers].map(([name, value]) => `${name}: ${value}`),
  };
}

class HeadSession implements Session<Input> {
  readonly counts: Record<string, number> = {};
  readonly #server: RuntimeHeads;
  readonly #lanes: readonly Lane[];

  constructor(server: RuntimeHeads) {
    this.#server = server;
    this.#lanes = Array.from({ length: lanes }, () => new Lane(server));
  }

  async try(inputs: readonly Input[]): Promise<void> {
    let next = 0;
    await within(
      Promise.all(this.#lanes.map(async (lane) => {
        while (next < inputs.length) await this.#tryOne(lane, inputs[next++]!);
      })),
      "the runtime's answers",
    );
    this.#server.forget();
  }

  async #tryOne(lane: Lane, { bytes, cut }: Input): Promise<void> {
    const whole = parse([bytes]);
    assert.deepEqual(
      parse([bytes.subarray(0, cut), bytes.subarray(cut)]),
      whole,
      `cut at ${cut}`,
    );
    const { isPlain, headBytes } = shapeOf(whole, bytes);
    const own = ownSeen(whole);
    const runtimes = await lane.ask(bytes.subarray(0, headBytes), { isPlain });
    const outcome = compareHeads(bytes, { own, runtimes });
    if (outcome === undefined) {
      const told = JSON.stringify({ own, runtimes });
      throw new Error(`Read differently: ${told}`);
    }
    this.counts[outcome] = (this.counts[outcome] ?? 0) + 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.#lanes) lane.close();
    await this.#server[Symbol.asyncDispose]();
  }
}

/** Heads. */
export const heads: Target<Input> = {
  name: "heads",
  about:
    "heads of requests to the own parser and to the runtime's: accepted or refused, method, URL, headers",
  share: 2,
  batch: 800,
  quickCount: 8_000,
  make: (random) => {
    const bytes = randomHead(random);
    return { bytes, cut: random.integer(0, bytes.length) };
  },
  show: ({ bytes, cut }) =>
    JSON.stringify({ cut, text: latin1.decode(bytes), bytes: bytes.toHex() }),
  simpler: function* ({ bytes, cut }): Generator<Input> {
    for (const less of shorterBytes(bytes)) {
      yield { bytes: less, cut: Math.min(cut, less.length) };
    }
  },
  open: async () => new HeadSession(new RuntimeHeads(await TempFolder.make())),
};
