/** A client that doesn't read, until staps has given it up. */
import type { Target } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { SoakClient } from "./client.ts";

/** What slow readers were told: how often with which code. */
export type SlowTally = Record<number, number>;

/** What is sent to it: far more than what the kernel holds for a unix socket, and the limit below. */
const messageBytes = 64 * 1024;
const messageCount = 24;
/** `client_buffer_bytes` that such a flood exceeds. */
export const clientBufferBytes = 512 * 1024;

/**
 * Lets a client join that reads nothing, floods it, and lets it read on then.
 * Resolves with the code that it was closed with.
 *
 * @throws {RefusedError} If they aren't let in.
 */
export async function readSlowly(
  target: Target,
  random: Random,
): Promise<number> {
  const path = `/${random.uuid()}`;
  const wakeUp = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<number>();
  const sleeper = await SoakClient.join(target, path, {
    listener: {
      onOpen: () => {},
      onMessage: () => {},
      onEnd: (code) => ended.resolve(code),
    },
    hold: wakeUp.promise,
  });
  const flooder = await SoakClient.join(target, path, {
    listener: { onOpen: () => {}, onMessage: () => {}, onEnd: () => {} },
  });
  const message = random.bytes(messageBytes);
  for (let i = 0; i < messageCount; i++) await flooder.send(message, false);
  // In good order: then the node has read, and passed on, all of it.
  await flooder.leave();
  wakeUp.resolve();
  const code = await ended.promise;
  await sleeper.breakOff();
  return code;
}
