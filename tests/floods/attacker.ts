/**
 * A process that floods a server in one way until it is killed: the arguments
 * are the name of the flood, and the unix socket or the port to connect to.
 */
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
  type Target,
} from "../../tools/raw_client.ts";

const MiB = 1024 * 1024;
/** How much is written at a time, in bytes. */
const blockBytes = 64 * 1024;
/** Readers of the channel that is flooded for many. */
const fanOut = 500;
/** How many connect and leave at the same time. */
const visitors = 8;

const { text, binary, continuation, ping, pong } = opcodes;
const hello = frameBytes(text, "hello");
const empty = frameBytes(text);
const fragment = frameBytes(continuation, "", { fin: false });
const firstFragment = frameBytes(binary, "", { fin: false });

/** Every flood by its name. Each goes on without an end. */
export const floods: Readonly<
  Record<string, (target: Target) => Promise<void>>
> = {
  "none": () => new Promise(() => setInterval(() => {}, 60_000)),
  "tiny messages": (target) => flood(target, hello, { readers: 1 }),
  "tiny messages, nobody there": (target) => flood(target, hello),
  "tiny messages to many": (target) =>
    flood(target, hello, { readers: fanOut }),
  "empty messages": (target) => flood(target, empty, { readers: 1 }),
  "empty messages, nobody there": (target) => flood(target, empty),
  "pings": (target) => flood(target, frameBytes(ping, "p".repeat(125))),
  "pongs": (target) => flood(target, frameBytes(pong)),
  "empty fragments": (target) =>
    flood(target, fragment, { begin: firstFragment }),
  "64 MiB of text": (target) => sendLarge(target, text),
  "64 MiB of bytes": (target) => sendLarge(target, binary),
  "handshakes": async (target) => {
    await Promise.all(Array.from({ length: visitors }, () => visit(target)));
  },
};

/** Gets where an argument says to connect to: a unix socket, or a port of 127.0.0.1. */
export function readTarget(where: string): Target {
  return where.startsWith("/") ? { socket: where } : { port: Number(where) };
}

async function flood(
  target: Target,
  frame: Uint8Array,
  { readers = 0, begin }: { readers?: number; begin?: Uint8Array } = {},
): Promise<void> {
  const path = `/${crypto.randomUUID()}`;
  for (let i = 0; i < readers; i++) {
    void (await RawClient.join(target, path)).readAway();
  }
  const client = await RawClient.join(target, path);
  void client.readAway();
  if (begin !== undefined) await client.write(begin);
  const count = Math.ceil(blockBytes / frame.length);
  const block = concat(Array(count).fill(frame));
  while (true) await client.write(block);
}

async function sendLarge(target: Target, opcode: number): Promise<void> {
  const head = frameBytes(opcode, "", {
    declaredLength: 64n * BigInt(MiB) - 1n,
  });
  const block = new Uint8Array(MiB).fill(0x61);
  while (true) {
    using client = await RawClient.join(target, `/${crypto.randomUUID()}`);
    void client.readAway();
    try {
      await client.write(head);
      for (let i = 0; i < 64; i++) await client.write(block);
    } catch {
      // Cut off, as it should be.
    }
  }
}

async function visit(target: Target): Promise<void> {
  while (true) {
    try {
      (await RawClient.join(target, `/${crypto.randomUUID()}`)).close();
    } catch {
      // Refused, perhaps.
    }
  }
}

if (import.meta.main) {
  const [name, where] = Deno.args as [string, string];
  await floods[name]!(readTarget(where));
}
