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
import { print } from "./terminal.ts";
import { sendHalfRequest, type Visit } from "./visits.ts";

const { text, binary, continuation, ping, pong } = opcodes;
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

/** What one kind of stranger does; `join` gets a client that has joined. It leaves when the function ends. */
type Stranger = (
  join: () => Promise<RawClient>,
  stay: () => Promise<void>,
  visit: Visit,
) => Promise<unknown>;

/** Every kind of stranger, by what it does. */
const strangers: Readonly<Record<string, Stranger>> = {
  "announces 63 MiB, and ends nothing": async (join, _, { random }) => {
    const client = await join();
    await client.send(random.pick([text, binary]), new Uint8Array(blockBytes), {
      declaredLength: 63n * 1024n * 1024n,
    });
    await client.readAway();
  },
  "sends fragments without an end": async (join, _, { random }) => {
    const client = await join();
    const part = new Uint8Array(blockBytes).fill(0x61);
    await client.send(random.pick([text, binary]), part, { fin: false });
    while (true) await client.send(continuation, part, { fin: false });
  },
  "answers no ping": async (join, stay) => {
    await join();
    await stay();
  },
  "sends half a request": async (_, stay, visit) => {
    using _client = await sendHalfRequest(visit);
    await stay();
  },
  "never answers a close": async (join, stay) => {
    await (await join()).send(text, "x", { rsv: 1 });
    await stay();
  },
  "floods with the smallest frames": async (join, stay, { random }) => {
    const frame = random.pick([
      ...[frameBytes(text), frameBytes(text, "hello"), frameBytes(pong)],
      frameBytes(ping, "p".repeat(125)),
    ]);
    const count = Math.floor(floodBytes / frame.length);
    await (await join()).write(concat(Array(count).fill(frame)));
    await stay();
  },
  "only writes, beside another one": async (join, stay, { random }) => {
    const clients = [await join(), await join()];
    const payload = new Uint8Array(random.integer(1, blockBytes));
    const message = frameBytes(binary, payload);
    const write = async (client: RawClient): Promise<void> => {
      const count = writerBytes / message.length;
      for (let i = 0; i < count; i++) await client.write(message);
    };
    // Held, then closed.
    for (const client of clients) void write(client).catch(() => {});
    await stay();
  },
};

/** Lets strangers come without an end, one after the other, and prints a line for each. */
async function comeAndGo(random: Random, target: Target): Promise<void> {
  while (true) {
    const name = random.pick(Object.keys(strangers));
    const path = `/${random.uuid()}`;
    const stay = pause(random.between(...stayMs));
    {
      using stack = new DisposableStack();
      const join = async (): Promise<RawClient> =>
        stack.use(await RawClient.join(target, path));
      const visit = strangers[name]!(join, () => stay, { target, path, random })
        // Whatever ends it, a fault or staps: that is what strangers get.
        .catch(() => {});
      // Nobody stays for longer, whatever it waits for.
      await Promise.race([visit, stay]);
    }
    print(`${name}\n`);
    await pause(random.between(50, 500));
  }
}

/**
 * Starts strangers, who go on until the process is killed; `port` of 127.0.0.1
 * is where they connect to. A process of its own, with the least share of the
 * processor: what they cost must not be missing elsewhere in a test.
 */
export function startStrangers(seed: number, port: number): Process {
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
