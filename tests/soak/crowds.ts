/** The clients of a soak: chaos' crowd, and one who doesn't read. */
import { type CrowdKind, foreverMs } from "../chaos/crowd.ts";
import { toTheEnd } from "../chaos/visits.ts";
import {
  closePayload,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";

const churnClientsPerChannel = 4;
/** How long a client of the churn and its absence take together, about, in seconds. */
const churnLifeS = 2.1;

/** Clients that stay for the whole run, and must miss nothing in all that time. */
export const residents: CrowdKind = {
  channels: 10,
  clientsPerChannel: 4,
  messagesPerSecond: 60,
  maxMessageBytes: 16 * 1024,
  channelLifeMs: [foreverMs, foreverMs],
  clientLifeMs: [foreverMs, foreverMs],
};

/** Gets clients that come and go, in channels that end soon. */
export function churn(joinsPerSecond: number): CrowdKind {
  return {
    channels: Math.ceil(joinsPerSecond * churnLifeS / churnClientsPerChannel),
    clientsPerChannel: churnClientsPerChannel,
    messagesPerSecond: 2 * joinsPerSecond,
    maxMessageBytes: 16 * 1024,
    channelLifeMs: [1_000, 20_000],
    clientLifeMs: [200, 3_000],
    stallMs: 300,
  };
}

/** What is sent to who doesn't read: far more than what the kernel holds for a unix socket, and the limit below. */
const messageBytes = 64 * 1024;
const messageCount = 24;
/** `client_buffer_bytes` that such a flood exceeds. */
export const clientBufferBytes = 512 * 1024;

/**
 * Lets a client join that reads nothing, floods it, and lets it read on then.
 * Gets the code that it was closed with, 1006 for none; `undefined` if they
 * aren't let in.
 */
export async function readSlowly(
  target: Target,
  random: Random,
): Promise<number | undefined> {
  const path = `/${random.uuid()}`;
  using stack = new DisposableStack();
  let sleeper, flooder;
  try {
    sleeper = stack.use(await RawClient.join(target, path));
    flooder = stack.use(await RawClient.join(target, path));
  } catch {
    return undefined;
  }
  const message = random.bytes(messageBytes);
  for (let i = 0; i < messageCount; i++) {
    await flooder.send(opcodes.binary, message);
  }
  // In good order: then the node has read, and passed on, all of it.
  await flooder.send(opcodes.close, closePayload(1000));
  await toTheEnd(flooder);
  const frame = await toTheEnd(sleeper);
  return frame === undefined ? 1006 : readClose(frame.payload).code;
}
