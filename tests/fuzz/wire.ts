/** Bytes to a listener, and what comes back: nothing of WebSocket or HTTP. */
import { pause, within } from "../helpers/eventually.ts";
import { concat } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import type { FuzzedNode } from "./node.ts";

/** How a connection ends after the last byte. */
export type Ending =
  /** Closed at once; what comes back is never read, so that TCP resets the connection. */
  | "reset"
  /** Closed in good order, after a look at what came back. */
  | "close"
  /** No more is sent, and the server has to end it. */
  | "half"
  /** The server has to end it without that. */
  | "server";

/** How some bytes are sent. */
export interface Manner {
  readonly listener: "unix" | "tcp" | "admin";
  /** After how many bytes the next write begins; each is smaller than the next. */
  readonly cuts: readonly number[];
  readonly ending: Ending;
}

/** Makes a manner for `length` bytes. */
export function mannerOf(
  random: Random,
  { length, listeners, endings }: {
    length: number;
    listeners: readonly Manner["listener"][];
    endings: readonly Ending[];
  },
): Manner {
  const count = random.chance(0.5) ? 0 : random.integer(1, 6);
  const cuts = Array.from({ length: count }, () => random.integer(0, length));
  return {
    listener: random.pick(listeners),
    cuts: cuts.sort((a, b) => a - b),
    ending: random.pick(endings),
  };
}

/** How long an answer is waited for before a client gives up, as some do. */
const patienceMs = 100;

/**
 * Sends `bytes` in the manner given, and gets what came back.
 *
 * @throws {Error} If the server had to end the connection, and didn't.
 */
export async function send(
  node: FuzzedNode,
  bytes: Uint8Array,
  { listener, cuts, ending }: Manner,
): Promise<Uint8Array<ArrayBuffer>> {
  const connection = await dial(node, listener);
  const answer: Uint8Array[] = [];
  const answered = Promise.withResolvers<void>();
  try {
    const ended = ending === "reset"
      ? Promise.resolve()
      : collect(connection, (part) => {
        answer.push(part);
        answered.resolve();
      });
    await write(connection, { bytes, cuts });
    if (ending === "half") await connection.closeWrite().catch(ignoreEnd);
    if (ending === "close") {
      await Promise.race([answered.promise, ended, pause(patienceMs)]);
    } else await within(ended, "the server to end a connection");
  } finally {
    close(connection);
  }
  return concat(answer);
}

async function dial(
  node: FuzzedNode,
  listener: Manner["listener"],
): Promise<Deno.Conn> {
  if (listener === "tcp") {
    return await Deno.connect({ hostname: "127.0.0.1", port: node.port });
  }
  const path = listener === "admin" ? node.adminSocket : node.staps.socket;
  return await Deno.connect({ transport: "unix", path });
}

async function write(
  connection: Deno.Conn,
  { bytes, cuts }: { bytes: Uint8Array; cuts: readonly number[] },
): Promise<void> {
  const ends = [...cuts, bytes.length].map((cut) =>
    Math.min(cut, bytes.length)
  );
  try {
    let from = 0;
    for (const end of ends) {
      while (from < end) {
        from += await within(
          connection.write(bytes.subarray(from, end)),
          "a write to go through",
        );
      }
      // So that the server has read this much before the next comes.
      if (ends.length > 1) await pause(1);
    }
  } catch (error) {
    ignoreEnd(error);
  }
}

/** Reads until the end, and hands over what comes. */
async function collect(
  connection: Deno.Conn,
  take: (part: Uint8Array) => void,
): Promise<void> {
  const chunk = new Uint8Array(64 * 1024);
  try {
    while (true) {
      const count = await connection.read(chunk);
      if (count === null) return;
      take(chunk.slice(0, count));
    }
  } catch (error) {
    ignoreEnd(error);
  }
}

/** The server may end a connection whenever it likes. */
function ignoreEnd(error: unknown): void {
  const ends = [
    Deno.errors.BrokenPipe,
    Deno.errors.ConnectionReset,
    Deno.errors.NotConnected,
    Deno.errors.BadResource,
    Deno.errors.Interrupted,
  ];
  if (!ends.some((end) => error instanceof end)) throw error;
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    ignoreEnd(error);
  }
}
