/**
 * Strangers who are there all the time, beside the honest clients: nobody
 * invited them, and each tries to make a node hold something. A seed says who
 * does what, and when. What becomes of them isn't checked here; what they may
 * do to others is, as ever, by the history.
 */
import { pause } from "../../tools/eventually.ts";
import { Process, repository } from "../../tools/process.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
  type Target,
} from "../../tools/raw_client.ts";
import { Random } from "../helpers/random.ts";
import { sendHalfRequest, type Visit } from "./visits.ts";

/** What one kind of stranger does. It leaves when the function ends. */
type Stranger = (visit: Visit, stay: () => Promise<void>) => Promise<void>;

const { text, binary, continuation, ping } = opcodes;
/** How many there are at a time. */
const atOnce = 6;
/** How long one stays, at least and at most, in milliseconds. */
const stayMs = [1000, 15_000] as const;
const blockBytes = 64 * 1024;
/** How much a flood sends before it takes a breath, in bytes: a cluster of three on a small machine has others to serve. */
const floodBytes = 512 * 1024;
/**
 * How much each of two who never read sends, in bytes: more than `brake_bytes`
 * and what lies on the way. They may be on two nodes, where no brake holds
 * them, and what waits for a node that is cut off has room for some of them.
 */
const writerBytes = 4 * 1024 * 1024;

/** Every kind of stranger, by what it does. */
const strangers: Readonly<Record<string, Stranger>> = {
  "announces 63 MiB, and ends nothing": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    await client.send(random.pick([text, binary]), new Uint8Array(blockBytes), {
      declaredLength: 63n * 1024n * 1024n,
    });
    await client.readAway();
  },
  "sends fragments without an end": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    const part = new Uint8Array(blockBytes).fill(0x61);
    await client.send(random.pick([text, binary]), part, { fin: false });
    while (true) await client.send(continuation, part, { fin: false });
  },
  "answers no ping": async ({ target, path }, stay) => {
    using _client = await RawClient.join(target, path);
    await stay();
  },
  "sends half a request": async (visit, stay) => {
    using _client = await sendHalfRequest(visit);
    await stay();
  },
  "never answers a close": async ({ target, path }, stay) => {
    using client = await RawClient.join(target, path);
    await client.send(text, "x", { rsv: 1 });
    await stay();
  },
  "floods with the smallest frames": async ({ target, path, random }, stay) => {
    using client = await RawClient.join(target, path);
    const frame = random.pick([
      frameBytes(text),
      frameBytes(text, "hello"),
      frameBytes(ping, "p".repeat(125)),
      frameBytes(opcodes.pong),
    ]);
    const count = Math.floor(floodBytes / frame.length);
    await client.write(concat(Array.from({ length: count }, () => frame)));
    await stay();
  },
  "only writes, beside another one": async ({ target, path, random }, stay) => {
    using one = await RawClient.join(target, path);
    using other = await RawClient.join(target, path);
    const payload = new Uint8Array(random.integer(1, blockBytes));
    const message = frameBytes(binary, payload);
    for (const client of [one, other]) {
      const count = writerBytes / message.length;
      // Held, then closed.
      void writeAgain(client, message, count).catch(() => {});
    }
    await stay();
  },
};

async function writeAgain(
  client: RawClient,
  bytes: Uint8Array,
  times: number,
): Promise<void> {
  for (let i = 0; i < times; i++) await client.write(bytes);
}

/** Lets strangers come without an end, one after the other, and prints a line for each. */
async function comeAndGo(random: Random, target: Target): Promise<void> {
  while (true) {
    const name = random.pick(Object.keys(strangers));
    const path = `/${random.uuid()}`;
    const ms = random.between(...stayMs);
    const visit = strangers[name]!({ target, path, random }, () => pause(ms))
      // Whatever ends it, a fault or staps: that is what strangers get.
      .catch(() => {});
    // Nobody stays for longer, whatever it waits for.
    await Promise.race([visit, pause(ms)]);
    Deno.stdout.writeSync(new TextEncoder().encode(`${name}\n`));
    await pause(random.between(50, 500));
  }
}

/**
 * Starts strangers, who go on until the process is killed; `port` of 127.0.0.1
 * is where they connect to. A process of its own, with the least share of the
 * processor: what they cost must not be missing elsewhere in a test.
 */
export function startStrangers(
  { seed, port }: { seed: number; port: number },
): Process {
  return new Process("nice", [
    ...["-n", "19", Deno.execPath(), "run", "--allow-all"],
    ...[`${repository}/tests/chaos/strangers.ts`, `${seed}`, `${port}`],
  ]);
}

if (import.meta.main) {
  const [seed, port] = Deno.args.map(Number) as [number, number];
  for (let i = 0; i < atOnce; i++) {
    void comeAndGo(new Random(seed + i), { port });
  }
}
