/** The same handshake to both listeners, with staps's own rules behind them: the status must be the same. */
import { RequestHeadParser } from "../../src/listener/request_head.ts";
import { handshakeBytes } from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { type Join, startPair } from "./listener_pair.ts";
import { handshakeHeaders, otherHeaders } from "./request_input.ts";
import type { Target } from "./target.ts";

/** What makes a handshake that is another one than usual. */
interface Input {
  readonly method: string;
  readonly version: string;
  /** Instead of the usual values, in the order of the headers; none leaves the header out. */
  readonly headers: readonly {
    readonly name: string;
    readonly values: readonly string[];
  }[];
}

const headers: readonly [name: string, values: readonly string[]][] = Object
  .entries({ ...handshakeHeaders, ...otherHeaders });

function make(random: Random): Input {
  const changed = new Map<string, readonly string[]>();
  while (random.chance(0.6)) {
    const [name, values] = random.pick(headers);
    const times = random.pick([0, 1, 1, 1, 1, 2]);
    changed.set(
      name,
      Array.from({ length: times }, () => random.pick(values)),
    );
  }
  return {
    method: random.chance(0.9) ? "GET" : random.pick(["POST", "HEAD", "PUT"]),
    version: random.chance(0.9) ? "HTTP/1.1" : "HTTP/1.0",
    headers: Array.from(changed, ([name, values]) => ({ name, values })),
  };
}

/** Gets what came of a handshake, in words. @throws {Error} For a difference that nothing excuses. */
async function compare(
  pair: readonly Join[],
  input: Input,
): Promise<string> {
  const [ours, theirs] = await Promise.all(
    pair.map((join) => statusOf(join, input)),
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
  return headers.some(({ name, values }) =>
    values.length > 0 && /^(Content-Length|Transfer-Encoding)$/.test(name)
  );
}

async function statusOf(join: Join, input: Input): Promise<number> {
  const joined = await join((path) => bytesOf(input, path));
  if (typeof joined === "number") return joined;
  joined.close();
  return 101;
}

function bytesOf(
  { headers, ...rest }: Input,
  path: string,
): Uint8Array<ArrayBuffer> {
  const byName = headers.map(({ name, values }) => [name, values]);
  return handshakeBytes({ ...rest, path, headers: Object.fromEntries(byName) });
}

/** Handshakes to both listeners. */
export const handshakes: Target<Input> = {
  name: "handshakes",
  about: "handshakes to the own listener and to the runtime's: the status",
  batch: 200,
  quickCount: 800,
  fixed: ["name", "method", "version"],
  make,
  open: async (stack) => {
    const pair = await startPair(stack);
    return { try: (input) => compare(pair, input) };
  },
};
