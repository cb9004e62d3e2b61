/** The same handshake to both listeners, with staps's own rules behind them: the status must be the same. */
import { RequestHeadParser } from "../../src/listener/request_head.ts";
import { handshakeBytes, sampleKey } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { ListenerPair, type RecordingServer } from "./listener_pair.ts";
import { type Session, type Target } from "./target.ts";

/** What makes a handshake that is another one than usual. */
interface Input {
  readonly method: string;
  readonly version: string;
  /** `undefined` leaves a header out, an array repeats it. */
  readonly headers: Readonly<
    Record<string, string | readonly string[] | undefined>
  >;
}

/** How many inputs are tried at once. */
const lanes = 16;

const values: Readonly<Record<string, Input["headers"][string][]>> = {
  "Host": [undefined, "", "a b", "a/b", "[::1]:80", ["a", "a"]],
  "Upgrade": [
    ...[undefined, "", "WebSocket", "h2c, websocket", "websocket, h2c", "h2c"],
    ["h2c", "websocket"],
  ],
  "Connection": [
    ...[undefined, "", "keep-alive, Upgrade", "close", "upgrade,close", "up"],
    ["keep-alive", "Upgrade"],
  ],
  "Sec-WebSocket-Version": [undefined, "", "8", "13, 8", "013", ["13", "13"]],
  "Sec-WebSocket-Key": [
    ...[undefined, "", "AAAA", ` ${sampleKey} `, sampleKey.slice(1)],
    [sampleKey, sampleKey],
  ],
  "Sec-WebSocket-Protocol": [
    ...["a", "a, b", "", ",", "a b", "\x80", "a\tb", "a".repeat(5000)],
    ["a", "b"],
  ],
  "Sec-WebSocket-Extensions": ["permessage-deflate", ";;;"],
  "Content-Length": ["0", "1", "-1", ["0", "0"]],
  "Transfer-Encoding": ["chunked", "gzip, chunked", "identity"],
  "Expect": ["100-continue", "x"],
};

function make(random: Random): Input {
  const headers: Record<string, Input["headers"][string]> = {};
  const names = Object.keys(values);
  while (random.chance(0.6)) {
    const name = random.pick(names);
    headers[name] = random.pick(values[name]!);
  }
  return {
    method: random.chance(0.9) ? "GET" : random.pick(["POST", "HEAD", "PUT"]),
    version: random.chance(0.9) ? "HTTP/1.1" : "HTTP/1.0",
    headers,
  };
}

/** Gets what came of a handshake, in words. @throws {Error} For a difference that nothing excuses. */
async function compare(
  { own, runtimes }: ListenerPair,
  input: Input,
): Promise<string> {
  const [ours, theirs] = await Promise.all(
    [own, runtimes].map((server) => status(server, input)),
  );
  const head = new RequestHeadParser().push(bytesOf(input, "/"));
  if (head === undefined) throw new Error("The head isn't whole");
  if ("status" in head) {
    if (ours === head.status) return "a head that the own parser refuses";
  } else if (ours === theirs) {
    return ours === 101 ? "opened by both" : "refused alike by both";
  } else if (head.head.minorVersion === 0 && ours === 426) {
    return "HTTP/1.0: has no Upgrade at the own listener";
  } else if (hasFraming(input) && theirs === 400) {
    return ours === 101
      ? "Content-Length: 0: only the own listener takes it"
      : "a body's header: refused with another status";
  }
  throw new Error(`Status ${ours}, ${theirs} from the runtime's`);
}

/** The runtime takes neither beside an Upgrade, not even a length of 0. */
function hasFraming({ headers }: Input): boolean {
  return headers["Content-Length"] !== undefined ||
    headers["Transfer-Encoding"] !== undefined;
}

async function status(server: RecordingServer, input: Input): Promise<number> {
  const joined = await server.join((path) => bytesOf(input, path));
  if (typeof joined === "number") return joined;
  joined.close();
  return 101;
}

function bytesOf(
  { method, version, headers }: Input,
  path: string,
): Uint8Array<ArrayBuffer> {
  return handshakeBytes({ method, version, headers, path });
}

class HandshakeSession implements Session<Input> {
  readonly counts: Record<string, number> = {};
  readonly #pair: ListenerPair;

  constructor(pair: ListenerPair) {
    this.#pair = pair;
  }

  async try(inputs: readonly Input[]): Promise<void> {
    let next = 0;
    await Promise.all(Array.from({ length: lanes }, async () => {
      while (next < inputs.length) {
        const name = await compare(this.#pair, inputs[next++]!);
        this.counts[name] = (this.counts[name] ?? 0) + 1;
      }
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pair[Symbol.asyncDispose]();
  }
}

/** Handshakes to both listeners. */
export const handshakes: Target<Input> = {
  name: "handshakes",
  about: "handshakes to the own listener and to the runtime's: the status",
  share: 1,
  batch: 200,
  quickCount: 800,
  make,
  show: (input) => JSON.stringify(input),
  simpler: function* (input): Generator<Input> {
    for (const name of Object.keys(input.headers)) {
      const { [name]: _, ...headers } = input.headers;
      yield { ...input, headers };
    }
  },
  open: async () => new HandshakeSession(await ListenerPair.start()),
};
