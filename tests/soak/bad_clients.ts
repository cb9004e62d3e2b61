/** Clients that don't behave: one that hangs up, and one that doesn't read until staps has given it up. */
import { Connection } from "../helpers/connection.ts";
import {
  handshakeBytes,
  RawClient,
  type Target,
} from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";

/** What slow readers were told: how often with which code. */
export type SlowTally = Record<number, number>;

/** What is sent to it: far more than what the kernel holds for a unix socket, and the limit below. */
const messageBytes = 64 * 1024;
const messageCount = 24;
/** `client_buffer_bytes` that such a flood exceeds. */
export const clientBufferBytes = 512 * 1024;
const dialTimeoutMs = 30_000;

/**
 * Lets a client join that reads nothing, floods it, and lets it read on then.
 * Resolves with the code that it was closed with; undefined if they aren't let in.
 */
export async function readSlowly(
  target: Target,
  random: Random,
): Promise<number | undefined> {
  const path = `/${random.uuid()}`;
  const sleeper = await dial(target, path);
  if (sleeper === undefined) return undefined;
  sleeper.connection.stall();
  const flooder = await dial(target, path);
  if (flooder === undefined) {
    sleeper.connection.reset();
    return undefined;
  }
  const message = random.bytes(messageBytes);
  for (let i = 0; i < messageCount; i++) {
    flooder.connection.send("binary", message);
  }
  // In good order: then the node has read, and passed on, all of it.
  flooder.connection.leave(1000);
  await flooder.ended;
  sleeper.connection.resume();
  return await sleeper.ended;
}

/** Gets a client and the code that it will have ended with; undefined if it isn't let in. */
async function dial(
  target: Target,
  path: string,
): Promise<{ connection: Connection; ended: Promise<number> } | undefined> {
  const connection = await Connection.dial(target, {
    path,
    timeoutMs: dialTimeoutMs,
    signal: new AbortController().signal,
  });
  if (!(connection instanceof Connection)) return undefined;
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  connection.listen({ message: () => {}, closed: ({ code }) => resolve(code) });
  return { connection, ended };
}

/** Asks for an upgrade and hangs up at once, before the answer. */
export async function hangUp(target: Target, path: string): Promise<void> {
  using client = await RawClient.connect(target);
  await client.write(handshakeBytes({ path })).catch(() => {});
}
