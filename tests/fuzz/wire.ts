/** Bytes to a listener, whole or in pieces, and what comes back: nothing of WebSocket or HTTP. */
import { pause } from "../../tools/eventually.ts";
import { RawClient } from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import type { FuzzedNode } from "./node.ts";

/** Which listener of a node. */
export type Door = "unix" | "tcp" | "admin";

/**
 * How a connection ends after the last byte: closed at once, with what comes
 * back unread, so that TCP resets it; closed in good order after a look at what
 * came back; or by the server, which is told or not that no more comes.
 */
type Ending = "reset" | "close" | "half" | "server";

/** The bytes of one connection, and how they are sent. */
export interface Sending {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly door: Door;
  /** After how many bytes the next write begins, in ascending order. */
  readonly cuts: readonly number[];
  readonly ending: Ending;
}

/** How long an answer is waited for before a client gives up, as some do. */
const patienceMs = 100;

/** Gets up to `most` places to cut `length` bytes at. */
export function cutsOf(
  random: Random,
  { length, most }: { length: number; most: number },
): number[] {
  const count = random.chance(0.5) ? 0 : random.integer(1, most);
  const cuts = Array.from({ length: count }, () => random.integer(0, length));
  return cuts.sort((a, b) => a - b);
}

/** Gets a way of sending `bytes`. */
export function sendingOf(
  random: Random,
  bytes: Uint8Array<ArrayBuffer>,
  { doors, endings }: { doors: readonly Door[]; endings: readonly Ending[] },
): Sending {
  const cuts = cutsOf(random, { length: bytes.length, most: 6 });
  const door = random.pick(doors);
  return { bytes, door, cuts, ending: random.pick(endings) };
}

/**
 * Sends bytes, and gets what came back before the server ended the connection;
 * nothing where the client ends it.
 *
 * @throws {Error} If the server had to end it, and didn't.
 */
export async function send(
  node: FuzzedNode,
  { bytes, door, cuts, ending }: Sending,
): Promise<Uint8Array<ArrayBuffer>> {
  using client = await RawClient.connect(node.doors[door]);
  const wanted = { reset: 0, close: 1, half: Infinity, server: Infinity };
  const answer = client.readBytes(wanted[ending]);
  // Perhaps nobody waits for it.
  answer.catch(() => {});
  await write(client, bytes, cuts);
  if (ending === "half") await client.closeWrite().catch(ignoreEnd);
  if (ending === "half" || ending === "server") return await answer;
  if (ending === "close") await Promise.race([answer, pause(patienceMs)]);
  return new Uint8Array(0);
}

/** Writes bytes, each piece on its own way before the next; stops where the server has ended the connection. */
export async function write(
  client: RawClient,
  bytes: Uint8Array,
  cuts: readonly number[],
): Promise<void> {
  let from = 0;
  for (const end of [...cuts, bytes.length]) {
    try {
      await client.write(bytes.subarray(from, end));
    } catch (error) {
      return ignoreEnd(error);
    }
    from = end;
    if (cuts.length > 0) await pause(1);
  }
}

/** The server may end a connection whenever it likes. */
function ignoreEnd(error: unknown): void {
  const { BrokenPipe, ConnectionReset, NotConnected } = Deno.errors;
  const ends = [BrokenPipe, ConnectionReset, NotConnected];
  if (!ends.some((end) => error instanceof end)) throw error;
}
